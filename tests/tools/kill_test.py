#!/usr/bin/env python3
"""Holds train-imagenet to its promises about kills, signals, full disks and folders, on real runs of a small network.

  tests/tools/kill_test.py --bin FOLDER              five kills
  tests/tools/kill_test.py --bin FOLDER --kills 100  the long form
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path()
KILLS = 5
SEED = 1
DATA = "--dataset synthetic --synthetic-images 64 --crop-size 16 --batch-size 8 --model resnet20 --device cpu --threads 1 --workers 1 --precision fp32".split()
# 40 epochs of 8 steps; reports, checkpoints and validations are out of step with each other.
RUN = [*DATA, "--iterations", "320", "--log-every", "3", "--checkpoint-every", "5", "--evaluate-every", "0.875", "--lr-schedule", "plateau"]
TIMES = {"seconds", "images_per_second", "data_wait"}


def records(folder):
    """The log without times. Fails on a line that is no record."""
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in (folder / "log.jsonl").read_text().splitlines()]


def files_of(folder, *patterns):
    return {path.name: path.read_bytes() for pattern in patterns for path in folder.glob(pattern)}


def merged(words):
    """A flag once, with the last value that was given."""
    flags, name = {}, None
    for word in words:
        if str(word).startswith("--"):
            name = word
            flags[name] = []
        else:
            flags[name] = [word]
    return [word for name, values in flags.items() for word in (name, *values)]


def event_steps(path):
    """The number of whole records of a TensorBoard file; what follows them is torn."""
    data, at, count = path.read_bytes(), 0, 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 16 + length > len(data):
            break
        at, count = at + 16 + length, count + 1
    return count


class Kills(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="residua-kills-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *given, output="run"):
        words = merged(given)
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        self.console = open(self.folder / "console.txt", "ab")
        self.addCleanup(self.console.close)
        return subprocess.Popen([BIN / "train-imagenet", *words, "--output", self.folder / output], stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console, env=environment)

    def told(self):
        return (self.folder / "console.txt").read_text(errors="replace")[-3000:]

    def run_to_end(self, *words, output="run", code=0):
        self.assertEqual(self.start(*words, output=output).wait(), code, self.told())

    def wait_for(self, process, condition, seconds=120):
        """Waits until the condition holds; fails if the process ends before."""
        end = time.monotonic() + seconds
        while not condition():
            self.assertIsNone(process.poll(), self.told())
            self.assertLess(time.monotonic(), end, self.told())
            time.sleep(0.005)

    def wait_for_steps(self, process, iteration):
        log = self.folder / "run/log.jsonl"

        def reached():
            with contextlib.suppress(OSError, ValueError, IndexError):
                return json.loads(log.read_text().splitlines()[-2])["iteration"] >= iteration

        self.wait_for(process, reached)

    def test_killed_run_ends_as_an_undisturbed_one(self):
        begin = time.monotonic()
        self.run_to_end(*RUN, output="whole")
        whole_seconds = time.monotonic() - begin
        generator, killed, resumed, torn = random.Random(SEED), 0, 0, 0
        while killed < KILLS:
            process = self.start(*RUN, "--resume", "auto")
            # Most kills hit a run in training; some hit it while it starts. With many kills, it advances little in between.
            share = generator.random() * (2.0 / KILLS if KILLS <= 20 else 0.25)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.assertEqual(process.wait(share * whole_seconds), 0, self.told())
                # Done before all kills: again, with a run from the start.
                shutil.rmtree(self.folder / "run")
                continue
            process.kill()
            process.wait()
            killed += 1
            resumed += bool(list((self.folder / "run").glob("checkpoint-*")))
            torn += bool(list((self.folder / "run").glob(".*.tmp")))
        self.run_to_end(*RUN, "--resume", "auto")
        self.assertGreater(resumed, 0, "no kill came after a checkpoint")
        whole, run = self.folder / "whole", self.folder / "run"
        self.assertEqual(list(run.glob(".*.tmp")), [])
        patterns = ("checkpoint-320.safetensors", "best.safetensors", "last.safetensors", "evaluation.json")
        wanted, got = files_of(whole, *patterns), files_of(run, *patterns)
        self.assertEqual(sorted(wanted), sorted(got))
        for name, data in wanted.items():
            self.assertEqual(data, got[name], f"{name} differs after {killed} kills")
        self.assertEqual(records(whole), records(run))
        for path in run.glob("events.out.tfevents.*"):
            self.assertGreaterEqual(event_steps(path), 0)
        print(f"kills survived: {killed}; after {resumed} of them the run went on from a checkpoint; {torn} came during a save; seed {SEED}")

    def check_signal(self, number, code):
        process = self.start(*RUN, "--iterations", "100000")
        self.wait_for_steps(process, 6)
        process.send_signal(number)
        self.assertEqual(process.wait(60), code, self.told())
        return json.loads((self.folder / "run/log.jsonl").read_text().splitlines()[-1])["iteration"]

    def test_signals_save_and_give_their_exit_code(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                shutil.rmtree(self.folder / "run", ignore_errors=True)
                iteration = self.check_signal(number, 128 + number)
                newest = max(int(path.stem.split("-")[1]) for path in (self.folder / "run").glob("checkpoint-*"))
                self.assertGreaterEqual(newest, iteration)
                self.assertIn(f"stopped at iteration {newest} of", self.told())

    @staticmethod
    def catches(process, number):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        (caught,) = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")]
        return bool(caught >> (number - 1) & 1)

    # Each step takes a while, and the run would save its state after it.
    def test_a_second_signal_ends_the_run_at_once(self):
        for first, second in ((signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)):
            process = self.start(*RUN, "--synthetic-images", "256", "--batch-size", "128", "--crop-size", "32", "--iterations", "1000", "--log-every", "1", output=first.name)
            log = self.folder / first.name / "log.jsonl"
            self.wait_for(process, lambda: log.exists() and '"train"' in log.read_text())
            process.send_signal(first)
            self.wait_for(process, lambda: not self.catches(process, second))
            process.send_signal(second)
            try:
                self.assertEqual(process.wait(60), -second, self.told())
            finally:
                process.kill()
                process.wait()

    def test_a_signal_that_is_ignored_stays_ignored(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        try:
            process = self.start(*RUN, "--iterations", "100000", "--evaluate-every", "100000")
        finally:
            signal.signal(signal.SIGHUP, before)
        self.wait_for_steps(process, 6)
        process.send_signal(signal.SIGHUP)
        (begun,) = [json.loads(line)["iteration"] for line in (self.folder / "run/log.jsonl").read_text().splitlines()[-2:-1]]
        self.wait_for_steps(process, begun + 60)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM, self.told())

    def test_sigusr1_saves_and_the_run_goes_on(self):
        process = self.start(*RUN, "--iterations", "100000", "--checkpoint-every", "1000m", "--evaluate-every", "100000")
        self.wait_for_steps(process, 6)
        self.assertEqual(list((self.folder / "run").glob("checkpoint-*")), [])
        process.send_signal(signal.SIGUSR1)
        self.wait_for(process, lambda: list((self.folder / "run").glob("checkpoint-*")))
        (saved,) = (self.folder / "run").glob("checkpoint-*")
        self.wait_for_steps(process, int(saved.stem.split("-")[1]) + 6)
        process.kill()
        process.wait()
        self.assertIn("saving the state at iteration", self.told())

    def test_signal_ends_a_pass_over_the_images(self):
        # Many images: measuring them takes seconds.
        process = self.start(*DATA, "--synthetic-images", "400000", "--iterations", "5")
        self.wait_for(process, lambda: (self.folder / "run/run.lock").exists())  # signals are caught by then
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM, self.told())
        self.assertIn("nothing to save", self.told())

    def test_second_run_is_told_who_holds_the_folder(self):
        process = self.start(*RUN, "--iterations", "100000")
        self.wait_for_steps(process, 6)
        self.run_to_end(*RUN, "--resume", "auto", code=2)
        self.assertIn(f"process {process.pid})", self.told())
        self.run_to_end(*RUN, "--overwrite", code=2)
        self.wait_for(process, lambda: list((self.folder / "run").glob("checkpoint-*")))
        process.kill()
        process.wait()
        self.run_to_end(*RUN, code=2)
        self.assertIn("--overwrite", self.told())
        self.run_to_end(*RUN, "--iterations", "3", "--overwrite")
        self.assertEqual(sorted(path.name for path in (self.folder / "run").glob("checkpoint-*")), ["checkpoint-3.safetensors"])
        self.run_to_end(*RUN, "--overwrite", "--resume", "auto", code=2)

    def test_changed_settings_are_noted_and_logged(self):
        self.run_to_end(*RUN, "--iterations", "3", "--lr", "0.05")
        self.run_to_end(*RUN, "--iterations", "6", "--lr", "0.01", "--resume", "auto")
        self.assertIn("lr is now 0.01; the run had 0.05", self.told())
        changed = {record["name"]: (record["before"], record["now"]) for record in records(self.folder / "run") if record["type"] == "setting"}
        self.assertEqual(changed, {"lr": ("0.05", "0.01"), "iterations": ("3", "6")})

    def test_damaged_file_by_name_is_refused_and_auto_passes_it_over(self):
        self.run_to_end(*RUN, "--iterations", "12", "--checkpoint-every", "4", "--evaluate-every", "100")
        newest = self.folder / "run/checkpoint-12.safetensors"
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
        self.run_to_end(*RUN, "--resume", newest, code=2)
        self.assertIn("is damaged", self.told())
        self.run_to_end(*RUN, "--iterations", "16", "--resume", "auto")
        self.assertRegex(self.told(), r"passed over: \S*checkpoint-12\.safetensors is damaged")
        self.assertRegex(self.told(), r"resuming from \S*checkpoint-8\.safetensors")

    def test_time_limit_exits_75(self):
        for wrong in ("90", "0:00", "1:60", "1:5", "x:00", "-1:00"):
            self.run_to_end(*RUN, f"--time-limit={wrong}", code=2)
        process = self.start(*RUN, "--iterations", "100000", "--time-limit", "00:01")
        self.wait_for_steps(process, 6)
        process.send_signal(signal.SIGALRM)  # as the clock will
        self.assertEqual(process.wait(60), 75, self.told())
        self.assertIn("stopped at iteration", self.told())

    def test_time_limit_comes_by_itself(self):
        if KILLS <= 20:
            self.skipTest("the shortest limit is a minute: only in the long form")
        begin = time.monotonic()
        process = self.start(*RUN, "--iterations", "1000000", "--time-limit", "00:01")
        try:
            self.assertEqual(process.wait(600), 75, self.told())
        finally:
            process.kill()
            process.wait()
        self.assertGreater(time.monotonic() - begin, 55)

    def test_a_reader_of_the_output_that_goes_away_costs_nothing(self):
        words = merged([*RUN, "--iterations", "12", "--output", self.folder / "run"])
        with subprocess.Popen([BIN / "train-imagenet", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while b"iter 3/" not in process.stdout.readline():  # signals are caught by then
                self.assertIsNone(process.poll())
            process.stdout.close()
            self.assertEqual(process.wait(), 0, process.stderr.read())
        self.assertTrue((self.folder / "run/checkpoint-12.safetensors").exists())

    # As "ulimit -f" does.
    def test_a_file_size_that_is_not_allowed_is_a_failed_save(self):
        words = merged([*RUN, "--iterations", "6", "--output", self.folder / "run"])
        small = (1 << 19, 1 << 19)
        ended = subprocess.run([BIN / "train-imagenet", *words], capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small))
        self.assertEqual(ended.returncode, 1, ended)
        self.assertRegex(ended.stderr, "last state could not be saved: .*File too large")

    def test_full_disk_keeps_the_run_and_its_folder(self):
        place = self.folder / "small"
        place.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode:
            self.skipTest("mounting a file system needs root")
        try:
            self.run_to_end(*RUN, "--iterations", "12", output="small/run", code=1)
            self.assertRegex(self.told(), "a save failed before iteration .*No space left")
            self.assertIn("last state could not be saved", self.told())
            self.assertEqual([record["iteration"] for record in records(place / "run") if record["type"] == "train"], [3, 6, 7, 9, 12])
            self.assertEqual(list((place / "run").glob(".*.tmp")), [])
        finally:
            subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--kills", type=int, default=5, help="number of kills")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments; printed with the result")
    arguments, rest = parser.parse_known_args()
    BIN, KILLS, SEED = arguments.bin.absolute(), arguments.kills, arguments.seed
    unittest.main(argv=[sys.argv[0], *rest])
