#!/usr/bin/env python3
"""Runs step-bench, allreduce-bench and bench/scaling, alone and as ranks under mpirun, and holds what they report to what it must be.

  tests/bench/ranks_bench_test.py --bin FOLDER
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path()
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
STEP = "--model resnet20 --size 16 --device cpu --precision fp32 --threads 1 --warmup 1 --steps 4".split()
SUMS = "--device cpu --smallest 1KB --largest 256KB --factor 16 --seconds 0.001 --rounds 3".split()


class Benches(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="residua-ranks-bench-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_program(self, ranks, program, words, code=0, environment=ENVIRONMENT):
        """What it printed, and the JSON that it wrote."""
        path = self.folder / "report.json"
        path.unlink(missing_ok=True)
        launcher = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks > 0 else []
        done = subprocess.run([*launcher, BIN / program, *words, "--json", path], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr, json.loads(path.read_text()) if path.exists() else None

    def check_row(self, row, ranks):
        self.assertLessEqual(row["fastest_us"], row["median_us"])
        self.assertLessEqual(row["median_us"], row["slowest_us"])
        self.assertGreater(row["fastest_us"], 0)
        self.assertTrue(0 < row["processor_share"] < 2, row)
        self.assertAlmostEqual(row["algorithm_gigabytes_per_second"] * row["median_us"] * 1e3 / row["bytes"], 1)
        self.assertAlmostEqual(row["bus_gigabytes_per_second"] / row["algorithm_gigabytes_per_second"], 2 * (ranks - 1) / ranks)

    def test_sums_of_ranks(self):
        for ranks in (2, 3):
            text, report = self.run_program(ranks, "allreduce-bench", SUMS)
            self.assertEqual(report["ranks"], ranks)
            self.assertEqual([row["bytes"] for row in report["rows"]], [1024, 16384, 262144])
            for row in report["rows"]:
                self.check_row(row, ranks)
            self.assertGreater(report["exchange"]["median_us"], 0)
            self.assertEqual(text.count("exchange of small values"), 1, "rank 0 alone prints")
            self.assertEqual(len(re.findall(r"^ +262144 ", text, re.MULTILINE)), 1, text)

    def test_sums_of_a_networks_gradients(self):
        # ResNet-20 has 269,722 weights: 267,696 + 640 in matrices, the rest in vectors. Padding adds a little.
        for precision, least in (("fp32", 4 * 269722), ("bf16", 2 * 268336 + 4 * 1386)):
            text, report = self.run_program(2, "allreduce-bench", [*SUMS, "--model", "resnet20", "--precision", precision])
            self.assertGreaterEqual(sum(report["bucket_bytes"]), least)
            self.assertLess(sum(report["bucket_bytes"]), least + 5000)
            self.assertGreaterEqual(len(report["bucket_bytes"]), 4)
            *buckets, together = report["gradients"]
            self.assertEqual([row["bytes"] for row in buckets], report["bucket_bytes"])
            self.assertEqual(together["bytes"], sum(report["bucket_bytes"]))
            self.assertIn("resnet20, all buckets", text)
            for row in report["gradients"]:
                self.check_row(row, 2)

    def test_one_rank_has_nothing_to_sum(self):
        # Under mpirun too; and without a launcher no MPI is started.
        for ranks in (0, 1):
            text, report = self.run_program(ranks, "allreduce-bench", [*SUMS, "--model", "resnet20"])
            self.assertIn("one rank: there is nothing to sum", text)
            self.assertEqual((report["ranks"], report["rows"]), (1, []))
            self.assertGreaterEqual(len(report["bucket_bytes"]), 4)

    def test_steps_of_ranks(self):
        _, alone = self.run_program(0, "step-bench", [*STEP, "-b", "8"])
        self.assertEqual(alone["ranks"], 1)
        for name in ("waiting_share", "exchange"):
            self.assertNotIn(name, alone)
        for ranks in (2, 4):
            text, report = self.run_program(ranks, "step-bench", [*STEP, "-b", "8"])
            self.assertEqual((report["ranks"], report["batch"]), (ranks, 8))
            self.assertAlmostEqual(report["images_per_second"] * report["median_ms"] / 8e3, 1)
            self.assertEqual(len(report["waiting_shares"]), ranks)
            self.assertAlmostEqual(sum(report["waiting_shares"]) / ranks, report["waiting_share"])
            for share in report["waiting_shares"]:
                self.assertGreater(share, 0)
                self.assertLess(share, 1)
            self.assertEqual(text.count("img/s"), 1, "rank 0 alone prints")
            self.assertRegex(text, rf"batch 8 f32 on cpu, {ranks} ranks: .* % of it waiting for the ranks")

    def test_a_rehearsal_says_what_ranks_sum(self):
        _, report = self.run_program(2, "step-bench", [*STEP, "-b", "8"])
        _, rehearsal = self.run_program(0, "step-bench", [*STEP, "-b", "4", "--rehearse-ranks"])
        _, sums = self.run_program(0, "allreduce-bench", [*SUMS, "--model", "resnet20"])
        sizes = [one["bytes"] for one in rehearsal["exchange"]["sums"]]
        self.assertEqual(sizes, [one["bytes"] for one in report["exchange"]["sums"]])
        self.assertEqual(sizes[:-2], sums["bucket_bytes"])
        self.assertEqual(sizes[-2], 4, "the loss")
        starts = [one["start_ms"] for one in rehearsal["exchange"]["sums"]]
        self.assertEqual(starts, sorted(starts))
        self.assertGreater(starts[0], 0)
        self.assertLess(rehearsal["exchange"]["waits_at_ms"], rehearsal["slowest_ms"])

    def test_steps_that_hold_their_sums_back(self):
        text, report = self.run_program(2, "step-bench", [*STEP, "-b", "8", "--compare-overlap"])
        overlap = report["overlap"]
        self.assertEqual((len(overlap["after_ms"]), len(overlap["beside_ms"])), (report["steps"], report["steps"]))
        self.assertAlmostEqual(statistics.median(overlap["beside_ms"]), report["median_ms"])
        self.assertEqual([one["bytes"] for one in overlap["exchange"]["sums"]], [one["bytes"] for one in report["exchange"]["sums"]])
        self.assertGreater(overlap["exchange"]["waited_ms"], 0)
        self.assertLess(overlap["exchange"]["waits_at_ms"] + overlap["exchange"]["waited_ms"], max(overlap["after_ms"]))
        self.assertIn(f"start after the backward pass takes {statistics.median(overlap['after_ms']):.2f} ms", text)

    def test_wrong_calls(self):
        for ranks, program, words, wanted in (
            (2, "step-bench", [*STEP, "-b", "9"], r"rank \d of 2: step-bench: --batch-size[^\n]*9[^\n]*a multiple of 2, the number of ranks"),
            (2, "step-bench", [*STEP, "-b", "8", "--rehearse-ranks"], r"--rehearse-ranks[^\n]*2 ranks[^\n]*one process"),
            (0, "allreduce-bench", [*SUMS, "--model", "resnet19"], r"^allreduce-bench: [^\n]*resnet19"),
            (0, "allreduce-bench", ["--device", "cpu", "--smallest", "2MB", "--largest", "1MB"], r"^allreduce-bench: --largest[^\n]*2097152 bytes, the smallest, or more"),
            (0, "step-bench", [*STEP, "-b", "8", "--compare-overlap"], r"^step-bench: --compare-overlap[^\n]*several ranks"),
        ):
            text, report = self.run_program(ranks, program, words, code=2)
            self.assertRegex(text, wanted)
            self.assertIsNone(report)

    def test_ranks_that_only_gpus_can_be(self):
        environment = {**ENVIRONMENT, "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
        for program, words in (("step-bench", [*STEP, "-b", "8"]), ("allreduce-bench", SUMS)):
            text, _ = self.run_program(0, program, words, code=2, environment=environment)
            self.assertRegex(text, rf"rank 0 of 2: {program}: torchrun started 2 ranks, but on the CPU device ranks are connected by MPI")

    def test_the_report(self):
        """bench/scaling in small: it measures, and makes the same report again from what it measured."""
        words = ["--bin", BIN, "--cases", "resnet20:16:2:4", "--rounds", "1", "--steps", "3", "--warmup", "1", "--largest", "64KB", "--models", "resnet18", "--shape-size", "32", "--shape-images", "2"]
        pages = []
        for more in (["--json", self.folder / "all.json"], ["--measured", self.folder / "all.json"]):
            page = self.folder / "scaling.md"
            done = subprocess.run([ROOT / "bench/scaling", *words, *more, "--output", page], env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
            self.assertEqual(done.returncode, 0, done.stderr)
            pages.append(page.read_text())
        self.assertEqual(*pages)
        found = json.loads((self.folder / "all.json").read_text())
        for kind, batches in (("weak", (2, 4, 8)), ("strong", (4, 4, 4))):
            for ranks, batch in zip((1, 2, 4), batches, strict=True):
                (row,) = found["cases"][0]["rows"][f"{kind} {ranks}"]
                self.assertEqual((row["ranks"], row["batch"], row["threads"]), (ranks, batch, 1))
                self.assertRegex(pages[0], rf"\| {ranks} \| {batch} \| {row['images_per_second']:.1f} ")
        self.assertIn("Predicted, not run on a GPU", pages[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the folder of the programs")
    arguments, rest = parser.parse_known_args()
    BIN = arguments.bin.resolve()
    if shutil.which("mpirun") is None:
        print("skipped: there is no mpirun")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
