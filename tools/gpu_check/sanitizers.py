"""Parts `memcheck`, `racecheck`, `initcheck` and `synccheck`: NVIDIA's sanitizers over the operations' tests."""

import os
import pathlib
import re
import shutil
import tempfile

from .numerics import FORWARD, test_program
from .outcome import CannotRun, PieceFailed
from .piece import Piece
from .runner import excerpt

MORE = "*OpBackward.WritesIntoGradientBuffersAndAddsToThem*cuda*:*SgdTest*cuda*"
NOT_WATCHED = "-*conv2d*:*linear*"  # their outputs are written by kernels that are not watched


def compute_sanitizer():
    places = [os.environ.get(name, "") + "/bin" for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda/bin"]
    found = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=os.pathsep.join(places))
    if not found:
        raise CannotRun("compute-sanitizer is not installed")
    return found


def command_of(runner, tool):
    if runner.rehearsal:
        return []
    command = [compute_sanitizer(), "--tool", tool, "--error-exitcode", 99, "--print-limit", 5, "--target-processes", "all"]
    # Only this project's kernels: what NVIDIA's do is not for us to mend, and slow to watch. A call that a library tries and does
    # without is no error either.
    options = runner.run([command[0], "--help"]).stdout
    command += next(([option, "kns=residua"] for option in ("--kernel-name", "--kernel-regex") if option in options), [])
    return command + (["--report-api-errors", "no"] if tool == "memcheck" else [])


def sanitize(tool, tests):
    def work(runner, _):
        command = command_of(runner, tool)
        tested = [*test_program(runner, tests), "--gtest_brief=1"]
        chosen = runner.test_cache() / "residua" / "plans.json"
        if not runner.rehearsal and not chosen.exists():
            # Plans are chosen without the tool: their times under it would be slow to take, and not to be kept.
            runner.run(tested, env=runner.test_environment())
        with tempfile.TemporaryDirectory() as cache:
            if chosen.exists():
                (pathlib.Path(cache) / "residua").mkdir()
                shutil.copy(chosen, pathlib.Path(cache) / "residua" / chosen.name)
            # Poison would count as initialized.
            environment = {**os.environ, "XDG_CACHE_HOME": cache, **({"RESIDUA_TEST_POISON": "off"} if tool == "initcheck" else {})}
            done = runner.run([*command, *tested], env=environment)
        ran = re.search(r"PASSED +\] (\d+) test", done.stdout)
        if not ran or ran.group(1) == "0":
            raise PieceFailed("no test was run", {"output": excerpt(done.stdout + done.stderr)})
        if not runner.rehearsal and not re.search(r"(ERROR|RACECHECK) SUMMARY: 0 ", done.stdout + done.stderr):
            raise PieceFailed("the sanitizer did not say that it found nothing: it may not have seen the tests", {"output": excerpt(done.stdout + done.stderr)})
        return {"summary": f"{ran.group(1)} tests without a finding"}

    return work


def pieces():
    """The two that come first, on a subset; the same on more tests, and the others."""
    return (
        [Piece("memcheck", "forward", 60, 200, sanitize("memcheck", FORWARD)), Piece("racecheck", "forward", 45, 200, sanitize("racecheck", FORWARD))],
        [
            Piece("memcheck", "backward", 80, 280, sanitize("memcheck", MORE)),
            Piece("racecheck", "backward", 60, 280, sanitize("racecheck", MORE)),
            Piece("initcheck", "forward", 60, 280, sanitize("initcheck", FORWARD + NOT_WATCHED)),
            Piece("synccheck", "forward", 45, 280, sanitize("synccheck", FORWARD)),
        ],
    )
