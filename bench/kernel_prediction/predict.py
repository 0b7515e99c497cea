"""How long a kernel takes on a GPU, from its code and the bytes of its contract."""
import dataclasses

from .cases import CASES, LIBRARY, OPERATIONS, Launch, instance, trips_of


@dataclasses.dataclass
class Prediction:
    kernel: str
    shape: str
    type: str
    bytes: float
    launches: int
    seconds: dict  # of each bound; a kernel takes as long as the longest, and its launches
    compiled: object = None  # the Kernel, if it is one
    threads: int = 0  # on a multiprocessor at once
    total: float = 0
    bound: str = "launch"
    share_of_copy: float = 0


def loop_costs(kernel, loops, entering):
    """(instructions by unit with "issue", waits for memory), summed over threads, of `entering` threads."""
    work, waits = {}, 0
    for path, times in [(kernel.prologue, entering), *((loop.trip, times) for loop, times in loops)]:
        for unit, count in {"issue": len(path.instructions), **path.units}.items():
            work[unit] = work.get(unit, 0) + count * times
        waits += path.waits * times
    return work, waits


def bounds(launch, row, kernel, gpu):
    """The seconds of each bound, and the threads on a multiprocessor."""
    seconds = {"memory": row["bytes"] / gpu.copy_bytes_per_second}
    if kernel is None:
        return seconds, 0
    if kernel.main is None:
        raise ValueError(f"{launch.source}.cu: {kernel.name} has no main loop as described (bytes of a trip: {launch.trip_bytes or 'any'}, loops in each other: {len(launch.nest) or 'any'}); correct bench/kernel_prediction/cases.py")
    threads = gpu.resident_threads(launch.threads, kernel.registers, kernel.shared_bytes + launch.lane_sums * 4 * launch.threads, launch.most_blocks)
    if threads == 0:
        raise ValueError(f"{launch.source}.cu: a block of {launch.threads} threads of {kernel.name} does not fit on a multiprocessor")
    loops = trips_of(launch, row, kernel)
    most = loops[0][1]  # a thread takes at least one trip through the outermost loop
    work, waits = loop_costs(kernel, loops, min(most, gpu.multiprocessors * launch.threads * launch.most_blocks))
    for unit, count in work.items():
        seconds[unit] = gpu.seconds(count / 32, unit)
    waits -= launch.cached * most
    # Threads wait beside each other, as many as there are and fit.
    seconds["latency"] = waits * gpu.latency_us * 1e-6 / min(most, gpu.multiprocessors * threads)
    return seconds, threads


def predict_case(launch, row, kernels, gpu):
    """`kernels` gives the compiled kernel of a launch and a type."""
    kernel = kernels(launch, row["type"]) if launch.kernel else None
    seconds, threads = bounds(launch, row, kernel, gpu)
    seconds["launch"] = launch.launches * gpu.launch_us * 1e-6
    return finish(Prediction(row["kernel"], row["shape"], row["type"], row["bytes"], launch.launches, seconds, kernel, threads), gpu)


def finish(p, gpu):
    own = {bound: time for bound, time in p.seconds.items() if bound != "launch"}
    p.bound = max(p.seconds, key=p.seconds.get)
    p.total = p.total or max(own.values()) + p.seconds["launch"]
    p.share_of_copy = p.bytes / gpu.copy_bytes_per_second / p.total
    return p


def predict_operation(parts, row, rows, kernels, gpu):
    """Kernels one after the other. A part is a case, or a launch that gets the bytes that the cases leave."""
    find = {(r["kernel"], r["shape"], r["type"]): r for r in rows}
    cases = [find[part, row["shape"], row["type"]] for part in parts if isinstance(part, str)]
    done = [predict_case(CASES[case["kernel"]], case, kernels, gpu) for case in cases]
    for part in parts:
        if isinstance(part, Launch):
            rest = {field: row[field] - sum(case[field] for case in cases) for field in ("bytes", "written_bytes")}
            done.append(predict_case(part, {**row, **rest}, kernels, gpu))
    seconds = {}
    for p in done:
        for bound, time in p.seconds.items():
            seconds[bound] = seconds.get(bound, 0) + time
    return finish(Prediction(row["kernel"], row["shape"], row["type"], row["bytes"], sum(p.launches for p in done), seconds,
                             total=sum(p.total for p in done)), gpu)


def predict_all(rows, kernels, gpu, wanted=lambda row: True):
    """The predictions of the rows that `wanted` takes, without those of libraries, and the names of cases that have no entry."""
    found, unknown = [], set()
    for row in rows:
        if row["kernel"].startswith(LIBRARY) or not wanted(row):
            continue
        if row["kernel"] in OPERATIONS:
            found.append(predict_operation(OPERATIONS[row["kernel"]], row, rows, kernels, gpu))
        elif row["kernel"] in CASES:
            found.append(predict_case(CASES[row["kernel"]], row, kernels, gpu))
        else:
            unknown.add(row["kernel"])
    return found, sorted(unknown)
