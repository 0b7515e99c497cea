"""Judges what was measured. Targets have no device's name: they follow from the copy and the matrix products measured on it."""

# Of a training step at 224 px: GFLOP and MB an image.
WORK = {"resnet18": (10.81, 44.6), "resnet34": (21.90, 71.2)}
SHARE_OF_CEILINGS = 0.57
SHARE_OF_COPY = 0.9
SECONDS_A_LAUNCH = 3e-6
MATMUL = {"fp16": "matmul_f16_flops_per_second", "bf16": "matmul_bf16_flops_per_second"}
MOST_DIFFERENCE, MOST_ERROR = 5.0, 50.0  # of training's errors, in %


def wanted_speed(model, copy_bytes_per_second, matmul_flops_per_second):
    """Images a second."""
    gflop, megabytes = WORK[model]
    return SHARE_OF_CEILINGS / (gflop * 1e9 / matmul_flops_per_second + megabytes * 1e6 / copy_bytes_per_second)


def most_seconds(row, copy_bytes_per_second):
    """That a kernel which memory bounds may take."""
    return row["bytes"] / (SHARE_OF_COPY * copy_bytes_per_second) + SECONDS_A_LAUNCH * row["launches"]


def our_speeds(results):
    """Residua's images a second by network and precision, in its default way: one graph a step."""
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
            notes.append(f"{key} is held to its target when the ceilings are measured")
            continue
        wanted = wanted_speed(model, ceilings["copy_bytes_per_second"], ceilings[MATMUL[precision]])
        notes.append(f"{key}: {speed:.0f} img/s, {wanted:.0f} wanted")
        if not speed >= wanted:
            problems[key] = f"{speed:.0f} img/s is less than the {wanted:.0f} wanted"
    return problems, notes


def judge_kernels(results, ceilings):
    problems, notes = {}, []
    for key, entry in results.items():
        if not key.startswith("kernels/"):
            continue
        if ceilings is None:
            notes.append(f"{key} is held to its target when the ceilings are measured")
            continue
        # Contracts, which have large first letters: an operation's bytes are those of all its kernels together.
        rows = [row for row in entry["rows"] if row["kernel"][0].isupper() and row["type"] != "f32"]
        times = [(row["median_us"] * 1e-6 / most_seconds(row, ceilings["copy_bytes_per_second"]), row) for row in rows]
        slow = sorted(((share, row) for share, row in times if not share <= 1), key=lambda found: -found[0])
        notes.append(f"{key}: {len(rows) - len(slow)} of {len(rows)} kernels within bytes / (0.9 x copy) + 3 us a launch")
        if slow:
            worst = ", ".join(f"{row['kernel']} {row['shape']} {row['type']} takes {share:.2f} times that" for share, row in slow[:3])
            problems[key] = f"{len(slow)} of {len(rows)} kernels take longer than bytes / (0.9 x copy) + 3 us a launch: {worst}"
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
            problems[f"{part}/{model} {precision} {execution}"] = f"Residua has {ratio:.2f} times its speed, and more than 1 is wanted"
    return problems, notes


def judge_training(results):
    errors = {key: entry["top1_error"] for key, entry in results.items() if key.startswith("training/")}
    problems = {}
    reference = errors.get("training/cpu")
    if reference is not None and not reference <= MOST_ERROR:
        problems["training/cpu"] = f"nothing was learned: error {reference:.1f} %, at most {MOST_ERROR} is wanted"
    for key, error in errors.items():
        if reference is not None and not abs(error - reference) <= MOST_DIFFERENCE:
            problems[key] = f"error {error:.1f} % is more than {MOST_DIFFERENCE} from the CPU device's {reference:.1f} %"
    return problems, []


def judge(results):
    """What is wrong, by the key of the piece, and notes on what was held to what."""
    ceilings = next((entry for key, entry in results.items() if key.startswith("ceilings/")), None)
    problems, notes = {}, []
    for found, said in (judge_steps(results, ceilings), judge_kernels(results, ceilings), judge_ratios(results), judge_training(results)):
        problems.update(found)
        notes += said
    return problems, notes
