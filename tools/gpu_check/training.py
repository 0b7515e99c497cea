"""Part `training`: trains ResNet-20 on the GPU and compares the error with the CPU device's."""

import json
import pathlib
import tempfile

from .outcome import PieceFailed
from .piece import Piece

RUNS = [("cpu", "auto", "off"), *(("device", precision, graph) for precision in ("fp16", "bf16") for graph in ("on", "off"))]


def last_error(folder):
    """Validation error in % at the end of a run."""
    lines = (pathlib.Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["type"] == "validation"]
    return records[-1]["top1_error"]


def data_of(runner):
    """The data set's flags, and the number of steps."""
    if runner.rehearsal:
        return ["--dataset", "synthetic", "--synthetic-images", "64", "-b", 32], 2
    if runner.data:
        return [runner.data, "--dataset", "cifar10"], 1000
    return ["--dataset", "synthetic", "--synthetic-images", "5000"], 300


def train(where, precision, graph):
    def work(runner, _):
        data, iterations = data_of(runner)
        device = "cpu" if where == "cpu" else runner.device
        with tempfile.TemporaryDirectory() as folder:
            runner.run([runner.program("train-imagenet"), *data, "--model", "resnet20", "--device", device, "--precision", precision, "--cuda-graph", graph,
                        "--iterations", iterations, "--lr-schedule", "cosine", "--seed", 1, "--output", pathlib.Path(folder) / "run"])  # fmt: skip
            try:
                error = last_error(pathlib.Path(folder) / "run")
            except (OSError, ValueError, KeyError, IndexError) as problem:
                raise PieceFailed(f"the run left no validation error: {type(problem).__name__} {problem}") from None
        return {"summary": f"{'CIFAR-10' if runner.data else 'synthetic images'}, {iterations} steps: error {error:.1f} %", "top1_error": error}

    return work


def pieces():
    names = ["cpu", *(f"{precision} {'graph' if graph == 'on' else 'eager'}" for _, precision, graph in RUNS[1:])]
    return [Piece("training", name, 60 if name == "cpu" else 15, 280, train(*run)) for name, run in zip(names, RUNS)]
