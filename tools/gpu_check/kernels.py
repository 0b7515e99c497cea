"""Parts `ceilings` and `kernels`: the device's top speeds, and how near each memory-bound kernel comes to them."""

from .outcome import PieceFailed
from .piece import Piece

# The kernels and shapes that take most of a step's time.
LARGE = "[A-Z].*x(56x56x64|28x28x128|112x112x64|224x224x4)$|SgdUpdate |PrepareInput "
FIRST = f"^(?!Convolution|Matmul)(?={LARGE})"
OTHERS = f"^(?!Convolution|Matmul|{LARGE})"


def kernel_bench(runner, *flags):
    quick = ["-b", 1, "--seconds", 0] if runner.rehearsal else ["--seconds", 0.05]
    return [runner.program("kernel-bench"), "--device", runner.device, *quick, *flags]


def ceilings(runner, _):
    report = runner.report(kernel_bench(runner, "--ceilings"))
    found = {name: value for name, value in report["ceilings"].items() if isinstance(value, (int, float))}
    bad = [name for name, value in found.items() if not 0 < value < float("inf")]
    wanted = ["copy_bytes_per_second"] if runner.rehearsal else ["copy_bytes_per_second", "matmul_f16_flops_per_second", "matmul_bf16_flops_per_second"]
    bad += [name for name in wanted if name not in found]
    if bad:
        raise PieceFailed(f"{', '.join(bad)} was not measured", {"ceilings": report["ceilings"]})
    products = "".join(f", {name.split('_')[1]} matrix products {value * 1e-12:.0f} TFLOP/s" for name, value in found.items() if name.startswith("matmul"))
    return {"summary": f"copy {found['copy_bytes_per_second'] * 1e-9:.0f} GB/s{products}", **found, "cudnn": report["cudnn"], "software": report["software"]}


def kernels(only, precisions):
    def work(runner, _):
        flags = ["--only", "^Add "] if runner.rehearsal else ["--only", only, "--precision", precisions]
        report = runner.report(kernel_bench(runner, *flags))
        rows = report["rows"]
        # Reject NaN: every later comparison with it would pass.
        bad = [f"{row['kernel']} {row['shape']}" for row in rows if not 0 < row["median_us"] < float("inf")]
        if bad or not rows:
            raise PieceFailed(f"no valid time for {', '.join(bad[:3]) or 'any kernel'}", {"rows": rows})
        return {"summary": f"{len(rows)} rows", "rows": rows}

    return work


def pieces():
    """`ceilings`; the kernels to run first; the others."""
    return (
        [Piece("ceilings", "copy and matrix products", 12, 90, ceilings)],
        [Piece("kernels", "of the large layers, fp16", 45, 200, kernels(FIRST, "fp16"))],
        [Piece("kernels", "of the large layers, bf16", 45, 200, kernels(FIRST, "bf16")), Piece("kernels", "all others", 120, 290, kernels(OTHERS, "fp16,bf16"))],
    )
