"""Starts programs, and enforces each piece's time limit."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from .outcome import BudgetEnded, CannotRun, PieceFailed


def excerpt(text, shown=6000):
    """A program's output, with the middle of long output cut out."""
    return text if len(text) <= 2 * shown else f"{text[:shown]}\n[...]\n{text[-shown:]}"


class Runner:
    """The environment of the pieces: programs, device, caches, and the time left for the current piece."""

    def __init__(self, binaries, device, rehearsal, python, data):
        self.binaries, self.device, self.rehearsal = pathlib.Path(binaries), device, rehearsal
        self.python, self.data = python, data
        self.cache = pathlib.Path(os.environ["XDG_CACHE_HOME"])
        self.deadline, self.budget_is_limit, self.limit_s = 0.0, False, 0.0
        self.known = {}  # what a piece has found out for later ones of this call

    def begin(self, limit_s, budget_left_s):
        """Starts a piece's clock: it may take `limit_s`, but no more than is left of the budget."""
        self.budget_is_limit = budget_left_s < limit_s
        self.limit_s = min(limit_s, budget_left_s)
        self.deadline = time.monotonic() + self.limit_s

    def seconds_left(self):
        return max(self.deadline - time.monotonic(), 0)

    def program(self, name):
        path = self.binaries / name
        if not path.exists():
            raise CannotRun(f"{path} does not exist")
        return str(path)

    def test_environment(self):
        """The tests have their own plan cache, because other plans are fastest in their small, guarded memory."""
        return {**os.environ, "XDG_CACHE_HOME": str(self.test_cache())}

    def test_cache(self):
        return self.cache / "residua-gpu-check"

    def stop_for_time(self, found):
        if not self.budget_is_limit:
            raise PieceFailed(f"did not end within {self.limit_s:.0f} s", found)
        # The plan being tried is not to blame: without this, the engine would reject a plan that did not return.
        for cache in (self.cache, self.test_cache()):
            for trial in (cache / "residua").glob("plans.json.trying-*"):
                trial.unlink(missing_ok=True)
        raise BudgetEnded()

    def run(self, command, **options):
        """Runs a program within the piece's time; returns the finished process, or fails with its last line of output."""
        if self.seconds_left() <= 0:
            self.stop_for_time({})
        # In its own process group, so that nothing a sanitizer has started survives into the next piece.
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   errors="replace", start_new_session=True, **options)  # fmt: skip
        in_time = True
        try:
            stdout, stderr = process.communicate(timeout=self.seconds_left())
        except subprocess.TimeoutExpired:
            in_time = False
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the whole group has ended
            if not in_time or process.poll() is None:  # it may have ended just now
                stdout, stderr = process.communicate()
        if not in_time:
            self.stop_for_time({"output": excerpt(stdout + stderr)})
        if process.returncode:
            last = ((stderr.strip() or stdout.strip()).splitlines() or ["no message"])[-1]
            name = pathlib.Path(command[0]).name
            raise PieceFailed(f"{name} exited {process.returncode}: {last[:300]}", {"output": excerpt(stdout + stderr)})
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def report(self, command, **options):
        """Runs a program that writes a JSON object to its --json file; returns the object."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "report.json"
            try:
                self.run([*command, "--json", path], **options)
            except PieceFailed as problem:
                if path.exists():
                    problem.found["report"] = read_object(path)
                raise
            return read_object(path)


def read_object(path):
    """The JSON object in a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PieceFailed(f"cannot read the report: {error}") from None
    if not isinstance(value, dict):
        raise PieceFailed("the report is not a JSON object")
    return value
