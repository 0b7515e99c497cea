"""The Markdown section and the JSON of predictions."""
import re
import textwrap

from .gpu import ASSUMPTIONS, BOUNDS

HEADING = "## Predicted, not run on a GPU"
# A bound within this share of the slowest one can be the slowest on a real GPU.
NEAR = 0.8


def key(row):
    return row["kernel"], row["shape"], row["type"]


def largest(predictions):
    """Of each kernel and type, the shape that moves the most bytes."""
    found = {}
    for p in predictions:
        name = (p.kernel, p.type)
        if name not in found or p.bytes > found[name].bytes:
            found[name] = p
    return list(found.values())


def is_small(p):
    """Whether the launch takes longer than anything else."""
    return p.bound == "launch"


def next_limit(p):
    """The slowest bound of the code, and its time over that of memory."""
    own = {bound: time for bound, time in p.seconds.items() if bound not in ("memory", "launch")}
    if not own:
        return None
    bound = max(own, key=own.get)
    return bound, own[bound] / p.seconds["memory"]


def others(accesses):
    """'1 x 8 B stored', of the accesses that are not of 16 bytes."""
    words = [f"{count} x {width} B {'loaded' if way == 'load' else 'stored'}" for (way, width), count in sorted(accesses.items()) if width != 16]
    return ", ".join(words)


def line_of(p, measured):
    cells = [p.kernel, p.shape, p.type]
    if p.compiled:
        trip = p.compiled.main.trip
        wide = sum(count for (_, width), count in trip.accesses.items() if width == 16)
        cells += [len(trip.instructions), wide, others(trip.accesses), p.compiled.registers, f"{100 * p.threads / 2048:.0f}"]
    else:
        cells += [""] * 5
    limit = next_limit(p)
    cells += [f"{p.total * 1e6:.1f}", BOUNDS[p.bound], f"{100 * p.share_of_copy:.0f}", f"{BOUNDS[limit[0]]} {100 * limit[1]:.0f}" if limit else ""]
    if measured is not None:
        real = measured.get((p.kernel, p.shape, p.type))
        cells += [f"{real:.1f}", f"{p.total * 1e6 / real:.2f}"] if real else ["", ""]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def limited(predictions):
    """The kernels whose code takes NEAR of the time of their memory accesses or more, the worst first: (prediction, bound, ratio)."""
    found = [(p, *limit) for p in predictions if not is_small(p) and (limit := next_limit(p)) and limit[1] >= NEAR]
    return sorted(found, key=lambda item: -item[2])


def wrapped(text, begin=""):
    return textwrap.fill(begin + text, 140, subsequent_indent=" " * len(begin), break_long_words=False, break_on_hyphens=False)


def section(predictions, facts, gpu, measured=None, measured_on="", every_shape=False):
    """`facts` has date, nvcc and nvdisasm. `measured` is {(kernel, shape, type): microseconds}."""
    shown = predictions if every_shape else largest(predictions)
    tables = [p for p in shown if not is_small(p)]
    small = sorted({p.kernel for p in shown if is_small(p)} - {p.kernel for p in tables})
    lines = [HEADING, "", wrapped(
             f"**No number here was measured on a GPU,** except the speed of a copy. `bench/predict-kernels` computes them from the code that nvcc {facts['nvcc']} "
             f"makes for sm_90 (disassembled by nvdisasm {facts['nvdisasm']}) and from the bytes of the contracts, on {facts['date']}, for "
             f"batch {facts['batch']} and an {gpu.title}: {gpu.multiprocessors} multiprocessors at {gpu.clock_hz / 1e9:.2f} GHz, a copy of "
             f"{gpu.copy_bytes_per_second / 1e12:.1f} TB/s, {gpu.launch_us:g} us a launch, {gpu.latency_us:g} us for a load. It assumes:"), "",
             *(wrapped(text, "* ") for text in ASSUMPTIONS), "", wrapped(
             "So a prediction is the least time that this code can take, apart from the launch. Where a measured time is more than "
             "10 % longer, look for what this leaves out."), ""]
    found = limited(shown)
    lines += [f"Kernels whose code takes {100 * NEAR:.0f} % or more of the time of their memory accesses, the worst first:" if found
              else f"No kernel's code takes {100 * NEAR:.0f} % or more of the time of its memory accesses.", ""]
    lines += [f"* {p.kernel} {p.shape}, {p.type}: {BOUNDS[bound]}, {ratio:.2f} times as long as memory" for p, bound, ratio in found]
    lines += [""] if found else []
    lines += [wrapped(f"`instr`, `16 B` and `other` are the instructions and the accesses of a trip through the kernel's main loop; `regs` the registers of a "
              "thread; `occ` the threads on a multiprocessor at once, in % of 2048; `bound` what takes longest; `% copy` the speed that follows, "
              "as in [kernel-bench](../../docs/benchmarks.md#kernels); `code` the slowest limit besides memory and its time in % of memory's. "
              + ("" if every_shape else "Each kernel has one row a type, for its largest shape.")), ""]
    if measured is not None:
        lines += [f"`measured` is the median on {measured_on}; `ratio` is predicted / measured.", ""]
    titles = ["kernel", "shape", "type", "instr", "16 B", "other", "regs", "occ", "us", "bound", "% copy", "code"] + (["measured", "ratio"] if measured is not None else [])
    lines += ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles), *(line_of(p, measured) for p in tables), ""]
    if small:
        lines += [wrapped(f"These take about as long as their launches at these shapes: {', '.join(small)}."), ""]
    return "\n".join(lines)


def replace_section(page, text):
    """The page with its section of this heading replaced, or with the section at its end."""
    found = re.search(rf"^{re.escape(HEADING)}$.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    if not found:
        return page.rstrip("\n") + "\n\n" + text
    rest = page[found.end():]
    return page[:found.start()] + text + ("\n" if rest else "") + rest


def as_json(predictions, facts, gpu):
    rows = []
    for p in predictions:
        row = {"kernel": p.kernel, "shape": p.shape, "type": p.type, "bytes": p.bytes, "launches": p.launches, "predicted_us": p.total * 1e6,
               "bound": p.bound, "share_of_copy": p.share_of_copy, "bounds_us": {bound: time * 1e6 for bound, time in p.seconds.items()}}
        if p.compiled:
            trip = p.compiled.main.trip
            row |= {"function": p.compiled.name, "registers": p.compiled.registers, "spilled_bytes": p.compiled.spilled_bytes,
                    "threads_per_multiprocessor": p.threads, "trip_instructions": len(trip.instructions), "trip_kinds": dict(trip.kinds),
                    "trip_accesses": [{"access": way, "bytes": width, "count": count} for (way, width), count in sorted(trip.accesses.items())],
                    "trip_waits": trip.waits, "prologue_instructions": len(p.compiled.prologue.instructions)}
        rows.append(row)
    return {"predicted": "not run on a GPU", "gpu": gpu.title, **facts, "rows": rows}
