#!/usr/bin/env python3
"""Trains and verifies with several ranks under mpirun: the same result as one process, and an end with a name when a rank fails.

  tests/tools/mpirun_test.py --bin FOLDER
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path()
DATA = "--dataset synthetic --crop-size 16 --model resnet20 --device cpu --threads 1 --workers 1 --precision fp32".split()
RUN = [*DATA, *"--synthetic-images 96 --batch-size 24 --lr 0.01 --lr-schedule constant --evaluate-every 1 --log-every 1".split()]
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
MPIRUN = ["mpirun", "--oversubscribe"]


def merged(words):
    """A flag once, with the last value that was given."""
    positional, flags, name = [], {}, None
    for word in words:
        if str(word).startswith("--"):
            name = word
            flags[name] = []
        elif name is None:
            positional.append(word)
        else:
            flags[name] = [word]
    return positional + [word for name, values in flags.items() for word in (name, *values)]


def weights(path):
    """All floats of a safetensors file, by name, without statistics."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    arrays = {}
    for name, about in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__" and about["dtype"] == "F32" and "running" not in name and not name.startswith("input"):
            begin, end = (8 + length + at for at in about["data_offsets"])
            arrays[name] = struct.unpack_from(f"<{(end - begin) // 4}f", data, begin)
    return arrays


def mean_image(path):
    """The bytes of the mean image in a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    begin, end = json.loads(data[8 : 8 + length])["input.mean"]["data_offsets"]
    return data[8 + length + begin : 8 + length + end]


def photo(path, seed, size=40):
    """Writes an image like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 %d %d 255\n" % (size, size) + random.Random(seed).randbytes(3 * size * size))


def distance(a, b):
    """The norm of the difference over that of a."""
    difference = sum((x - y) ** 2 for name in a for x, y in zip(a[name], b[name], strict=True))
    return (difference / sum(x * x for values in a.values() for x in values)) ** 0.5


class Ranks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="residua-ranks-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def command(self, ranks, words, output, mpirun):
        """The command of one process, or of several; `words` may be a list for each rank."""
        program = [BIN / "train-imagenet"]
        where = ["--output", self.folder / output] if output else []
        if isinstance(words[0], list):
            parts = [["-n", "1", *program, *merged(own), *where] for own in words]
            return [*MPIRUN, *mpirun, *parts[0], *(word for part in parts[1:] for word in (":", *part))]
        launcher = [*MPIRUN, *mpirun, "-n", str(ranks)] if ranks > 0 else []
        return [*launcher, *program, *merged(words), *where]

    def start(self, ranks, words, output="run", mpirun=()):
        self.console = open(self.folder / "console.txt", "wb")
        self.addCleanup(self.console.close)
        return subprocess.Popen(self.command(ranks, words, output, mpirun), stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console, env=ENVIRONMENT)

    def told(self):
        return (self.folder / "console.txt").read_text(errors="replace")

    def run_to_end(self, ranks, words, output="run", code=0, seconds=120, mpirun=()):
        self.assertEqual(self.start(ranks, words, output, mpirun).wait(seconds), code, self.told())
        return self.told()

    def records(self, output="run", kind="train"):
        with contextlib.suppress(OSError, ValueError):
            lines = (self.folder / output / "log.jsonl").read_text().splitlines()
            return [record for record in map(json.loads, lines) if record["type"] == kind]
        return []

    def wait_for_iteration(self, process, iteration, seconds=60):
        end = time.monotonic() + seconds
        while not any(record["iteration"] >= iteration for record in self.records()):
            self.assertIsNone(process.poll(), self.told())
            self.assertLess(time.monotonic(), end, self.told())
            time.sleep(0.01)

    def processes(self, process):
        """The ranks that mpirun has started, in their order."""
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        found = {}
        for child in children:
            with contextlib.suppress(OSError):
                for word in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                    if word.startswith(b"OMPI_COMM_WORLD_RANK="):
                        found[int(word.split(b"=")[1])] = int(child)
        return [found[rank] for rank in sorted(found)]

    # One process normalizes groups as large as the ranks' parts, so that both compute the same but for rounding. How far rounding
    # leads is seen from other numbers of threads and of passes. Not on every processor do threads change the bits.
    def test_ranks_train_as_one_process(self):
        for ranks in (2, 4):
            group = ["--bn-group", str(24 // ranks)]
            for steps, least in ((1, 1e-7), (20, 0)):
                words = [*RUN, "--iterations", str(steps)]
                self.run_to_end(0, [*words, *group], output="one")
                self.run_to_end(0, [*words, *group, "--threads", "2"], output="two-threads")
                self.run_to_end(0, [*words, "--accumulate", str(ranks)], output="passes")
                self.run_to_end(ranks, words, output="ranks")
                names = ("one", "two-threads", "passes", "ranks")
                one, two_threads, passes, several = (weights(self.folder / name / "last.safetensors") for name in names)
                rounding = max(distance(one, two_threads), distance(one, passes), least)
                self.assertLess(distance(one, several), 3 * rounding, (ranks, steps))
                self.assertGreater(distance(one, several), 0, "sums in another order have other last bits")
                logged = [self.records(name) for name in ("one", "ranks")]
                for a, b in zip(*logged, strict=True):
                    self.assertEqual((a["iteration"], a["epoch"], a["lr"]), (b["iteration"], b["epoch"], b["lr"]))
                self.assertAlmostEqual(logged[0][0]["loss"], logged[1][0]["loss"], delta=1e-5)
                for name in names:
                    shutil.rmtree(self.folder / name)

    # Rounding may turn the sign of an input of a ReLU, which changes a gradient by a thousandth. It rarely does so twice.
    def test_sync_bn_normalizes_as_one_process(self):
        distances = []
        for seed in ("0", "1", "2"):
            words = [*RUN, "--iterations", "1", "--seed", seed]
            self.run_to_end(0, words, output="one")
            self.run_to_end(0, [*words, "--bn-group", "12"], output="other")
            one, other = (weights(self.folder / name / "last.safetensors") for name in ("one", "other"))
            self.assertGreater(distance(one, other), 1e-5, "what a rank of two would normalize alone")
            for ranks in (2, 3):
                self.run_to_end(ranks, [*words, "--sync-bn"], output="ranks")
                distances.append(distance(one, weights(self.folder / "ranks/last.safetensors")))
                shutil.rmtree(self.folder / "ranks")
            for name in ("one", "other"):
                shutil.rmtree(self.folder / name)
        self.assertLess(sorted(distances)[len(distances) // 2], 1e-7, distances)

    def test_ranks_evaluate_as_one_process(self):
        self.run_to_end(0, [*RUN, "--iterations", "8"], output="one")
        weights_file = self.folder / "one/best.safetensors"
        # A fifth of the images is for validation.
        for images in (2, 50, 51, 53):
            found = []
            for ranks in (0, 2, 3):
                path = self.folder / "evaluation.json"
                words = [*DATA, "--synthetic-images", "300", "--batch-size", "24", "--evaluate", "--evaluate-on", f"val:{images}"]
                self.run_to_end(ranks, [*words, "--weights", weights_file, "--evaluation-json", path], output="")
                result = json.loads(path.read_text())
                found.append(result)
            for several in found[1:]:
                self.assertEqual(several["images"], images)
                for part in found[0]:
                    if part not in ("loss", "protocol"):
                        self.assertEqual(json.dumps(several[part]).count("index"), json.dumps(found[0][part]).count("index"), part)
                self.assertEqual([found[0]["top1_error"], found[0]["top5_error"]], [several["top1_error"], several["top5_error"]])

    def photos(self, images=30):
        """A folder of photos, and the flags to measure them. No run finds what another one has measured."""
        folder = self.folder / "photos"
        for i in range(images):
            for split in ("train", "val"):
                photo(folder / split / "ab"[i % 2] / f"{i:02}.ppm", f"{split} {i}")
        return folder, [folder, *DATA[2:], *"--batch-size 6 --crop-size 32 --mean pixel --iterations 1 --max-bad-images 3".split()]

    def measured(self, ranks, words, code=0):
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        ENVIRONMENT["XDG_CACHE_HOME"] = str(self.folder / "cache")
        return self.run_to_end(ranks, [*words, "--overwrite"], code=code)

    # Sums are whole numbers, so that the mean image has the same bits.
    def test_ranks_measure_the_mean_image_of_one_process(self):
        folder, words = self.photos()
        (folder / "train/a/04.ppm").write_bytes(b"no image")
        for data in (words, [*RUN, "--iterations", "1", "--mean", "pixel"]):
            means = []
            for ranks in (0, 2, 3, 4):
                self.measured(ranks, [*data, "--batch-size", "12"])
                means.append(mean_image(self.folder / "run/last.safetensors"))
            self.assertGreater(len(means[0]), 3000)
            self.assertEqual(means, means[:1] * 4)

    def test_ranks_count_and_name_images_that_they_cannot_measure(self):
        folder, words = self.photos()
        bad = [folder / "train" / name for name in ("a/04.ppm", "b/21.ppm")]  # each of another rank
        for path in bad:
            path.write_bytes(b"no image")
        for ranks in (0, 2):
            told = self.measured(ranks, words)
            self.assertEqual(told.count("2 of the 30 images to measure could not be read and do not count"), 1, told)
            refused = self.measured(ranks, [*words, "--max-bad-images", "1"], code=1)
            self.assertIn("2 of 30 images cannot be read; wanted at most 1", refused)
            for path in bad:
                self.assertIn(f"{path}: not an image", told)
                self.assertIn(f"{path}: not an image", refused)

    # In four epochs, images fall to one rank and then to another. Each validation meets its own again.
    def test_ranks_count_each_bad_image_once(self):
        folder, words = self.photos()
        bad = [folder / "train" / name for name in ("a/04.ppm", "a/20.ppm", "b/03.ppm", "b/21.ppm", "b/29.ppm")]
        bad += [folder / "val" / name for name in ("a/08.ppm", "b/17.ppm")]  # each of another rank of two
        broken = (b"no image", b"P6\n40 40\n255\nends early", b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1")
        for i, path in enumerate(bad):
            path.write_bytes(broken[i % len(broken)])
        words += "--mean 0.5,0.5,0.5 --lr 0.01 --lr-schedule constant --iterations 20 --overwrite".split()
        for ranks in (0, 2, 3):
            told = self.run_to_end(ranks, [*words, "--max-bad-images", "5"])
            self.assertEqual(told.count("5 training images could not be read and were replaced by others"), 1, told)
            messages = [record["message"] for record in self.records(kind="skipped_image")]
            self.assertEqual([sum(str(path) in message for message in messages) for path in bad], [1] * len(bad), messages)
            self.assertEqual(len(messages), len(bad), messages)
        weights_file = self.folder / "run/last.safetensors"
        evaluate = [folder, *DATA[2:], "--batch-size", "6", "--crop-size", "32", "--evaluate", "--weights", weights_file]
        for ranks in (0, 2):
            told = self.run_to_end(ranks, [*evaluate, "--max-bad-images", "2"], output="")
            self.assertEqual(told.count("2 of the 30 images could not be read and were ignored"), 1, told)
            refused = self.run_to_end(ranks, [*evaluate, "--max-bad-images", "1"], output="", code=1)
            self.assertEqual(refused.count("2 of 30 images cannot be read; wanted at most 1"), 1, refused)
            self.assertNotIn("MPI_ABORT", refused, "a rank has ended the other")
        for ranks in (0, 2):
            refused = self.run_to_end(ranks, [*words, "--max-bad-images", "4"], code=1)
            self.assertIn("5 of 30 images cannot be read; wanted at most 4", refused)

    def test_sigterm_to_one_rank_ends_the_measuring_of_all(self):
        process = self.start(2, [*RUN, "--synthetic-images", "1000000", "--batch-size", "100", "--iterations", "4", "--mean", "pixel"])
        end = time.monotonic() + 60
        while not (self.folder / "run/run.lock").exists():  # made when all ranks catch signals
            self.assertIsNone(process.poll(), self.told())
            self.assertLess(time.monotonic(), end, self.told())
            time.sleep(0.01)
        os.kill(self.processes(process)[1], signal.SIGTERM)
        self.assertEqual(process.wait(30), 128 + signal.SIGTERM, self.told())
        self.assertIn("stopped before the first step", self.told())

    def test_learning_rates_of_large_batches(self):
        recipe = [*DATA, *"--synthetic-images 96 --batch-size 24 --log-every 1 --recipe goyal2017 --epochs 6".split()]
        recipe += "--lr 0.01 --lr-batch-size 4 --warmup-epochs 2 --lr-steps 3,5".split()
        # 24 images are 6 times 4, and an epoch has 4 steps.
        wanted = [0.01 + 0.05 * step / 8 for step in range(8)] + [0.06] * 4 + [0.006] * 8 + [0.0006] * 4
        for ranks, passes in ((0, 1), (0, 2), (2, 1), (2, 3)):
            told = self.run_to_end(ranks, [*recipe, "--accumulate", str(passes), "--overwrite"])
            self.assertEqual(told.count("learning rate 0.06 = 0.01 x 24 / 4\n"), 1, told)
            rates = [record["lr"] for record in self.records()]
            self.assertEqual(len(rates), len(wanted))
            for step, (rate, expected) in enumerate(zip(rates, wanted)):
                self.assertAlmostEqual(rate, expected, delta=1e-7, msg=f"step {step} of {ranks} ranks, {passes} passes")
            run = json.loads((self.folder / "run/run.json").read_text())
            self.assertAlmostEqual(run["peak_lr"], 0.06)
            self.assertEqual(run["lr_scaling"], "learning rate 0.06 = 0.01 x 24 / 4")
        self.assertNotIn("learning rate", self.run_to_end(0, [*RUN, "--iterations", "2", "--overwrite"]))
        self.assertEqual([record["lr"] for record in self.records()], [0.01, 0.01])

    def test_sums_start_before_the_backward_pass_ends(self):
        trace = self.folder / "trace.json"
        self.run_to_end(2, [*RUN, "--iterations", "24", "--trace", trace])
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
        early = 0
        for rank in (0, 1):
            own = [event for event in events if event["pid"] == rank]
            steps = [event for event in own if event["name"] == "step"]
            self.assertEqual([event["args"]["about"] for event in steps], [str(number) for number in range(11, 21)])
            for step in steps:
                inside = [event for event in own if step["ts"] <= event["ts"] <= step["ts"] + step["dur"]]
                last_gradient = max(event["ts"] for event in inside if event["name"] == "ConvolutionBackwardWeights")
                sums = [event["ts"] for event in inside if event["name"] == "a sum over the ranks"]
                self.assertGreaterEqual(len(sums), 5, "buckets, statistics, loss")
                early += min(sums) < last_gradient
                self.assertEqual(sum(event["name"] == "waiting for the ranks" for event in inside), 1)
        self.assertGreater(early, 0, "on a busy machine the thread of the sums may come late, but not each time")

    def test_killed_rank_ends_all_and_the_run_goes_on(self):
        whole = [*RUN, "--iterations", "400", "--checkpoint-every", "5"]
        process = self.start(2, whole)
        self.wait_for_iteration(process, 12)
        killed = self.processes(process)[1]
        os.kill(killed, signal.SIGKILL)
        self.assertNotEqual(process.wait(30), 0)
        self.assertRegex(self.told(), rf"rank 1 with PID {killed}|process rank 1|rank 1 of 2")
        for ranks, expected in ((2, None), (0, "ranks: 2 before, 1 now")):
            told = self.run_to_end(ranks, [*RUN, "--iterations", "30" if ranks else "40", "--resume", "auto"])
            self.assertIn("resumed at iteration", told)
            if expected:
                self.assertIn(expected, told)

    def test_stopped_rank_is_named(self):
        process = self.start(2, [*RUN, "--iterations", "2000", "--rank-timeout", "3"])
        self.wait_for_iteration(process, 5)
        stopped = self.processes(process)[1]
        os.kill(stopped, signal.SIGSTOP)
        begin = time.monotonic()
        self.assertNotEqual(process.wait(40), 0)
        self.assertGreater(time.monotonic() - begin, 2.5)
        self.assertRegex(self.told(), rf"rank 1 of 2 on \S+, process {stopped}, does not answer")
        while pathlib.Path(f"/proc/{stopped}").exists():
            self.assertLess(time.monotonic(), begin + 60, "the stopped rank is left")
            time.sleep(0.05)

    def test_rank_that_never_starts_ends_the_run(self):
        command = self.command(2, [[*RUN, "--iterations", "4", "--rank-timeout", "3"]], "run", [])
        begin = time.monotonic()
        done = subprocess.run([*command, ":", "-n", "1", "sleep", "1000"], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertGreater(time.monotonic() - begin, 2.5)
        self.assertIn("rank 0 of 2: train-imagenet: MPI_Init_thread has taken longer than 3 s", done.stderr)

    # --threads 0 is the default: one for each processor of the rank.
    def test_ranks_divide_the_processors(self):
        processors = len(os.sched_getaffinity(0))
        words = [*RUN, "--iterations", "1", "--threads", "0"]
        told = self.run_to_end(2, words, mpirun=["--bind-to", "none"])
        each = max(1, processors // 2)
        self.assertIn(f"2 ranks with {each} thread{'s' if each > 1 else ''},", told)
        self.assertNotIn("is bound to", told)
        if processors >= 2:
            told = self.run_to_end(1, words, output="bound", mpirun=["--bind-to", "hwthread"])
            self.assertRegex(told, rf"rank 0 of 1 is bound to 1 of the {processors} processors of .*--bind-to none")
            loading = [*words, "--workers", "auto", "--data-only"]
            self.assertIn("loader threads: 1\n", self.run_to_end(1, loading, output="", mpirun=["--bind-to", "hwthread"]))

    def test_ranks_diverge_and_go_back_together(self):
        words = [*RUN, "--model", "plain20", "--lr", "2e9", "--iterations", "60", "--checkpoint-every", "1", "--rank-timeout", "20"]
        told = self.run_to_end(2, [*words, "--on-divergence", "rollback"], code=1)
        self.assertRegex(told, r"not finite at iteration \d+.*rank 0: .*rank 1: ")
        self.assertEqual(len(self.records(kind="rollback")), 1)
        self.assertEqual(len(self.records(kind="diverged")), 1)
        self.assertEqual(re.findall(r"(rank \d) of 2: train-imagenet: ", told), ["rank 0"], told)
        self.assertNotIn("MPI_ABORT", told, "a rank has ended the others")
        self.assertIs(json.loads((self.folder / "run/result.json").read_text())["diverged"], True)

    def test_other_settings_on_a_rank(self):
        for flag, values in (("--lr", ("0.1", "0.2")), ("--synthetic-images", ("96", "120")), ("--model", ("resnet20", "resnet32"))):
            told = self.run_to_end(2, [[*RUN, "--iterations", "4", flag, value] for value in values], code=2)
            self.assertEqual(told.count("the ranks differ in"), 1, told)
            name = {"--synthetic-images": "training images"}.get(flag, flag[2:])
            self.assertRegex(told, rf"{name}: \S+ \(rank 0\), \S+ \(rank 1\)")
            self.assertFalse((self.folder / "run").exists(), "an output folder was made")

    # They change no result, but which calls the ranks make together.
    def test_settings_that_put_ranks_out_of_step(self):
        trace = self.folder / "trace.json"
        first = "--log-every 3 --max-skipped-steps 4 --on-divergence rollback --cuda-graph off --deterministic --trace".split()
        told = self.run_to_end(2, [[*RUN, "--iterations", "4", *first, trace], [*RUN, "--iterations", "4"]], code=2)
        for difference in ("log-every: 3 (rank 0), 1", "max-skipped-steps: 4 (rank 0), 10", "on-divergence: rollback (rank 0), stop",
                           "cuda-graph: off (rank 0), on", "deterministic: true (rank 0), false", f"trace: {trace} (rank 0), unset"):
            self.assertIn(f"{difference} (rank 1)", told)

    def test_a_rank_without_data(self):
        words = [[*RUN, "--iterations", "4"], [self.folder / "nowhere", *RUN[2:], "--iterations", "4"]]
        told = self.run_to_end(2, words, code=2)
        self.assertIn("rank 1 of 2: ", told)
        self.assertIn("nowhere", told)

    def test_batch_that_ranks_cannot_share(self):
        told = self.run_to_end(2, [*RUN, "--batch-size", "25", "--iterations", "4"], code=2)
        self.assertRegex(told, r"--batch-size[^\n]*25[^\n]*a multiple of 2, the number of ranks")

    def test_full_disk_of_the_rank_that_writes(self):
        if os.geteuid() != 0:
            self.skipTest("mounting needs root")
        place = self.folder / "run"
        place.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("mounting is not allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=False)
        told = self.run_to_end(2, [*RUN, "--iterations", "8", "--checkpoint-every", "4"], code=1)
        self.assertRegex(told, r"rank 0 of 2: [^\n]*No space left on device")

    # mpirun passes SIGTERM on to all ranks, but kills them a second later unless it is told otherwise.
    def test_sigterm_saves(self):
        words = [*RUN, "--iterations", "100000", "--evaluate-every", "100000"]
        process = self.start(2, words, mpirun=["--mca", "odls_base_sigkill_timeout", "5"])
        self.wait_for_iteration(process, 5)
        process.terminate()
        self.assertNotEqual(process.wait(60), 0)
        self.assertTrue(list((self.folder / "run").glob("checkpoint-*")), "nothing else makes one")

    def test_sigterm_to_one_rank_stops_all(self):
        process = self.start(2, [*RUN, "--iterations", "4000"])
        self.wait_for_iteration(process, 5)
        os.kill(self.processes(process)[1], signal.SIGTERM)
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM, self.told())
        self.assertIn("stopped at iteration", self.told())


class Verify(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="residua-ranks-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for i in range(40):
            photo(self.folder / "data" / ("val" if i % 3 == 2 else "train") / "ab"[i % 2] / f"{i:02}.ppm", i)

    def verify(self, ranks, *words):
        """The exit code, the standard output, and the report as JSON."""
        report = self.folder / "report.json"
        launcher = [*MPIRUN, "-n", str(ranks)] if ranks > 0 else []
        command = [*launcher, BIN / "verify-imagenet", self.folder / "data", "--json", report, *words]
        ended = subprocess.run(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        result = report.read_text() if report.exists() else ended.stderr
        report.unlink(missing_ok=True)
        return ended.returncode, ended.stdout, result

    def expect_same(self, code, *named):
        alone = self.verify(0)
        self.assertEqual(alone[0], code, alone)
        for name in named:
            self.assertIn(name, alone[1])
        for ranks in (2, 3, 5):
            self.assertEqual(self.verify(ranks), alone, ranks)

    def test_ranks_report_as_one_process(self):
        self.expect_same(0, "good")
        photo(self.folder / "data/train/a/tiny.ppm", "tiny", size=8)
        shutil.copy(self.folder / "data/train/a/00.ppm", self.folder / "data/train/b/99.ppm")
        for name in ("train/a/04.ppm", "train/b/25.ppm", "val/b/35.ppm"):
            (self.folder / "data" / name).write_bytes(b"no image")
        shutil.copy(self.folder / "data/train/a/06.ppm", self.folder / "data/val/a/98.ppm")
        self.expect_same(1, "a/04.ppm", "b/25.ppm", "b/35.ppm", "b/99.ppm", "a/98.ppm", "tiny.ppm")

    def test_a_split_that_cannot_be_opened(self):
        shutil.rmtree(self.folder / "data/val")
        self.expect_same(1, "val: ")

    def test_a_rank_with_other_images(self):
        other = self.folder / "other"
        shutil.copytree(self.folder / "data", other)
        (other / "train/a/00.ppm").unlink()
        command = [*MPIRUN, "-n", "1", BIN / "verify-imagenet", self.folder / "data", ":", "-n", "1", BIN / "verify-imagenet", other]
        ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
        self.assertEqual(ended.returncode, 2, ended)
        self.assertEqual(ended.stderr.count("the ranks differ in the data set: training images: "), 1, ended)
        self.assertEqual(ended.stdout.count("good"), 0)

    def test_a_wrong_call_on_all_ranks(self):
        ended = subprocess.run([*MPIRUN, "-n", "2", BIN / "verify-imagenet", self.folder / "nowhere"], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
        self.assertEqual(ended.returncode, 2, ended)
        self.assertRegex(ended.stderr, r"rank \d of 2: .*nowhere")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the folder of the programs")
    arguments, rest = parser.parse_known_args()
    BIN = arguments.bin.resolve()
    if shutil.which("mpirun") is None:
        print("skipped: there is no mpirun")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
