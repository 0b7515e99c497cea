"""Runs step-bench and allreduce-bench, alone and as ranks."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile


def say(text):
    print(text, file=sys.stderr, flush=True)


class Programs:
    """The benchmark programs, on the CPU device with one thread a rank."""

    def __init__(self, folder, precision, warmup, steps):
        self.folder, self.precision, self.warmup, self.steps = pathlib.Path(folder), precision, warmup, steps
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        self.environment = {**os.environ, **allowed, "OMP_WAIT_POLICY": "passive"}

    def version(self):
        return subprocess.run([self.folder / "step-bench", "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def start(self, ranks, program, words, path):
        launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks > 1 else []
        command = [*launcher, self.folder / program, "--device", "cpu", *map(str, words), "--json", path]
        return subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run_together(self, count, ranks, program, words):
        """Starts `count` jobs of `ranks` ranks at the same time; returns what each wrote."""
        with tempfile.TemporaryDirectory(prefix="residua-scaling-") as folder:
            paths = [pathlib.Path(folder) / f"{i}.json" for i in range(count)]
            jobs = [self.start(ranks, program, words, path) for path in paths]
            for job in jobs:
                text, _ = job.communicate()
                if job.returncode != 0:
                    for other in jobs:
                        other.kill()
                    sys.exit(f"scaling: {program} exited {job.returncode}: {text.strip()}")
            return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def step(self, case, batch, ranks=1, count=1, threads=1, rehearse=False, steps=None):
        """Times a step; of several unconnected processes the slowest one."""
        words = ["--model", case.model, "--size", case.size, "-b", batch, "--threads", threads, "--precision", self.precision, "--warmup", self.warmup, "--steps", steps or self.steps]
        found = self.run_together(count, ranks, "step-bench", [*words, *(["--rehearse-ranks"] if rehearse else [])])
        return max(found, key=lambda one: one["median_ms"])

    def allreduce(self, ranks, model, precision, words=()):
        return self.run_together(1, ranks, "allreduce-bench", ["--model", model, "--precision", precision, *words])[0]


class Case:
    """A network, its input, the images of each rank (weak scaling) and those of all ranks together (strong scaling)."""

    def __init__(self, text, ranks):
        try:
            self.model, *numbers = text.split(":")
            self.size, self.weak, self.strong = map(int, numbers)
        except ValueError:
            sys.exit(f"scaling: case '{text}' is not MODEL:SIZE:IMAGES-OF-A-RANK:IMAGES-OF-ALL")
        self.text, self.ranks = text, ranks
        for count in ranks:
            if self.strong % count != 0:
                sys.exit(f"scaling: case '{text}': {count} ranks cannot divide {self.strong} images")

    def batch(self, kind, ranks):
        """The images of all ranks together."""
        return self.weak * ranks if kind == "weak" else self.strong

    def runs(self):
        """What to measure: name, images of a job, and how it runs."""
        yield "threads", self.strong, {"threads": len(os.sched_getaffinity(0))}
        parts = set()
        for kind in ("weak", "strong"):
            for ranks in self.ranks:
                batch = self.batch(kind, ranks)
                yield f"{kind} {ranks}", batch, {"ranks": ranks}
                if ranks > 1:
                    parts.add((ranks, batch // ranks))
        for ranks, images in sorted(parts):
            yield f"together {ranks} {images}", images, {"count": ranks, "rehearse": True}
        for images in sorted({images for _, images in parts}):
            yield f"alone {images}", images, {"rehearse": True}


def measure_case(programs, case, rounds):
    """{name: what step-bench wrote, for each round}; the rounds take turns."""
    rows = {}
    for number in range(rounds):
        for name, batch, how in case.runs():
            found = programs.step(case, batch, **how)
            rows.setdefault(name, []).append(found)
            waiting = f", {100 * found['waiting_share']:.1f} % waiting" if "waiting_share" in found else ""
            say(f"round {number + 1}, {case.model}, {name}: {found['images_per_second']:.1f} img/s{waiting}")
    return rows


def measure_sums(programs, model, ranks, rounds, words):
    """{ranks: what allreduce-bench wrote, for each round}"""
    found = {}
    for number in range(rounds):
        for count in ranks:
            if count > 1:
                one = programs.allreduce(count, model, "fp32", words)
                found.setdefault(str(count), []).append(one)
                say(f"round {number + 1}, sums of {count} ranks: {one['rows'][-1]['bytes']} bytes in {one['rows'][-1]['median_us'] / 1e3:.2f} ms")
    return found


def measure_shapes(programs, models, size, images):
    """For the arithmetic of GPUs: where in a step the gradients are complete, and the buckets in both precisions."""
    found = {}
    for model in models:
        case = Case(f"{model}:{size}:{images}:{images}", [1])
        one = programs.step(case, images, threads=len(os.sched_getaffinity(0)), rehearse=True, steps=5)
        buckets = {precision: programs.allreduce(1, model, precision)["bucket_bytes"] for precision in ("fp32", "bf16")}
        found[model] = {"exchange": one["exchange"], "seconds": one["median_ms"] / 1e3, "buckets": buckets}
        say(f"shape of a step of {model}: {len(one['exchange']['sums'])} sums")
    return found
