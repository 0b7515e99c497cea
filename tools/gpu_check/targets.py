"""Compares measurements with targets. Targets are not tied to a device: they follow from the copy and matrix products measured on it."""

# A training step at 224 px: (GFLOP, MB) per image.
WORK = {"resnet18": (10.81, 44.6), "resnet34": (21.90, 71.2)}
SHARE_OF_CEILINGS = 0.57
SHARE_OF_COPY = 0.9
SECONDS_A_LAUNCH = 3e-6
MATMUL = {"fp16": "matmul_f16_flops_per_second", "bf16": "matmul_bf16_flops_per_second"}
MOST_DIFFERENCE, MOST_ERROR = 5.0, 50.0  # limits on the error after training, in %


def wanted_speed(model, copy_bytes_per_second, matmul_flops_per_second):
    """The target in images per second."""
    gflop, megabytes = WORK[model]
    return SHARE_OF_CEILINGS / (gflop * 1e9 / matmul_flops_per_second + megabytes * 1e6 / copy_bytes_per_second)


def most_seconds(row, copy_bytes_per_second):
    """The time limit of a memory-bound kernel."""
    return row["bytes"] / (SHARE_OF_COPY * copy_bytes_per_second) + SECONDS_A_LAUNCH * row["launches"]


def our_speeds(results):
    """Residua's images per second by network and precision, in its default mode: one graph per step."""
    return {
        (row["model"], key.split()[-1]): row["images_per_second"]
        for key, entry in results.items()
        if key.startswith(("step/", "steps/")) and not key.endswith(" eager")
        for row in (entry["row"],)
    }


def their_best(results):
    """PyTorch's fastest mode by network and precision."""
    best = {}
    for key, entry in results.items():
        if key.startswith(("pytorch/", "compile/")):
            model, precision, execution = key.split("/")[1].split()
            found = (entry["row"]["images_per_second"], execution)
            best[model, precision] = max(best.get((model, precision), found), found)
    return best


def judge_steps(results, ceilings):
    problems, notes = {}, []
    for (model, precision), speed in our_speeds(results).items():
        key = next(key for key in (f"step/{model} {precision}", f"steps/{model} {precision}") if key in results)
        if model not in WORK:
            continue
        if ceilings is None:
            notes.append(f"{key} has no target until the ceilings are measured")
            continue
        wanted = wanted_speed(model, ceilings["copy_bytes_per_second"], ceilings[MATMUL[precision]])
        notes.append(f"{key}: {speed:.0f} img/s, target {wanted:.0f}")
        if not speed >= wanted:
            problems[key] = f"{speed:.0f} img/s is below the target of {wanted:.0f}"
    return problems, notes


def judge_kernels(results, ceilings):
    problems, notes = {}, []
    for key, entry in results.items():
        if not key.startswith("kernels/"):
            continue
        if ceilings is None:
            notes.append(f"{key} has no target until the ceilings are measured")
            continue
        # Only contracts, whose names begin with a capital: an operation's bytes are the sum over its kernels.
        rows = [row for row in entry["rows"] if row["kernel"][0].isupper() and row["type"] != "f32"]
        times = [(row["median_us"] * 1e-6 / most_seconds(row, ceilings["copy_bytes_per_second"]), row) for row in rows]
        slow = sorted(((share, row) for share, row in times if not share <= 1), key=lambda found: -found[0])
        notes.append(f"{key}: {len(rows) - len(slow)} of {len(rows)} kernels within bytes / (0.9 x copy) + 3 us per launch")
        if slow:
            worst = ", ".join(f"{row['kernel']} {row['shape']} {row['type']} takes {share:.2f} times that" for share, row in slow[:3])
            problems[key] = f"{len(slow)} of {len(rows)} kernels take longer than bytes / (0.9 x copy) + 3 us per launch: {worst}"
    return problems, notes


def judge_ratios(results):
    problems, notes = {}, []
    ours = our_speeds(results)
    for (model, precision), (theirs, execution) in their_best(results).items():
        if (model, precision) not in ours:
            continue
        ratio = ours[model, precision] / theirs
        notes.append(f"{model} {precision}: {ratio:.2f} times PyTorch's best mode so far, {execution}")
        if not ratio > 1:
            part = "compile" if execution == "compile" else "pytorch"
            problems[f"{part}/{model} {precision} {execution}"] = f"Residua's speed is {ratio:.2f} times PyTorch's; wanted more than 1"
    return problems, notes


def judge_training(results):
    errors = {key: entry["top1_error"] for key, entry in results.items() if key.startswith("training/")}
    problems = {}
    reference = errors.get("training/cpu")
    if reference is not None and not reference <= MOST_ERROR:
        problems["training/cpu"] = f"nothing was learned: error {reference:.1f} %, wanted at most {MOST_ERROR} %"
    for key, error in errors.items():
        if reference is not None and not abs(error - reference) <= MOST_DIFFERENCE:
            problems[key] = f"error {error:.1f} % differs by more than {MOST_DIFFERENCE} points from the CPU device's {reference:.1f} %"
    return problems, []


def judge(results):
    """(problems by key of the piece, notes on the comparisons)."""
    ceilings = next((entry for key, entry in results.items() if key.startswith("ceilings/")), None)
    problems, notes = {}, []
    for found, said in (judge_steps(results, ceilings), judge_kernels(results, ceilings), judge_ratios(results), judge_training(results)):
        problems.update(found)
        notes += said
    return problems, notes
