"""Which compiled kernels each case of kernel-bench runs, and how: what the launches in cuda/kernels say, in one table.

Templates are written with {T}, the element type; {V}, the elements of 16 bytes; {H}, those of 8 bytes."""
import dataclasses
import math

from .loops import nest_of

SIZES = {"f16": 2, "bf16": 2, "f32": 4}
_TYPES = {"f16": "f16", "bf16": "bf16", "f32": "float"}


@dataclasses.dataclass(frozen=True)
class Launch:
    """The kernel that does a case's work. Others of the case, which read or write little, are in `launches` only."""

    source: str  # without .cu
    kernel: str
    # What the trips through the main loop move together: "all" bytes of the contract, those "read" or those "written". "tile": a trip
    # takes 2 x 2 pixels of {H} channels.
    trips: str = "all"
    threads: int = 256
    most_blocks: int = 32  # of the grid, a multiprocessor
    lane_sums: int = 0  # floats a thread in shared memory
    launches: int = 1
    trip_bytes: int = 0  # of a trip through the main loop, where another loop moves more
    cached: float = 0  # waits for what the caches hold, of a trip through the outermost loop
    # Or the trips for each 16 bytes written: through the outermost loop, through the next one, and so on to the main loop.
    nest: tuple = ()



def _columns(source, kernel, **more):
    """A grid of cuda/device/columns.cuh: a thread stays in its column."""
    return Launch(source, kernel, **{"most_blocks": 4, **more})


def _sums(source, kernel, threads, **more):
    """The first of the two kernels of a sum over rows."""
    return Launch(source, kernel, **{"threads": threads, "most_blocks": 2, "lane_sums": 8, "launches": 2, **more})


_RELU = {"": "false", " relu": "true", " add relu": "true"}


def _batch_norm():
    yield "BatchNormStatistics", _sums("batch_norm_forward", "statistics_kernel<{T}, true>", 512, trips="read", trip_bytes=64)
    for form, mask in _RELU.items():
        residual = "true" if "add" in form else "false"
        yield f"BatchNormApply{form}", _columns("batch_norm_forward", f"apply_kernel<{{T}}, true, {residual}, {mask}>")
        terms, stored = (2, "true") if "add" in form else (1, "false")
        yield f"BatchNormBackwardReduce{form}", _sums("batch_norm_backward", f"reduce_kernel<{{T}}, true, {mask}, {terms}, {stored}>", 384)
        if "add" not in form:
            yield f"BatchNormBackwardApply{form}", _columns("batch_norm_backward", f"apply_kernel<{{T}}, true, {mask}>")


def _small():
    """Kernels that take no longer than their launch: no loop is looked at."""
    for case, launches in {"AccumulateMetrics": 1, "BatchNormAddTotals": 1, "BatchNormCombine": 1, "BatchNormCommit": 1, "BatchNormGroupMean": 1,
                           "BatchNormRstd": 1, "BatchNormShareSums": 1, "ColumnSum": 2, "FinishStep": 1, "MaskedMean": 1, "Scale": 1,
                           "SoftmaxCrossEntropyBackward": 1, "SoftmaxCrossEntropyForward": 2}.items():
        yield case, Launch("", "", launches=launches)


CASES = {
    "Add": Launch("add", "add_kernel<{T}, {V}>"),
    "ReluForward": Launch("relu", "relu_forward<{T}, {V}>"),
    "ReluBackward": Launch("relu", "relu_backward<{T}, {V}>"),
    "Fill": Launch("fill", "fill_kernel<{T}, {V}>"),
    "Cast from f32": Launch("cast", "cast_kernel<float, {T}, 4>"),
    "Cast to f32": Launch("cast", "cast_kernel<{T}, float, 4>"),
    "CheckFinite": Launch("check_finite", "check_finite_kernel<{T}, {V}>"),
    # In fp32 there is no copy of the weights to write, but the compiled trip has it.
    "SgdUpdate": Launch("sgd", "sgd_kernel<{T}, {C}, 4>", trips="read"),
    "PrepareInput": Launch("prepare_input", "usual_kernel<{T}, false>", trips="written", cached=1),  # the view of its image
    "MaxPoolForward": Launch("max_pool", "max_pool_forward_3<{T}, {V}>", trips="written"),
    "MaxPoolBackward": Launch("max_pool", "max_pool_backward_3_2<{T}, {V}>", trips="written"),
    # Loops over packs, lines and pairs of columns; the third column is in the trip of its line. In backward a pixel is in one or two
    # windows of each dimension. Neighbors wait for the same lines.
    "AveragePoolForward": Launch("average_pool", "average_pool_forward<{T}, {V}>", nest=(1, 3, 3), cached=3),
    "AveragePoolBackward": Launch("average_pool", "average_pool_backward<{T}, {V}>", nest=(1, 1.5, 0.75), cached=1.5),
    # Four lanes for each pack, which read 7 x 7 pixels together, four in a trip.
    "GlobalAveragePoolForward": Launch("global_average_pool", "global_average_pool_forward<{T}, {V}>", threads=128, nest=(4, 49 / 4)),
    "GlobalAveragePoolBackward": Launch("global_average_pool", "global_average_pool_backward<{T}, {V}>", trips="written"),
    "SpaceToDepth": Launch("space_to_depth", "space_to_depth_kernel<{V}>", trips="written"),
    "ZeroPadShortcutForward stride": Launch("zero_pad_shortcut", "forward_kernel<{T}, {V}, 2, (ShortcutPool)0>", trips="read"),
    "ZeroPadShortcutForward average": Launch("zero_pad_shortcut", "forward_kernel<{T}, {V}, 2, (ShortcutPool)1>", trips="read"),
    "ZeroPadShortcutBackward stride": Launch("zero_pad_shortcut", "backward_kernel<{T}, {V}, 2, (ShortcutPool)0>", trips="written"),
    "ZeroPadShortcutBackward average": Launch("zero_pad_shortcut", "backward_kernel<{T}, {V}, 2, (ShortcutPool)1>", trips="written"),
    "BatchNormReluMaxPoolForward": _columns("batch_norm_relu_max_pool", "forward_kernel<{T}>", trips="written", most_blocks=3),
    "BatchNormReluMaxPoolBackwardReduce": _sums("batch_norm_relu_max_pool", "reduce_kernel<{T}>", 256, trips="read", trip_bytes=64, most_blocks=3, lane_sums=4),
    "BatchNormReluMaxPoolBackwardApply": _columns("batch_norm_relu_max_pool", "apply_kernel<{T}>", trips="tile", most_blocks=3),
    **dict(_batch_norm()),
    **dict(_small()),
}

# Operations that run one kernel after the other: the cases that they are made of. None stands for a kernel with no case of its own, which
# gets the bytes that the other one leaves.
OPERATIONS = {}
for _name, _form in (("batch_norm", ""), ("batch_norm_relu", " relu"), ("batch_norm_add_relu", " add relu")):
    OPERATIONS[f"{_name} forward"] = ("BatchNormStatistics", f"BatchNormApply{_form}")
    OPERATIONS[f"{_name} backward"] = (f"BatchNormBackwardReduce{_form}", f"BatchNormBackwardApply{_form}")
# Here the gradient has one term, and is stored masked.
OPERATIONS["batch_norm_add_relu backward"] = (
    _sums("batch_norm_backward", "reduce_kernel<{T}, true, true, 1, true>", 384), "BatchNormBackwardApply")


def cuda_rows(batch):
    """The rows of contracts that the CUDA device alone has, which kernel-bench therefore lacks. Here: the blocks of the first convolution's input."""
    x, blocks = batch * 224 * 224 * 4, batch * 115 * 115 * 16
    return [{"kernel": "SpaceToDepth", "shape": f"{batch}x224x224x4", "type": dtype, "bytes": SIZES[dtype] * (x + blocks),
             "written_bytes": SIZES[dtype] * blocks} for dtype in ("f16", "bf16")]


# Kernels of cuDNN and cuBLASLt, which have no code here.
LIBRARY = ("Convolution", "Matmul")


def instance(launch, dtype):
    """The name of the kernel for a type."""
    size = SIZES[dtype]
    return launch.kernel.format(T=_TYPES[dtype], V=16 // size, H=8 // size, C="bf16" if dtype == "f32" else _TYPES[dtype])


def elements(shape):
    return math.prod(int(size) for size in shape.split("x"))


def trips_of(launch, row, kernel):
    """[(loop, how many trips all threads take together)], the outermost loop first and the main one last."""
    written, read = row["written_bytes"], row["bytes"] - row["written_bytes"]
    main = kernel.main
    if launch.nest:
        return [(loop, times * written / 16) for loop, times in zip(nest_of(main), launch.nest, strict=True)]
    if launch.trips == "tile":
        return [(main, elements(row["shape"]) / (4 * 8 // SIZES[row["type"]]))]
    total, direction = {"all": (row["bytes"], None), "read": (read, "load"), "written": (written, "store")}[launch.trips]
    moved = main.trip.bytes(direction)
    if not moved:
        raise ValueError(f"{launch.source}.cu: a trip through the main loop of {kernel.name} has no {direction}; correct bench/kernel_prediction/cases.py")
    return [(main, total / moved)]
