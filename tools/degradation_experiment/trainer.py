"""train-imagenet: its flags, its output, its processes."""

import ctypes
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time

from .division import Division
from .refusal import Refusal

DRY_RUN_FIELDS = ("version", "digest", "configuration", "train_set", "validation_set", "iterations", "iterations_per_epoch", "validation_images", "parameters", "device", "processor", "precision")  # fmt: skip
PRECISIONS = ("fp32", "bf16", "fp16")  # besides auto: the values of --precision, and of --dry-run's precision

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def last_line(text):
    """The last line, or the last one of a rank: the launcher writes lines of its own after them."""
    lines = text.strip().splitlines() or ["no message"]
    return ([line for line in lines if re.match(r"rank \d+ of \d+: ", line)] or lines)[-1][:400]


def divisor_near(number, most):
    """The largest divisor of `number` up to `most`, so that log records start at checkpoints."""
    return max(divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0)


def end_with_parent(parent, number):
    """For a child before exec: it gets this signal if this script is killed."""

    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # killed in between
            os._exit(1)

    return prepare


class Trainer:
    """The program, and the flags that all arms of a grid share."""

    def __init__(self, program, preset, data):
        self.program, self.preset = pathlib.Path(program), preset
        self.shared = ([str(data)] if data else []) + list(preset.words)
        self.division, self.launcher = Division(), []  # the launcher: command that starts the ranks
        self.workers = 1  # loader threads of a rank
        self.lock = []  # command that runs each process under a lock (OutputLock.words)
        if not self.program.exists():
            raise Refusal(f"{self.program} does not exist: build it (cmake --preset cpu && cmake --build --preset cpu --target train-imagenet), or give its folder by --programs")

    def settings(self, arm, precision, iterations=None, iterations_per_epoch=None):
        """All flags that affect results."""
        words = [*self.shared, *arm.net.words(), "--seed", str(arm.seed), "--precision", precision, *self.preset.warmups.get(arm.net.depth, ())]
        words += ["--clean-train", str(self.preset.clean_train), "--evaluate-every", "1"]
        if self.division.group:
            words += ["--bn-group", str(self.division.group)]
        if iterations:
            words += ["--iterations", str(iterations)]
        if iterations_per_epoch:
            words += ["--log-every", str(divisor_near(iterations_per_epoch, 50))]
        return words

    def machine(self, place):
        """The number of compute threads changes the last bits of results; the number of workers does not."""
        return ["--device", place.device, "--threads", str(self.division.threads), "--workers", str(self.workers)]

    def launch(self, ranks, launcher):
        """Arms run over so many ranks, which the words `launcher` start. Fails if they start another number, or none."""
        self.launcher = launcher
        command = [*launcher, str(self.program), "--version"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        except OSError as problem:
            raise Refusal(f"cannot start {ranks} ranks by {shlex.join(command)}: {problem.strerror}; install Open MPI, or give another --launcher") from None
        started = done.stdout.count(f"{self.program.name} ")
        if done.returncode:
            raise Refusal(f"{shlex.join(command)} exited {done.returncode}:\n{done.stderr.strip()}")
        if started != ranks:
            raise Refusal(f"--launcher {shlex.join(launcher)} starts {started} ranks, wanted --ranks {ranks}")

    def dry_run(self, words, place):
        """What the program would train: the JSON object that it prints."""
        command = [str(self.program), *words, *self.machine(place), "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=place.environment())
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

    @property
    def save_signal(self):
        """The signal by which a started command saves and ends. mpirun passes SIGALRM on, but kills its ranks a second after SIGTERM."""
        return signal.SIGALRM if {"mpirun", "mpiexec"} & {pathlib.Path(word).name for word in self.launcher} else signal.SIGTERM

    def train(self, words, place, folder):
        return [*self.launcher, *self.lock, str(self.program), *words, *self.machine(place), "--output", str(folder), "--resume", "auto"]

    def layer_statistics(self, words, place, path, weights=None):
        chosen = ["--weights", str(weights)] if weights else []
        batches = ["--statistics-batches", str(self.preset.statistics_batches)]
        return [*self.lock, str(self.program), *words, *self.machine(place), *chosen, "--layer-statistics", str(path), *batches]

    def start(self, command, place, console):
        """Starts a program in its own process group, which Ctrl-C in the terminal does not reach."""
        with open(console, "ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0, env=place.environment(),
                                    preexec_fn=end_with_parent(os.getpid(), self.save_signal))  # fmt: skip

    def measure(self, words, places, seconds):
        """Images per second of one arm while one arm runs in each of `places`."""
        words = [*words, "--iterations", "1000000", "--log-every", "4"]
        with tempfile.TemporaryDirectory(prefix="degradation-") as folder:
            outputs = [pathlib.Path(folder) / str(index) for index in range(len(places))]
            for output in outputs:
                output.mkdir()
            processes = [self.start(self.train(words, place, output), place, output / "console.txt") for place, output in zip(places, outputs)]
            try:
                first = None
                while True:
                    speeds = [train_speeds(output / "log.jsonl") for output in outputs]
                    if min(map(len, speeds)) >= 1 and first is None:
                        first = time.monotonic()
                    if min(map(len, speeds)) >= 3 and time.monotonic() - first >= seconds:
                        # Skip the first record, which includes warm-up.
                        rates = [len(known[1:]) / sum(1 / speed for speed in known[1:]) for known in speeds]
                        return sum(rates) / len(rates)
                    for process, output in zip(processes, outputs):
                        if process.poll() is not None:
                            text = (output / "console.txt").read_text(encoding="utf-8", errors="replace")
                            raise Refusal(f"{self.program.name} exited {process.returncode} during measurement: {last_line(text)}")
                    time.sleep(0.05)
            finally:
                for process in processes:
                    (process.terminate if self.launcher else process.kill)()  # a launcher ends its ranks
                for process in processes:
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
