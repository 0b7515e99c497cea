"""Runs arms in parallel. Files record what is done, so that a call stopped at any time can be resumed."""

import fcntl
import os
import select
import shutil
import signal
import sys

from .progress import Progress
from .refusal import Refusal
from .results import ArmFolder
from .trainer import last_line

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(text):
    print(f"degradation: {text}", file=sys.stderr, flush=True)


class OutputLock:
    """Only one call at a time uses an output folder, and only after the trainers of a killed call have ended."""

    def __init__(self, output):
        output.mkdir(parents=True, exist_ok=True)
        self.script = open(output / ".lock", "a+b")
        # Each trainer shares the second lock. A launcher closes the files of its ranks, so each process locks it anew.
        self.trainers = open(output / ".trainers.lock", "a+b")
        try:
            fcntl.flock(self.script, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"another call is using {output}: wait until it ends, or use another --output") from None
        try:
            fcntl.flock(self.trainers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for the trainers of an earlier call in {output} to save and exit")
            fcntl.flock(self.trainers, fcntl.LOCK_EX)
        fcntl.flock(self.trainers, fcntl.LOCK_SH)

    def words(self):
        """The command that keeps the lock while the program after these words runs."""
        if not shutil.which("flock"):
            raise Refusal("cannot find the command flock: install util-linux")
        return ["flock", "--shared", "--no-fork", os.path.abspath(self.trainers.name)]


class Running:
    """The process of one arm."""

    def __init__(self, arm, made, process, slot, save_signal):
        self.arm, self.made, self.process, self.slot, self.save_signal = arm, made, process, slot, save_signal
        self.pidfd = os.pidfd_open(process.pid)
        self.signals_sent = 0


class Runner:
    def __init__(self, plan, output):
        self.plan = plan
        self.folders = {arm.name: ArmFolder(output, arm, plan.facts[arm.name]) for arm in plan.arms}
        self.results = {}
        self.failed = {}  # arm's name -> why
        self.running = []
        self.processors = {}  # place -> its processor, from --dry-run
        self.signal, self.signals = 0, 0

    def look(self):
        """Reads the finished arms. Fails if folders hold something else, and lists all of them."""
        problems = []
        for arm in self.plan.arms:
            try:
                result = self.folders[arm.name].result()
                if result is None:
                    self.folders[arm.name].check_unfinished()
                else:
                    self.results[arm.name] = result
            except Refusal as problem:
                problems.append(str(problem))
        if problems:
            raise Refusal("\n".join(problems))

    def to_run(self):
        return [arm for arm in self.plan.arms if self.stage(arm) is not None]

    def stage(self, arm):
        """The next stage of an arm: (file that it makes, function that returns its command), or None. Statistics of a finished arm need its
        weights."""
        folder, result = self.folders[arm.name], self.results.get(arm.name)
        if result is None and not folder.layers_initial.exists():
            return folder.layers_initial, lambda trainer, words, place: trainer.layer_statistics(words, place, new(folder.layers_initial))
        if result is None:
            return folder.file("result.json"), lambda trainer, words, place: trainer.train(words, place, folder.path)
        weights = folder.file("last.safetensors")
        if not result.diverged and weights.exists() and not folder.layers_final.exists():
            return folder.layers_final, lambda trainer, words, place: trainer.layer_statistics(words, place, new(folder.layers_final), weights)
        return None

    def run(self, trainer, places):
        """Runs the remaining arms. Returns the signal that stopped it, or 0."""
        queue = self.to_run()
        self.processors = self._processors(trainer, queue, places)
        progress = Progress(self.plan.arms, self.plan.size.iterations, len(places), self.results.keys(), self.folders, sys.stderr.isatty())
        say(f"{len(self.results)} of {len(self.plan.arms)} arms are done; {len(queue)} to run, {len(places)} in parallel")
        before = {number: signal.signal(number, self._stop) for number in STOPPING}
        free = list(range(len(places)))
        try:
            while self.running or (queue and not self.signal):
                while queue and free and not self.signal:
                    slot = free.pop(0)
                    self._start(queue.pop(0), slot, trainer, places[slot])
                # Wait even after a signal: trainers need time to save.
                ended, _, _ = select.select([run.pidfd for run in self.running], [], [], progress.interval_s())
                for run in [run for run in self.running if run.pidfd in ended]:
                    progress.clear(sys.stderr)
                    free.append(run.slot)
                    if self._ended(run):
                        queue.insert(0, run.arm)
                free.sort()
                progress.show(self.results.keys(), [run.arm for run in self.running], sys.stderr)
        finally:
            progress.clear(sys.stderr)
            for run in self.running:  # only if this script itself fails
                run.process.terminate()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.signal

    def _processors(self, trainer, queue, places):
        """The processor of each place, if any arm is still to be trained."""
        arm = next((arm for arm in queue if arm.name not in self.results), None)
        return {place: trainer.dry_run(self.plan.words(trainer, arm), place)["processor"] for place in set(places)} if arm else {}

    def _start(self, arm, slot, trainer, place):
        folder = self.folders[arm.name]
        made, command = self.stage(arm)
        if arm.name not in self.results:
            folder.begin([] if made == folder.layers_initial else [self.processors[place]])
        words = command(trainer, self.plan.words(trainer, arm), place)
        process = trainer.start(words, place, folder.file("console.txt"))
        self.running.append(Running(arm, made, process, slot, trainer.save_signal))
        self._forward()  # a signal may have come during the start

    def _ended(self, run):
        """Records how a process ended. Returns whether its arm has another stage."""
        code = run.process.wait()
        os.close(run.pidfd)
        self.running.remove(run)
        folder, name = self.folders[run.arm.name], run.arm.name
        if name not in self.results:
            result = folder.result()
            if result is not None:
                self.results[name] = result
                say(f"{name} diverged: its loss became NaN or infinite" if result.diverged else f"{name} is done: test error {result.test.top1:.2f} %")
        if code == 0 and new(run.made).exists():
            os.replace(new(run.made), run.made)
        if run.made.exists():
            return self.stage(run.arm) is not None
        if not self.signal:
            console = folder.file("console.txt")
            why = f"it was killed by signal {-code}" if code < 0 else f"it exited {code} without {run.made.name}"
            self.failed[name] = f"{why}: {last_line(console.read_text(encoding='utf-8', errors='replace'))} ({console})"
            say(f"{name} failed: {self.failed[name]}")
        return False

    def _stop(self, number, _frame):
        self.signal = self.signal or number
        self.signals += 1
        self._forward()

    def _forward(self):
        """Passes each signal to each trainer once: the first makes it save, the second ends it at once."""
        for run in list(self.running):
            while run.signals_sent < self.signals:
                run.signals_sent += 1
                try:
                    run.process.send_signal(run.save_signal if run.signals_sent == 1 else signal.SIGTERM)
                except ProcessLookupError:
                    break


def new(path):
    """The temporary path of a file while it is written."""
    return path.with_name(f"{path.name}.new")
