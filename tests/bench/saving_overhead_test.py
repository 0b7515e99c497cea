#!/usr/bin/env python3
"""bench/saving-overhead on records whose ratios are known."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "saving-overhead"
loader = importlib.machinery.SourceFileLoader("saving_overhead", str(SCRIPT))
script = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(script)


class Ratios(unittest.TestCase):
    def test_a_save_is_compared_with_the_steps_on_both_sides(self):
        # Records end at 25, 50, ...; those that end at 100 n and at 100 n + 25 hold a save. The machine gets slower all the time.
        drift = {end: 1 + end / 1000 for end in range(25, 500, 25)}
        self.assertEqual([round(ratio, 9) for ratio in script.ratios_of(drift, 2)], [1, 1])
        seconds = {end: 4.0 if end == 200 else 5.0 if end == 225 else 6.0 if end == 325 else 2.0 for end in drift}
        self.assertEqual(script.ratios_of(seconds, 2), [9 / 4, 8 / 4])
        self.assertEqual(script.ratios_of({**seconds, 100: 100.0, 125: 100.0, 400: 100.0, 425: 100.0}, 2), [9 / 4, 8 / 4], "other saves are outside")


if __name__ == "__main__":
    unittest.main()
