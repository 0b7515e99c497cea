#!/usr/bin/python3
"""Trains for many epochs, each with a validation and checkpoints, and holds the process's memory, file handles and threads constant.

usage: long_run_test.py --bin DIR [--epochs N]

The first quarter of the epochs is a warm-up. Over the others, a straight line is fitted to the memory in use: it must not rise by
1 MiB. File handles are compared by the fewest and the most in each tenth of the run, because a save opens files."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = os.sysconf("SC_PAGESIZE")
MOST_GROWTH = 1 << 20  # bytes over the run
WARM_UP = 0.25
PARTS = 10
PF_EXITING = 4  # of the flags in /proc/PID/stat; see proc(5)


def fail(message):
    sys.exit(f"long_run_test: {message}")


class Epochs:
    """Counts the validations in a log that grows."""

    def __init__(self, log):
        self.log = log
        self.offset = 0
        self.count = 0

    def now(self):
        if self.log.exists():
            with open(self.log, "rb") as file:
                file.seek(self.offset)
                text = file.read()
            whole = text[:text.rfind(b"\n") + 1]
            self.offset += len(whole)
            self.count += whole.count(b'"type":"validation"')
        return self.count


def children_of(pid):
    """The process's children, with the state of each: "Z" is one that nobody has waited for."""
    states = []
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            try:
                states.append(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0])
            except OSError:
                pass
    return states


def is_running(task):
    """Whether a thread has not ended. The kernel may list it for a moment after it has been joined."""
    try:
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return not int(fields[6]) & PF_EXITING


def sample(pid, epochs):
    return {"epoch": epochs.now(), "rss": int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE,
            "handles": len(os.listdir(f"/proc/{pid}/fd")), "threads": sum(map(is_running, Path(f"/proc/{pid}/task").iterdir())),
            "children": len(children_of(pid))}


def growth(samples, key):
    """The rise of a straight line through the samples, fitted by least squares, from the first to the last."""
    x = [s["epoch"] for s in samples]
    y = [s[key] for s in samples]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    square = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / square if square else 0.0
    return slope * (x[-1] - x[0])


def train(program, folder, epochs):
    """Runs the program and returns samples, at most one for each epoch."""
    # One step an epoch on the smallest images; one thread, because those of OpenMP do not matter here.
    command = [program, "--dataset", "synthetic", "--synthetic-images", "16", "--synthetic-classes", "2", "--model", "resnet20",
               "--crop-size", "8", "-b", "16", "--lr", "0.01", "--epochs", str(epochs), "--device", "cpu", "--threads", "1",
               "--workers", "1", "--precision", "fp32", "--log-every", "1", "--evaluate-every", "1", "--output", folder / "run"]
    samples = []
    counted = Epochs(folder / "run" / "log.jsonl")
    with open(folder / "printed", "wb") as printed, subprocess.Popen(command, stdout=printed, stderr=printed) as process:
        while process.poll() is None and counted.count < epochs:
            time.sleep(0.01)
            try:
                now = sample(process.pid, counted)
            except OSError:  # a thread or a child has just ended
                continue
            if now["epoch"] > (samples[-1]["epoch"] if samples else 0):
                samples.append(now)
    if process.returncode:
        fail(f"exit {process.returncode}: {(folder / 'printed').read_text()}")
    if counted.now() != epochs:
        fail(f"{counted.count} validations in {epochs} epochs")
    return samples


def extremes(samples, key):
    """The fewest and the most in each part of the run."""
    parts = [samples[len(samples) * i // PARTS:len(samples) * (i + 1) // PARTS] for i in range(PARTS)]
    return [(min(s[key] for s in part), max(s[key] for s in part)) for part in parts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--samples", type=Path, help="write the samples to this file, one JSON object a line")
    arguments = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "passive"
    # Each save waits for the disk, unless there is none.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="residua-long-run-", dir=memory))
    try:
        samples = train(arguments.bin / "train-imagenet", folder, arguments.epochs)
    finally:
        shutil.rmtree(folder)
    if arguments.samples:
        arguments.samples.write_text("".join(json.dumps(s) + "\n" for s in samples))
    warm = [s for s in samples if s["epoch"] > WARM_UP * arguments.epochs]
    if len(warm) < 2 * PARTS:
        fail(f"{len(warm)} samples are too few")
    rise = growth(warm, "rss")
    handles, threads = extremes(warm, "handles"), extremes(warm, "threads")
    print(f"{arguments.epochs} epochs, {len(samples)} samples; after {warm[0]['epoch']} epochs: memory {warm[0]['rss'] >> 10} KiB, at "
          f"the end {warm[-1]['rss'] >> 10} KiB, fitted growth {rise / 1024:.0f} KiB; handles {handles}; threads {threads}; "
          f"most children {max(s['children'] for s in warm)}")
    if rise >= MOST_GROWTH:
        fail(f"memory grows by {rise / 1024:.0f} KiB from epoch {warm[0]['epoch']} to {warm[-1]['epoch']}")
    for name, parts in (("file handles", handles), ("threads", threads)):
        if parts[-1][0] > parts[0][0] or parts[-1][1] > max(most for _, most in parts[:-1]):
            fail(f"{name} grow: fewest and most in each tenth of the run are {parts}")
    if max(s["children"] for s in warm) > 1:
        fail("processes that draw curves are not waited for")


if __name__ == "__main__":
    main()
