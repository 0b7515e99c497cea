"""Part `plans`: the times of all plans of each convolution and matrix product, as measured by the steps."""

import json
import re

from .outcome import CannotRun, PieceFailed
from .piece import Piece

CONVOLUTION = re.compile(r"^\S+(?: without mask| left unused)? (f16|bf16|f32) (\d+)x(\d+)x(\d+)x(\d+) to (\d+), (\d+)x(\d+), stride (\d+), padding (\d+)$")


def flops_of(work):
    """FLOPs of a convolution, from its name in the plans file; None for other work."""
    found = CONVOLUTION.match(work)
    if not found:
        return None
    batch, height, width, inputs, outputs, r, s, stride, padding = map(int, found.groups()[1:])
    out_height, out_width = ((size + 2 * padding - kernel) // stride + 1 for size, kernel in ((height, r), (width, s)))
    return 2 * batch * out_height * out_width * inputs * outputs * r * s


def row_of(device, work, entry):
    """`device` as in the plans file: it includes the libraries' versions and the allowed plans."""
    chosen = min(ms for name, ms in entry["ways"] if name == entry["choice"])
    row = {"device": device, "work": work, "chosen": entry["choice"], "milliseconds": chosen, "ways": entry["ways"], "refusal": entry["refusal"]}
    flops = flops_of(work)
    return {**row, "teraflops_per_second": flops / chosen * 1e-9} if flops else row


def plans(runner, results):
    path = runner.cache / "residua" / "plans.json"
    if not any(key.startswith(("step/", "steps/")) for key in results):
        raise CannotRun("no step has run yet")
    if runner.rehearsal:
        return {"summary": "the CPU device does not time plans"}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PieceFailed(f"cannot read plans from {path}: {error}") from None
    rows = [row_of(device, work, entry) for device, works in content["devices"].items() for work, entry in works.items()]
    rejected = [f"{plan} for {work} ({reason})" for works in content.get("rejected", {}).values() for work, names in works.items() for plan, reason in names.items()]
    convolutions = [row for row in rows if "teraflops_per_second" in row]
    found = {"rows": rows, "rejected": rejected}
    if not convolutions:
        raise PieceFailed(f"{path} has no convolution", found)
    # If cuDNN has no fused plan, or it is slower, the composition of simple kernels runs instead.
    fused = [row for row in convolutions if " f16 " in row["work"] and "composed" in dict(row["ways"])]
    has_plans = [row for row in fused if len(row["ways"]) > 1]
    best = max(convolutions, key=lambda row: row["teraflops_per_second"])
    summary = (
        f"{len(rows)} choices; of {len(fused)} fused forms in fp16 cuDNN has {len(has_plans)}, of which {sum(row['chosen'] != 'composed' for row in has_plans)} "
        f"are the fastest plan; best: {best['work']} {best['teraflops_per_second']:.0f} TFLOP/s"
    )
    if fused and not has_plans:
        raise PieceFailed(f"{summary}: no fused form can be used, {fused[0]['refusal']}", found)
    if rejected:
        raise PieceFailed(f"{summary}; {len(rejected)} plans were rejected: {'; '.join(rejected[:3])}", found)
    return {"summary": summary, **found}


def pieces():
    return [Piece("plans", "as the steps chose them", 1, 30, plans, each_call=True)]
