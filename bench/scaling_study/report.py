"""The report of bench/scaling, in Markdown."""

import statistics

from .clusters import SOURCES, predict, shape_of
from .simulation import interpolated, simulate, work_of

KINDS = {"weak": "weak scaling: each rank has as many images, whatever the number of ranks", "strong": "strong scaling: all ranks together have as many images"}


def table(heads, rows):
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *("| " + " | ".join(row) + " |" for row in rows)])


def middle(rows, key="median_ms"):
    """The round whose figure is the median."""
    return sorted(rows, key=lambda one: one[key])[len(rows) // 2]


def percent(share):
    return f"{100 * share:.1f} %"


def speed(rows):
    """"512 (500 to 530)": the median over the rounds and their interval."""
    values = [one["images_per_second"] for one in rows]
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def rate(rows):
    return statistics.median(one["images_per_second"] for one in rows)


def shape(found):
    return f"{found['model']}, {found['size']} px"


def measured(case, cores):
    """A table for each kind of scaling."""
    parts = []
    for kind, title in KINDS.items():
        one = rate(case["rows"][f"{kind} 1"])
        rows = []
        for ranks in case["ranks"]:
            found = case["rows"][f"{kind} {ranks}"]
            ratio = rate(found) / one
            waiting = percent(statistics.median(row["waiting_share"] for row in found)) if ranks > 1 else "-"
            rows.append([str(ranks), str(found[0]["batch"]), speed(found), f"{ratio:.2f}", percent(ratio / ranks), percent(ratio / min(ranks, cores)), waiting])
        heads = ["ranks", "batch", "img/s", "times one rank", "efficiency of the ranks", "of the cores in use", "waiting"]
        parts.append(f"{shape(case)}, {title}.\n\n{table(heads, rows)}")
    threads = case["rows"]["threads"]
    parts.append(f"For comparison, one process with {threads[0]['threads']} threads and batch {threads[0]['batch']}: {speed(threads)} img/s.")
    return "\n\n".join(parts)


def sum_seconds(size, rounds):
    """The time of a sum of `size` bytes, between the medians that allreduce-bench found for smaller and larger ones. Above
    the largest, time grows with the size."""
    known = {}
    for one in rounds:
        for row in one["rows"]:
            known.setdefault(row["bytes"], []).append(row["median_us"] / 1e6)
    line = sorted((found, statistics.median(times)) for found, times in known.items())
    return interpolated(size, line) * max(1.0, size / line[-1][0])


def predictions(case, sums, cores):
    """For each run of several ranks: (kind, ranks, measured step, measured waiting share, {model: Step})."""
    for kind in KINDS:
        for ranks in case["ranks"]:
            if ranks == 1:
                continue
            found = case["rows"][f"{kind} {ranks}"]
            images = found[0]["batch"] // ranks
            works = {}
            for name in ("alone", "together"):
                row = middle(case["rows"][f"alone {images}" if name == "alone" else f"together {ranks} {images}"])
                works[name] = work_of(row["exchange"], row["median_ms"] / 1e3)
            costs = [sum_seconds(one["bytes"], sums[str(ranks)]) for one in middle(case["rows"][f"alone {images}"])["exchange"]["sums"]]
            steps = {
                "alone": simulate(works["alone"].scaled(ranks / min(ranks, cores)), costs),
                "together": simulate(works["together"], costs),
                "shared": simulate(works["together"], costs, computing=0.5, summing=0.5),
            }
            yield kind, ranks, middle(found)["median_ms"] / 1e3, statistics.median(row["waiting_share"] for row in found), steps


def compared(cases, sums, cores):
    """Predicted beside measured steps, and how far each prediction is off."""
    rows, errors = [], {"alone": [], "together": [], "shared": []}
    for case in cases:
        for kind, ranks, seconds, share, steps in predictions(case, sums, cores):
            cells = []
            for name, step in steps.items():
                error = step.seconds / seconds - 1
                errors[name].append(abs(error))
                cells.append(f"{1e3 * step.seconds:.1f} ({100 * error:+.0f} %), {percent(step.waiting_share)}")
            rows.append([shape(case), kind, str(ranks), f"{1e3 * seconds:.1f}, {percent(share)}", *cells])
    heads = ["step", "scaling", "ranks", "measured: ms, waiting", "A: ms, waiting", "B: ms, waiting", "C: ms, waiting"]
    letters = {"alone": "A", "together": "B", "shared": "C"}
    off = ", ".join(f"{letters[name]} {100 * statistics.mean(values):.0f} % on average and {100 * max(values):.0f} % at most" for name, values in errors.items())
    return f"{table(heads, rows)}\n\nThe predicted step is off by: {off}."


def sums_table(sums):
    """The sizes of allreduce-bench."""
    parts = []
    for ranks, rounds in sums.items():
        rows = []
        for i, first in enumerate(rounds[0]["rows"]):
            us = [one["rows"][i]["median_us"] for one in rounds]
            seconds = statistics.median(us) / 1e6
            rate_gbs = first["bytes"] / seconds / 1e9
            n = int(ranks)
            rows.append([f"{first['bytes']:,}", f"{statistics.median(us):.0f} ({min(us):.0f} to {max(us):.0f})", f"{rate_gbs:.2f}", f"{rate_gbs * 2 * (n - 1) / n:.2f}"])
        exchange = statistics.median(one["exchange"]["median_us"] for one in rounds)
        parts.append(f"{ranks} ranks:\n\n{table(['bytes', 'us', 'algorithm GB/s', 'bus GB/s'], rows)}\n\nAn exchange of small values takes {exchange:.0f} us.")
    return "\n\n".join(parts)


def clusters(shapes, assumptions, node_counts, images):
    """The arithmetic of GPUs."""
    parts = [table(["assumption", "value", "stands on"], [[f"`--{name.replace('_', '-')}`", f"{getattr(assumptions, name):g}", source] for name, source in SOURCES.items()])]
    bytes_rows = [[model, *(f"{sum(found['buckets'][precision]) / 1e6:.1f} in {len(found['buckets'][precision])}" for precision in ("fp32", "bf16"))] for model, found in shapes.items()]
    parts.append("What a GPU sums in a step, in MB, and in how many buckets:\n\n" + table(["network", "fp32 gradients", "16-bit gradients"], bytes_rows))
    for nodes in node_counts:
        rows = []
        for model, found in shapes.items():
            where = shape_of(found["exchange"], found["seconds"])
            for precision in ("fp32", "bf16"):
                for count in images:
                    made = [predict(model, precision, found["buckets"][precision], where, count, nodes, algorithm, assumptions) for algorithm in ("ring", "tree", "hierarchical")]
                    cells = [f"{1e3 * one.sum_s:.2f}: {100 * one.efficiency:.0f} % ({100 * one.without_overlap:.0f} %)" for one in made]
                    step = 1e3 * count / assumptions.images(model)
                    rows.append([model, {"bf16": "16 bits"}.get(precision, precision), str(count), f"{step:.2f}", *cells])
        ranks = nodes * assumptions.gpus
        title = f"{nodes} node{'s' if nodes > 1 else ''}, {ranks} GPUs. Cells: ms of all sums, efficiency, and in parentheses the efficiency if no sum ran beside the backward pass."
        parts.append(f"{title}\n\n" + table(["network", "gradients", "images of a GPU", "step of one GPU, ms", "ring", "tree", "hierarchical"], rows))
    return "\n\n".join(parts)


def report(found, assumptions, node_counts, images):
    machine = found["machine"]
    settings = found["settings"]
    about = (
        f"{found['date']}. {machine['name']}, {machine['cores']} cores, {machine['system']}; {found['version']}, {settings['precision']}, one thread a rank, "
        f"ranks connected by {machine['mpi']}. Median of {settings['rounds']} round{'s' if settings['rounds'] > 1 else ''} in turn, each the median of {settings['steps']} steps; in parentheses the "
        f"slowest and the fastest round. The load before the first round was {machine['load']:.2f}."
    )
    cases = "\n\n".join(measured(case, machine["cores"]) for case in found["cases"])
    return f"""# Several ranks, measured and predicted

`bench/scaling` writes this page: `{found['command']}`. [benchmarks.md](../../docs/benchmarks.md#several-ranks) describes it.

## Measured on the CPU

{about}

{cases}

Where there are more ranks than cores, ranks share cores: all of them together cannot be faster than the cores. So the efficiency of
the cores is the one to look at.

## The sums

`allreduce-bench` as in the runs above.

{sums_table(found['sums'])}

## Predicted against measured

A simulation (`bench/scaling_study/simulation.py`) lets the sums run beside the backward pass, one after the other. It gets only what was
measured without the other ranks: the step of a process with one thread and the images of a rank, when each of its sums could start, and
the times above, with straight lines between the sizes. Ranks that share cores compute as much slower.

* **A** takes the step of a process that runs alone.
* **B** takes the step of as many processes as there are ranks, not connected, that run at the same time: they share caches and memory.
* **C** is B, but a sum and the computing beside it share a core, and each has half of its speed.

{compared(found['cases'], found['sums'], machine['cores'])}

## Predicted for GPUs

**Predicted, not run on a GPU.** Arithmetic on these assumptions, which are flags of `bench/scaling`:

{clusters(found['shapes'], assumptions, node_counts, images)}

Further assumptions: the parts of a step have the shares that they have on the CPU, on {settings['shape_images']} images of {settings['shape_size']} px; each bucket is a sum of its own;
a sum costs the computing beside it nothing; a GPU with {min(images)} images is as fast for each as with many, and with fp32 gradients as
fast as with 16-bit ones; no input waits. What then remains of the waiting is the last bucket, the loss and the statistics: they are
complete at the end of the backward pass, and nothing runs beside them. Of ring and tree, NCCL takes the one that its own cost model
finds faster; nothing here makes the hierarchical sum. Sources of the models: Patarasuk and Yuan 2009 (ring), Sanders, Speck and Traeff 2009 (two trees), Thakur, Rabenseifner and Gropp 2005
(halving and doubling), and the cost model of NCCL.
"""
