#!/usr/bin/env python3
"""tools/layers finds an include that runs up or beside, and takes those that run down."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

LAYERS = pathlib.Path(__file__).resolve().parents[2] / "tools" / "layers"


def check(files):
    """Its exit code and what it prints for a tree of these files, each with the files that it includes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, includes in files.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f'#include "{include}"\n' for include in includes), encoding="utf-8")
        done = subprocess.run([sys.executable, LAYERS, folder], capture_output=True, text=True)
        return done.returncode, done.stdout


class Layers(unittest.TestCase):
    def refused(self, own, other, words):
        code, printed = check({own: ["core/base/error.h", other]})
        self.assertEqual(code, 1)
        self.assertTrue(printed.startswith(f"{own}:2: ") and words in printed, printed)

    def test_includes_that_run_down(self):
        tree = {"tools/x.cpp": ["core/train/trainer.h"], "core/train/x.cpp": ["core/nn/module.h"], "tests/x.cpp": ["tools/cli/progress.h"]}
        self.assertEqual(check(tree), (0, ""))

    def test_an_include_that_runs_up(self):
        self.refused("core/nn/x.cpp", "core/train/trainer.h", "core/nn must not include core/train")
        self.refused("core/train/x.cpp", "tools/cli/progress.h", "core/train must not include tools/cli")
        self.refused("models/x.h", "tests/train/small_run.h", "models must not include tests")

    def test_an_include_of_the_same_line(self):
        self.refused("core/optim/x.cpp", "core/data/loader.h", "core/optim must not include core/data")

    def test_an_include_of_a_device(self):
        self.refused("core/ops/x.cpp", "cuda/kernels/relu.cuh", "must reach a device through")

    def test_a_folder_that_is_in_no_line(self):
        code, printed = check({"core/utilities/x.cpp": []})
        self.assertEqual((code, "is not in tools/layers" in printed), (1, True), printed)


if __name__ == "__main__":
    unittest.main()
