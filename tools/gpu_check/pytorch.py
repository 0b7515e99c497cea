"""Parts `pytorch` and `compile`: the same steps in this machine's PyTorch."""

import os
import pathlib

from .outcome import CannotRun, PieceFailed
from .piece import Piece
from .steps import sizes

PEER = pathlib.Path(__file__).resolve().parent.parent.parent / "bench" / "peers" / "step_torch.py"


def check_pytorch(runner):
    """The version of a usable PyTorch; checked once per call."""
    if "pytorch" not in runner.known:
        test = "import torch, torchvision; print(torch.__version__)" + ("" if runner.rehearsal else "; assert torch.cuda.is_available()")
        try:
            runner.known["pytorch"] = runner.run([runner.python, "-c", test]).stdout.strip()
        except (PieceFailed, OSError):
            runner.known["pytorch"] = None
    if runner.known["pytorch"] is None:
        raise CannotRun(f"{runner.python} has no torch and torchvision that can use the GPU: give another interpreter by --python")
    return runner.known["pytorch"]


def run_peer(model, precision, execution):
    def work(runner, _):
        version = check_pytorch(runner)
        mode = f"autocast-{'eager' if runner.rehearsal else execution}-nhwc"
        command = [runner.python, PEER, "--device", runner.device, "--model", model, "--precision", precision, *sizes(runner, model, 12, 40), "--modes", mode]
        try:
            row = runner.report([*command, "--timeout", max(runner.seconds_left() + 60, 1)], env=os.environ)["rows"][0]
        except PieceFailed as problem:
            rows = problem.found.get("report", {}).get("rows")
            if not rows:
                raise
            row = rows[0]
        if "error" in row:
            # PyTorch's own failure is not Residua's fault, and gives no speed to compare with.
            raise CannotRun(f"{mode} did not run: {row['error']}")
        speed = row["images_per_second"]
        if not 0 < speed < float("inf"):
            raise PieceFailed(f"got a speed of {speed} img/s", {"row": row})
        return {"summary": f"PyTorch {version}, {mode}: {speed:.0f} img/s", "row": {**row, "execution": execution}}

    return work


def peer(model, precision, execution, seconds):
    part, limit = ("compile", 290) if execution == "compile" else ("pytorch", 120)
    return Piece(part, f"{model} {precision} {execution}", seconds, limit, run_peer(model, precision, execution), of_this_build=False)


def pieces():
    """`pytorch` in fp16; `compile` for ResNet-18; the others."""
    seconds = {"resnet18": 20, "resnet34": 25, "resnet56": 20, "resnet20": 15, "resnet50": 30}
    first = [peer(model, "fp16", execution, s) for model, s in seconds.items() for execution in ("eager", "graph")]
    others = [peer(model, "bf16", execution, s) for model, s in seconds.items() for execution in ("eager", "graph")]
    compiled = {"resnet34": 150, "resnet20": 90, "resnet56": 180, "resnet50": 200}
    others += [peer(model, "fp16", "compile", s) for model, s in compiled.items()] + [peer("resnet18", "bf16", "compile", 110)]
    return first, [peer("resnet18", "fp16", "compile", 110)], others
