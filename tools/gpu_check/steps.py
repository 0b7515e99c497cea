"""Parts `step`, `steps` and `options`: the speed of whole training steps."""

from .outcome import PieceFailed
from .piece import Piece

BATCH = {"resnet20": 128, "resnet56": 128}  # 256 for the others
DEFAULT_BATCH = 256


def sizes(runner, model, warmup, steps):
    """The flags shared by step-bench and its PyTorch counterpart."""
    if runner.rehearsal:
        return ["--size", 32, "-b", 2, "--warmup", 1, "--steps", 2]
    return ["-b", BATCH.get(model, DEFAULT_BATCH), "--warmup", warmup, "--steps", steps]


def run_step(model, precision, *flags, warmup=12, steps=40):
    def work(runner, _):
        command = [runner.program("step-bench"), "--device", runner.device, "--model", model, "--precision", precision]
        row = runner.report([*command, *sizes(runner, model, warmup, steps), *flags])
        speed = row["images_per_second"]
        if not 0 < speed < float("inf"):
            raise PieceFailed(f"got a speed of {speed} img/s", {"row": row})
        return {"summary": f"{speed:.0f} img/s, {row['median_ms']:.2f} ms/step", "row": row}

    return work


def step(part, model, precision, seconds):
    return Piece(part, f"{model} {precision}", seconds, 180, run_step(model, precision))


def pieces():
    """`step`; the steps to run first; the others; `options`."""
    flags = {"nondeterministic": "--allow-nondeterministic", "runtime compilation": "--allow-runtime-compilation"}
    return (
        [
            # The first piece tunes plans; a few steps show whether it works.
            Piece("step", "resnet18 fp16 eager", 50, 180, run_step("resnet18", "fp16", "--cuda-graph", "off", warmup=2, steps=5)),
            step("step", "resnet18", "fp16", 12),
            step("step", "resnet18", "bf16", 40),
        ],
        [step("steps", *which) for which in (("resnet34", "fp16", 25), ("resnet50", "fp16", 45), ("resnet20", "fp16", 12), ("resnet56", "fp16", 15), ("resnet34", "bf16", 25))],
        [step("steps", *which) for which in (("resnet50", "bf16", 45), ("resnet20", "bf16", 12), ("resnet56", "bf16", 15))],
        [
            Piece("options", f"resnet18 {precision} {option}", seconds, 280, run_step("resnet18", precision, flags[option]))
            for precision, option, seconds in (("fp16", "nondeterministic", 40), ("bf16", "nondeterministic", 40), ("bf16", "runtime compilation", 140))
        ],
    )
