"""Parts `memcheck`, `racecheck`, `initcheck` and `synccheck`: the operations' tests under NVIDIA's compute-sanitizer."""

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
NOT_WATCHED = "-*conv2d*:*linear*"  # kernels that are not checked write their outputs


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
    # Check only this project's kernels: NVIDIA's are not ours to fix, and slow to check. Failed API calls inside its libraries are
    # not errors either.
    options = runner.run([command[0], "--help"]).stdout
    command += next(([option, "kns=residua"] for option in ("--kernel-name", "--kernel-regex") if option in options), [])
    return command + (["--report-api-errors", "no"] if tool == "memcheck" else [])


def sanitize(tool, tests):
    def work(runner, _):
        command = command_of(runner, tool)
        tested = [*test_program(runner, tests), "--gtest_brief=1"]
        chosen = runner.test_cache() / "residua" / "plans.json"
        if not runner.rehearsal and not chosen.exists():
            # Choose plans without the tool: timing them under it would be slow and misleading.
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
            raise PieceFailed("the sanitizer did not report 0 errors: it may not have checked the tests", {"output": excerpt(done.stdout + done.stderr)})
        return {"summary": f"{ran.group(1)} tests without errors"}

    return work


def pieces():
    """The first two tools on a subset of tests; the same on more tests, and the other tools."""
    return (
        [Piece("memcheck", "forward", 60, 200, sanitize("memcheck", FORWARD)), Piece("racecheck", "forward", 45, 200, sanitize("racecheck", FORWARD))],
        [
            Piece("memcheck", "backward", 80, 280, sanitize("memcheck", MORE)),
            Piece("racecheck", "backward", 60, 280, sanitize("racecheck", MORE)),
            Piece("initcheck", "forward", 60, 280, sanitize("initcheck", FORWARD + NOT_WATCHED)),
            Piece("synccheck", "forward", 45, 280, sanitize("synccheck", FORWARD)),
        ],
    )
