"""Parts `fused` and `ops`: compares operations and steps on the device with their definitions and the CPU device."""

import json
import pathlib
import re
import tempfile

from .outcome import CannotRun, PieceFailed
from .piece import Piece
from .runner import excerpt

FUSED = "FusedConvolution.*:*TrainStep*cuda*:*Sgd*cuda*"
FORWARD = "*Contracts*_cuda:*OpForward.Agrees*_cuda"
GRADIENTS = "*OpGradientFormula*_cuda"
# Suites whose tests run on every available device.
EVERY_DEVICE = ("*cuda*:*Sgd*:*Contract*:*Kernel*:*Convolution*:*Norm*:*Pool*:Add*:Cast*:Relu*:Flatten*:SoftmaxCrossEntropy*:"
                "AugmentInput*:Stopwatch*:Timestamp*-*_cpu:CudnnPlans*:KernelBench*")  # fmt: skip
OTHERS = ":".join((EVERY_DEVICE, FUSED, FORWARD, GRADIENTS))
# Rehearsals run a few of these tests on the host CUDA device if its test program is built, else on the CPU device.
HOST_CUDA = "residua-host-cuda-tests"


def test_program(runner, tests):
    """The test program and its filter."""
    if not runner.rehearsal:
        return [runner.program("residua-tests"), f"--gtest_filter={tests}"]
    try:
        return [runner.program(HOST_CUDA), "--gtest_filter=*OpForward*/add_*cuda*"]
    except CannotRun:
        return [runner.program("residua-tests"), "--gtest_filter=*OpForward*/add_*cpu*"]


def run_tests(tests):
    def work(runner, _):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tests.json"
            problem, output = None, ""
            try:
                output = runner.run([*test_program(runner, tests), f"--gtest_output=json:{path}"], env=runner.test_environment()).stdout
            except PieceFailed as error:
                problem, output = error, error.found.get("output", "")
            if not path.exists():
                begun = re.findall(r"\[ RUN +\] (\S+)", output)
                raise PieceFailed(f"{problem or 'the tests wrote no report'}; the last test started was {begun[-1] if begun else 'none'}", {"output": excerpt(output)})
            report = json.loads(path.read_text(encoding="utf-8"))
        ran = [(f"{suite['name']}.{test['name']}", test) for suite in report["testsuites"] for test in suite["testsuite"] if test["result"] == "COMPLETED"]
        failed = {name: [failure["failure"][:2000] for failure in test["failures"][:3]] for name, test in ran if test.get("failures")}
        summary = f"{len(ran)} tests, {len(failed)} failed"
        # If the programs find no CUDA device, the remaining tests pass on the CPU.
        if not runner.rehearsal and not any("cuda" in name for name, _ in ran):
            raise PieceFailed(f"{summary}, none of them on a CUDA device: bin/train-imagenet --device cuda says why", {"output": excerpt(output)})
        if failed or problem or not ran:
            raise PieceFailed(f"{summary}: {', '.join(list(failed)[:3]) or problem or 'no test was found'}", {"output": excerpt(output), "failures": failed})
        return {"summary": summary}

    return work


def pieces():
    """The two parts, and the remaining tests."""
    return (
        [Piece("fused", "convolutions and whole steps", 35, 150, run_tests(FUSED))],
        [Piece("ops", "contracts and forward", 35, 150, run_tests(FORWARD)), Piece("ops", "gradients", 35, 150, run_tests(GRADIENTS))],
        [Piece("ops", "all other tests", 90, 280, run_tests(OTHERS))],
    )
