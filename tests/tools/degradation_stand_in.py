"""Stands for train-imagenet in the tests of tools/degradation: the same words, files and signals, but the errors follow a formula.

It hashes a chain through all iterations, keeps its state in a checkpoint at each epoch, and takes its last errors from the end of the
chain: a run that lost or repeated an iteration ends with other numbers. FAULT is "KIND WORDS": what goes wrong in calls that have these
words; TRACE is a file that each training run writes a line into; WORK multiplies the time of an iteration; HOLD is a file that a run which
is stopped waits for before it saves. start.json in the folder of a run says how the run was started, and stopped.json what stopped it."""

import hashlib
import json
import os
import pathlib
import signal
import sys
import time

PER_EPOCH, EPOCHS = 10, 4
FLAGS = {"--dry-run"}
NOT_RESULTS = {"output", "resume", "device", "threads", "workers", "log-every", "layer-statistics", "statistics-batches", "weights", "data", "dry-run"}

words = sys.argv[1:]
if words == ["--version"]:
    sys.exit(print("train-imagenet 0.1 (stand-in)"))
fault, _, where = os.environ.get("FAULT", "").partition(" ")
fault = fault if where in " ".join(words) else ""


def parse():
    options, rest = {}, list(words)
    while rest:
        word = rest.pop(0)
        if word in FLAGS:
            options[word[2:]] = True
        elif word.startswith("--"):
            options[word[2:]] = rest.pop(0)
        else:
            options["data"] = word
    return options


options = parse()
if "data" in options and not pathlib.Path(options["data"]).is_dir():
    sys.exit(f"train-imagenet: {options['data']} is not there")
configuration = {name: value for name, value in options.items() if name not in NOT_RESULTS}
configuration.setdefault("lr", "0.1")
configuration.setdefault("bn-group", "0" if fault == "one-group" else "64")
if fault == "lr":
    configuration["lr"] = "0.2"
precision = configuration.get("precision", "auto")
if precision not in ("auto", "fp32", "bf16", "fp16"):
    print(f"train-imagenet: --precision: got {precision}, wanted auto, fp32, bf16 or fp16", file=sys.stderr)
    sys.exit(2)
configuration["precision"] = "f32" if fault == "precision" else "bf16" if precision == "auto" else precision
iterations = int(configuration.get("iterations", PER_EPOCH * EPOCHS))
configuration["iterations"] = iterations
sets = {"train_set": "otherimages" if fault == "data" else "abc", "validation_set": "def"}
digest = hashlib.sha256(json.dumps([configuration, sets], sort_keys=True).encode()).hexdigest()[:16]
model, seed = options["model"], int(options.get("seed", 0))
depth = int(model.removeprefix("plain").removeprefix("resnet"))
facts = {
    "format": 1, "version": "0.1", "digest": digest, "configuration": configuration, **sets, "iterations": iterations, "iterations_per_epoch": PER_EPOCH,
    "validation_images": 1024, "parameters": 13000 * depth, "device": "cpu" if options["device"] == "auto" else options["device"],
    "processor": "another processor" if fault in ("processor", "moved") else "a processor", "precision": configuration["precision"],
}  # fmt: skip


def write(path, content):
    temporary = path.with_name(path.name + ".writing")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)


def jitter(state):
    return int(state[:8], 16) / 2**32 - 0.5


def level(state):
    """Final errors: plain nets get worse with depth, residual nets do not."""
    base = 10 + 0.5 * (depth - 20) if model.startswith("plain") else 9.5 - 0.01 * (depth - 20)
    return base + 0.2 * jitter(state)


if options.get("dry-run"):
    if fault == "refuse":
        print("train-imagenet: lr is 7, wanted less", file=sys.stderr)
        sys.exit(2)
    print("junk" if fault == "junk" else json.dumps(facts))
    sys.exit(0)

if "layer-statistics" in options:
    kernels = [3] * (depth - 1)
    start = json.loads(pathlib.Path(options["weights"]).read_text())["state"] if "weights" in options else hashlib.sha256(digest.encode()).hexdigest()
    layers = [{"name": f"layer{i}", "kernel": kernel, "response_std": 1 / (1 + i / depth) + 0.01 * jitter(start), "gradient_norm": 0.1 + 0.01 * i, "weight_norm": 5.0}
              for i, kernel in enumerate(kernels)]  # fmt: skip
    write(pathlib.Path(options["layer-statistics"]), {"format": 1, "model": model, "iteration": 0, "batches": 2, "batch_size": 128, "layers": layers})
    sys.exit(0)

folder = pathlib.Path(options["output"])
folder.mkdir(parents=True, exist_ok=True)


def lives(pid):
    """Whether it is a process that has not ended; one that nobody waited for has."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


busy = folder / "busy"
if busy.exists() and lives(busy.read_text() or 0):
    with open(os.environ["TRACE"], "a") as trace:
        trace.write(f"TWO TRAINERS IN {folder}\n")
    sys.exit(1)
busy.write_text(str(os.getpid()))
stopping = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
    signal.signal(number, lambda number, _: stopping.append(number))

write(folder / "start.json", {"words": words, **{name: os.environ.get(name, "") for name in ("OMPI_COMM_WORLD_SIZE", "CUDA_VISIBLE_DEVICES")}})
log = folder / "log.jsonl"
checkpoint = folder / "checkpoint.safetensors"
state, first, curves = hashlib.sha256(digest.encode()).hexdigest(), 0, {"running_train": [], "clean_train": [], "validation": []}
if options["resume"] == "auto" and checkpoint.exists():
    saved = json.loads(checkpoint.read_text())
    if saved["digest"] != digest:
        sys.exit("train-imagenet: the checkpoint is of another run")
    state, first, curves = saved["state"], saved["iteration"], saved["curves"]
if os.environ.get("TRACE"):
    with open(os.environ["TRACE"], "a") as trace:
        trace.write(f"{folder.name} from {first}\n")
log.write_text("".join(line + "\n" for line in log.read_text().splitlines()[:first]) if log.exists() else "")
if fault == "crash":
    sys.exit("train-imagenet: the disk is full")


def save(iteration):
    write(checkpoint, {"digest": digest, "state": state, "iteration": iteration, "curves": curves})


def finish(diverged):
    def metrics(error):
        return {"images": 1280, "loss": error / 10, "top1_error": error, "top5_error": error / 5}

    error = level(state)
    final = {"iteration": iterations, "running_train": metrics(error + 1), "clean_train": metrics(error), "validation": metrics(error + 3)}
    content = {**facts, "diverged": diverged, "threads": int(options["threads"]), "seconds": float(os.getpid()), "images_per_second": 1000.0 + os.getpid(),
               "final": final, "best": {"iteration": iterations, "top1_error": error}, "curves": curves}  # fmt: skip
    write(folder / "last.safetensors", {"state": state})
    write(folder / "result.json", content)


with open(log, "a", buffering=1) as output:
    for iteration in range(first + 1, iterations + 1):
        # A step's work: about a millisecond.
        state = hashlib.pbkdf2_hmac("sha256", state.encode(), b"", 700 * int(os.environ.get("WORK", "1"))).hex()
        part = iteration / iterations
        rate = 0.1 if part <= 0.5 else 0.01 if part <= 0.75 else 0.001
        error = level(state) + 60 * (1 - part) ** 2 * (1.2 if model.startswith("plain") else 1.0)
        point = {"iteration": iteration, "loss": error / 10, "top1_error": error}
        curves["running_train"].append({**point, "learning_rate": rate})
        output.write(json.dumps({"type": "train", **point, "top5_error": 1.0, "images_per_second": 1000.0 / depth}) + "\n")
        if fault == "diverge" and part > 0.5:
            finish(True)
            sys.exit("train-imagenet: the loss is not finite")
        if iteration % PER_EPOCH == 0 or iteration == iterations:
            curves["clean_train"].append(point)
            curves["validation"].append({**point, "top5_error": 1.0})
            save(iteration)
        if fault == "moved" and iteration == 15:  # before it ends on another machine
            save(iteration)
            sys.exit("train-imagenet: the machine is taken back")
        if stopping:
            while os.environ.get("HOLD") and not os.path.exists(os.environ["HOLD"]):
                time.sleep(0.01)
            save(iteration)
            write(folder / "stopped.json", stopping)
            busy.unlink()
            sys.exit(128 + stopping[0])
finish(False)
busy.unlink()
