"""train-imagenet: its flags, its output, its processes."""

import ctypes
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from .refusal import Refusal

DRY_RUN_FIELDS = ("version", "digest", "configuration", "train_set", "validation_set", "iterations", "iterations_per_epoch", "validation_images", "parameters", "device", "processor", "precision")  # fmt: skip
PRECISIONS = ("fp32", "bf16", "fp16")  # besides auto: the values of --precision, and of --dry-run's precision

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1][:400]


def divisor_near(number, most):
    """The largest divisor of `number` up to `most`, so that log records start at checkpoints."""
    return max(divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0)


def end_with_parent(parent):
    """For a child before exec: it gets SIGTERM, and saves, if this script is killed."""

    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # killed in between
            os._exit(1)

    return prepare


class Trainer:
    """The program, and the flags that all arms of a grid share."""

    def __init__(self, program, preset, data):
        self.program, self.preset = pathlib.Path(program), preset
        self.shared = ([str(data)] if data else []) + list(preset.words)
        self.workers = 1  # loader threads per arm
        if not self.program.exists():
            raise Refusal(f"{self.program} does not exist: build it (cmake --preset cpu && cmake --build --preset cpu --target train-imagenet), or give its folder by --programs")

    def settings(self, arm, precision, iterations=None, iterations_per_epoch=None):
        """All flags that affect results."""
        words = [*self.shared, *arm.net.words(), "--seed", str(arm.seed), "--precision", precision, *self.preset.warmups.get(arm.net.depth, ())]
        words += ["--clean-train", str(self.preset.clean_train), "--evaluate-every", "1"]
        if iterations:
            words += ["--iterations", str(iterations)]
        if iterations_per_epoch:
            words += ["--log-every", str(divisor_near(iterations_per_epoch, 50))]
        return words

    def machine(self, device):
        """Always one compute thread, because the number changes the last bits of results; the number of workers does not."""
        return ["--device", device, "--threads", "1", "--workers", str(self.workers)]

    def dry_run(self, words, device):
        """What the program would train: the JSON object that it prints."""
        command = [str(self.program), *words, *self.machine(device), "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise Refusal(f"{self.program.name} exited {done.returncode}: {last_line(done.stderr or done.stdout)}")
        try:
            facts = json.loads(done.stdout)
            missing = [name for name in DRY_RUN_FIELDS if name not in facts]
        except (ValueError, TypeError) as problem:
            raise Refusal(f"{self.program.name} --dry-run did not print a JSON object: {problem}") from None
        if missing:
            raise Refusal(f"{self.program.name} --dry-run did not print {', '.join(missing)}: its version does not match this script")
        if facts["precision"] not in PRECISIONS:
            raise Refusal(f"{self.program.name} --dry-run printed the precision {facts['precision']}, wanted one of {', '.join(PRECISIONS)}: its version does not match this script")
        return facts

    def train(self, words, device, folder):
        return [str(self.program), *words, *self.machine(device), "--output", str(folder), "--resume", "auto"]

    def layer_statistics(self, words, device, path, weights=None):
        chosen = ["--weights", str(weights)] if weights else []
        batches = ["--statistics-batches", str(self.preset.statistics_batches)]
        return [str(self.program), *words, *self.machine(device), *chosen, "--layer-statistics", str(path), *batches]

    @staticmethod
    def start(command, console, kept=()):
        """Starts a program in its own process group, which Ctrl-C in the terminal does not reach. It keeps the files `kept` open."""
        with open(console, "ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=kept, process_group=0,
                                    preexec_fn=end_with_parent(os.getpid()))  # fmt: skip

    def measure(self, words, devices, seconds):
        """Images per second of one arm while one arm runs on each of `devices`."""
        words = [*words, "--iterations", "1000000", "--log-every", "4"]
        with tempfile.TemporaryDirectory(prefix="degradation-") as folder:
            places = [pathlib.Path(folder) / str(index) for index in range(len(devices))]
            for place in places:
                place.mkdir()
            processes = [self.start(self.train(words, device, place), place / "console.txt") for device, place in zip(devices, places)]
            try:
                first = None
                while True:
                    speeds = [train_speeds(place / "log.jsonl") for place in places]
                    if min(map(len, speeds)) >= 1 and first is None:
                        first = time.monotonic()
                    if min(map(len, speeds)) >= 3 and time.monotonic() - first >= seconds:
                        # Skip the first record, which includes warm-up.
                        rates = [len(known[1:]) / sum(1 / speed for speed in known[1:]) for known in speeds]
                        return sum(rates) / len(rates)
                    for process, place in zip(processes, places):
                        if process.poll() is not None:
                            text = (place / "console.txt").read_text(encoding="utf-8", errors="replace")
                            raise Refusal(f"{self.program.name} exited {process.returncode} during measurement: {last_line(text)}")
                    time.sleep(0.05)
            finally:
                for process in processes:
                    process.kill()
                    process.wait()


def log_records(path, most_bytes=None):
    """The complete records of a log.jsonl, or of its last `most_bytes`."""
    try:
        with open(path, "rb") as file:
            if most_bytes:
                file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
            record["type"], record["iteration"]
            records.append(record)
        except (ValueError, KeyError, TypeError):
            continue  # truncated by `most_bytes` or by a kill
    return records


def train_speeds(path):
    return [float(record["images_per_second"]) for record in log_records(path) if record["type"] == "train"]
