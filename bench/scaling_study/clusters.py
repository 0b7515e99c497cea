"""How long a sum over many GPUs takes, and what that leaves of a step's speed: arithmetic on assumptions. Nothing here has run on a GPU.

The models of the algorithms are those of the literature: the ring of Patarasuk and Yuan (2009), two trees as in Sanders, Speck and
Traeff (2009), and recursive halving and doubling as in Thakur, Rabenseifner and Gropp (2005). Hops are counted as NCCL's own cost model
counts them (src/graph/tuning.cc)."""

import dataclasses
import math

from .simulation import Work, interpolated, simulate


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """Speeds in GB/s in one direction, times in microseconds."""

    gpus: int = 8  # a node
    nvlink_gbs: float = 370.0  # of a GPU, as reached by NCCL's ring
    network_gbs: float = 45.0  # of a GPU's own network adapter
    launch_us: float = 8.4  # of a sum
    nvlink_hop_us: float = 3.4
    network_hop_us: float = 9.6
    images_resnet18: float = 23700.0  # a second, of one GPU
    images_resnet34: float = 12900.0
    images_resnet50: float = 8000.0

    def images(self, model):
        return getattr(self, f"images_{model}")


# What each stands on; the report prints it.
SOURCES = {
    "gpus": "GPUs of a node: DGX H100 and H200",
    "nvlink_gbs": "NVLink of a GPU in GB/s: line rate 450; NCCL's ring reaches 370 (NCCL's maintainer, github.com/NVIDIA/nccl-tests/issues/212)",
    "network_gbs": "network of a GPU in GB/s: one 400 Gb/s InfiniBand adapter for each GPU is 50; 0.9 of it assumed",
    "launch_us": "fixed cost of a sum in us: NCCL's cost model, ring, protocol Simple (src/graph/tuning.cc, baseLat)",
    "nvlink_hop_us": "latency of an NVLink hop in us: the same (hwLat)",
    "network_hop_us": "latency of a network hop in us: the same (hwLat)",
    "images_resnet18": "img/s of one GPU: the target for an H200, 16 bits (bench/results/gpu.md); not measured",
    "images_resnet34": "img/s of one GPU: the target for an H200, 16 bits (bench/results/gpu.md); not measured",
    "images_resnet50": "img/s of one GPU: a round figure for an H200 in 16 bits; not measured",
}


def ring(size, nodes, a):
    """Seconds of a sum of `size` bytes by rings through all GPUs. As many rings as a node has adapters share the data."""
    n = nodes * a.gpus
    slowest = a.nvlink_gbs if nodes == 1 else min(a.nvlink_gbs, a.gpus * a.network_gbs)
    network_hops = 2 * (nodes - 1)
    hops = (2 * (n - 1) - network_hops) * a.nvlink_hop_us + network_hops * a.network_hop_us
    return (a.launch_us + hops) * 1e-6 + 2 * (n - 1) / n * size / (slowest * 1e9)


def tree(size, nodes, a):
    """The same by two trees of nodes, with a chain through the GPUs of each node."""
    slowest = a.nvlink_gbs if nodes == 1 else min(a.nvlink_gbs, a.gpus * a.network_gbs)
    hops = 2 * ((a.gpus - 1) * a.nvlink_hop_us + math.ceil(math.log2(nodes)) * a.network_hop_us)
    return (a.launch_us + hops) * 1e-6 + 2 * size / (slowest * 1e9)


def hierarchical(size, nodes, a):
    """The same in three stages: each node scatters its sums over its GPUs by a ring, each GPU sums its part with its peers in the other
    nodes by halving and doubling, and each node gathers the parts."""
    inside = 2 * (a.gpus - 1)
    hops = inside * a.nvlink_hop_us + 2 * math.ceil(math.log2(nodes)) * a.network_hop_us
    nvlink = inside / a.gpus * size / (a.nvlink_gbs * 1e9)
    network = 2 * (nodes - 1) / nodes * size / a.gpus / (a.network_gbs * 1e9)
    return (a.launch_us + hops) * 1e-6 + nvlink + network


ALGORITHMS = {"ring": ring, "tree": tree, "hierarchical": hierarchical}


@dataclasses.dataclass(frozen=True)
class Prediction:
    model: str
    precision: str
    nodes: int
    images: int  # of a GPU
    algorithm: str
    bytes: int
    sum_s: float  # all sums, one after the other
    efficiency: float  # speed / (GPUs x speed of one)
    without_overlap: float  # the same if no sum ran beside the backward pass


def shape_of(exchange, seconds):
    """Where in a step of `seconds` its gradients are complete: for each bucket the share of the gradients so far and of the step's time; and
    the share at which the step waits. The last two sums of `exchange` are the loss and the statistics."""
    buckets, small = exchange["sums"][:-2], exchange["sums"][-2:]
    total, done, starts = sum(one["bytes"] for one in buckets), 0, []
    for one in buckets:
        done += one["bytes"]
        starts.append((done / total, one["start_ms"] / 1e3 / seconds))
    return {"starts": starts, "waits_at": exchange["waits_at_ms"] / 1e3 / seconds, "small": [one["bytes"] for one in small]}


def predict(model, precision, bucket_bytes, shape, images, nodes, algorithm, a):
    """The step of a GPU with `images` images whose gradients have these buckets. The step's parts have the shares of `shape`."""
    step = images / a.images(model)
    total, done, starts = sum(bucket_bytes), 0, []
    for size in bucket_bytes:
        done += size
        starts.append(step * interpolated(done / total, shape["starts"]))
    waits_at = step * shape["waits_at"]
    sizes = [*bucket_bytes, *shape["small"]]
    starts += [waits_at] * len(shape["small"])
    work = Work(tuple(max(0.0, y - x) for x, y in zip([0.0, *starts], starts)), max(0.0, waits_at - starts[-1]), step - waits_at)
    costs = [ALGORITHMS[algorithm](size, nodes, a) for size in sizes]
    return Prediction(model, precision, nodes, images, algorithm, sum(sizes), sum(costs), step / simulate(work, costs).seconds, step / (step + sum(costs)))
