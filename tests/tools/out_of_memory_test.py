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
import time
import unittest
from pathlib import Path

BIN = Path()
BATCH = 8192
ROOM_MIB = 400  # for the activations of some hundred images
LINE = re.compile(
    r"train-imagenet: out of memory on cpu: (?P<wanted>\d+) MiB wanted, (?P<used>\d+) MiB in use by this "
    r"program, (?P<free>\d+) MiB free of (?P<total>\d+) MiB \(ulimit -v\)")
ADVICE = re.compile(r"a pass of about (\d+) images fits; set batch-size to (\d+), or accumulate to (\d+)")
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "2"}


def command_of(output, **settings):
    """Two iterations and a validation on drawn shapes of 16 px, with these settings."""
    settings = {"synthetic-images": BATCH, "batch-size": 16, "iterations": 2, "evaluate-every": 1,
                **{name.replace("_", "-"): value for name, value in settings.items()}}
    given = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return [BIN / "train-imagenet", "--dataset", "synthetic", "--synthetic-classes", "4", "--model", "resnet20", "--crop-size",
            "16", "--augment", "flip", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2", "--precision", "fp32", "--device", "cpu",
            "--threads", "1", "--workers", "1", "--output", output, *given]


def train(output, limit_mib=None, **settings):
    """Runs the program in an address space of so many MiB."""
    def limit():
        if limit_mib is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit_mib << 20, limit_mib << 20))
    return subprocess.run(command_of(output, **settings), preexec_fn=limit, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def address_space_mib(output):
    """The most address space that a run of small batches takes."""
    most = 0
    command = command_of(output, synthetic_images=512, iterations=64)
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            found = re.search(r"VmPeak:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            most = max(most, int(found.group(1)) if found else 0)
            time.sleep(0.01)
    return most >> 10


class OutOfMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.limit_mib = address_space_mib(Path(folder) / "run") + ROOM_MIB

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
        number = {key: int(value) for key, value in found.groupdict().items()}
        # 64 MiB stay for libraries.
        self.assertLessEqual(abs(number["used"] + number["free"] + 64 - number["total"]), 2, lines[0])
        self.assertGreater(number["wanted"], number["free"], lines[0])
        return lines[0]

    def test_the_batch_that_is_advised_runs(self):
        line = self.check_line(train(self.folder / "large", self.limit_mib, batch_size=BATCH))
        self.assertIn("most of it by ", line)
        fits, batch, parts = map(int, ADVICE.search(line).groups())
        self.assertEqual(fits, batch)
        self.assertGreater(batch, 1)
        self.assertEqual(BATCH % parts, 0)
        self.assertLessEqual(BATCH // parts, batch)
        for name, settings in (("batch", {"batch_size": batch}), ("parts", {"batch_size": BATCH, "accumulate": parts})):
            run = train(self.folder / name, self.limit_mib, **settings)
            self.assertEqual(run.returncode, 0, f"{settings}: {run.stderr}")
            self.assertTrue(list((self.folder / name).glob("checkpoint-*.safetensors")))

    def test_an_earlier_checkpoint_stays(self):
        folder = self.folder / "run"
        large = {"batch_size": 2048, "synthetic_images": 2048}
        self.assertEqual(train(folder, **large).returncode, 0)
        before = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
        self.assertIn("best.safetensors", before)
        self.assertTrue(any(name.startswith("checkpoint-") for name in before))
        run = train(folder, self.limit_mib, **large, iterations=4, resume="auto")
        self.check_line(run)
        self.assertEqual({path.name: path.read_bytes() for path in folder.glob("*.safetensors")}, before)
        self.assertEqual(train(folder, **large, iterations=4, resume="auto").returncode, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bin", type=Path, required=True)
    known, rest = parser.parse_known_args()
    BIN = known.bin
    unittest.main(argv=[sys.argv[0], *rest])
