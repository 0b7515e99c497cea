#!/usr/bin/python3
"""Trains under a limit of memory with batches that are too large: what the program says, and whether its advice holds.

usage: out_of_memory_test.py --bin DIR"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BIN = Path()
BATCH = 8192
LINE = re.compile(
    r"train-imagenet: out of memory on (?P<where>cpu|the host): (?:(?P<wanted>\d+) MiB wanted, )?(?P<used>\d+) MiB in use by this "
    r"program, (?P<free>\d+) MiB free of (?P<total>\d+) MiB \(ulimit -v\)")
ADVICE = re.compile(r"a pass of about (\d+) images fits; set batch-size to (\d+), or accumulate to (\d+)")


def train(output, *flags, limit_mib=None):
    """Two iterations and a validation on drawn shapes of 16 px, in an address space of so many MiB."""
    def limit():
        if limit_mib is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit_mib << 20, limit_mib << 20))
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "2"}
    command = [BIN / "train-imagenet", "--dataset", "synthetic", "--synthetic-images", str(BATCH), "--synthetic-classes", "4",
               "--model", "resnet20", "--crop-size", "16", "--augment", "flip", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2",
               "--precision", "fp32", "--device", "cpu", "--threads", "1", "--workers", "1", "--iterations", "2", "--output", output,
               *flags]
    return subprocess.run(command, preexec_fn=limit, env=environment, capture_output=True, text=True, check=False)


class OutOfMemory(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def check_line(self, run):
        """One line, whose numbers agree with each other."""
        self.assertEqual(run.returncode, 1, run.stderr)
        lines = run.stderr.splitlines()
        self.assertEqual(len(lines), 1, run.stderr)
        found = LINE.match(lines[0])
        self.assertIsNotNone(found, lines[0])
        number = {key: int(value) for key, value in found.groupdict().items() if key != "where" and value is not None}
        self.assertLessEqual(abs(number["used"] + number["free"] - number["total"]), 2, lines[0])
        if "wanted" in number:
            self.assertGreater(number["wanted"], number["free"], lines[0])
        return lines[0], number

    def test_the_batch_that_is_advised_runs(self):
        line, number = self.check_line(train(self.folder / "large", "-b", str(BATCH), limit_mib=LIMIT_MIB))
        self.assertIn("wanted", number, line)
        self.assertIn("most of it by ", line)
        fits, batch, parts = map(int, ADVICE.search(line).groups())
        self.assertEqual(fits, batch)
        self.assertGreater(batch, 1)
        self.assertEqual(BATCH % parts, 0)
        self.assertLessEqual(BATCH // parts, batch)
        for name, flags in (("batch", ["-b", str(batch)]), ("parts", ["-b", str(BATCH), "--accumulate", str(parts)])):
            run = train(self.folder / name, *flags, limit_mib=LIMIT_MIB)
            self.assertEqual(run.returncode, 0, f"{flags}: {run.stderr}")
            self.assertTrue((self.folder / name / "checkpoint.safetensors").is_file())

    def test_an_earlier_checkpoint_stays(self):
        folder = self.folder / "run"
        small = ["-b", "64", "--synthetic-images", "512"]
        self.assertEqual(train(folder, *small, "--evaluate-every", "0.1").returncode, 0)
        names = ["checkpoint.safetensors", "last.safetensors", "best.safetensors"]
        before = [(folder / name).read_bytes() for name in names]
        run = train(folder, *small, "--iterations", "4", "--evaluate-every", "0.1", "--resume", "auto", limit_mib=TIGHT_MIB)
        self.check_line(run)
        self.assertEqual([(folder / name).read_bytes() for name in names], before)
        self.assertEqual(train(folder, *small, "--iterations", "4", "--resume", "auto").returncode, 0)

    def test_the_hosts_memory_has_a_line_too(self):
        # The loader's order of a data set of two billion images: std::vector, not a tensor.
        run = train(self.folder / "order", "-b", "64", "--synthetic-images", "2000000000", limit_mib=LIMIT_MIB)
        line, number = self.check_line(run)
        self.assertIn("the host", line)
        self.assertGreater(number["wanted"], 1000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bin", type=Path, required=True)
    known, rest = parser.parse_known_args()
    BIN = known.bin
    unittest.main(argv=[sys.argv[0], *rest])
