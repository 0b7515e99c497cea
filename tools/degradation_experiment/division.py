"""How a machine is divided: places for the arms that run in parallel, and the ranks and threads of each arm."""

import os
import re
from dataclasses import dataclass

from .refusal import Refusal


@dataclass(frozen=True)
class Division:
    """How each arm is divided. Its last bits depend on this, so it is part of the plan."""

    ranks: int = 1
    threads: int = 1  # compute threads of a rank on the CPU device
    group: int = 0  # images that batch norm normalizes together, if ranks decide it; 0: as the recipe says

    @property
    def text(self):
        threads = "one thread" if self.threads == 1 else f"{self.threads} threads"
        return f"with {threads}" if self.ranks == 1 else f"over {self.ranks} ranks with {threads} each"


@dataclass(frozen=True)
class Place:
    """Where an arm runs."""

    device: str
    gpus: str = ""  # CUDA_VISIBLE_DEVICES of its processes; empty: as it is

    def environment(self):
        return {**os.environ, "CUDA_VISIBLE_DEVICES": self.gpus} if self.gpus else None


def processors():
    return len(os.sched_getaffinity(0))


def group_of(configuration, ranks):
    """Division.group. A rank normalizes its part of a batch in groups of its own: the recipe's groups must divide that part."""
    batch, group = int(configuration["batch-size"]), int(configuration["bn-group"])
    if ranks == 1:
        return 0
    if batch % ranks:
        raise Refusal(f"--ranks {ranks} cannot share a batch of {batch} images equally: give a divisor of {batch}")
    if not 0 < group < batch:  # one group
        return batch // ranks
    if batch // ranks % group:
        kept = [str(fewer) for fewer in range(1, ranks) if fewer == 1 or batch % (fewer * group) == 0]
        raise Refusal(f"--ranks {ranks} would change the results: each rank has {batch // ranks} of the {batch} images of a batch, but batch norm normalizes over {group}; wanted {' or '.join(kept)}")
    return 0


def divide(configuration, device, ranks, jobs, threads):
    """The division of a new plan. Without `threads`, on the CPU `jobs` arms divide the processors."""
    if threads is None:
        threads = max(1, processors() // (jobs * ranks)) if jobs and device == "cpu" else 1
    return Division(ranks, threads, group_of(configuration, ranks))


def places_of(device, jobs, division):
    """One place for each arm that runs in parallel. `device`: cpu, cuda, or GPUs such as cuda:0,cuda:1."""
    if device == "cpu":
        return [Place("cpu")] * (jobs or max(1, processors() // (division.ranks * division.threads)))
    names = device.split(",")
    if division.ranks == 1 or names == ["cuda"]:  # ranks on "cuda" take the GPUs of their machine in turn
        return [Place(name) for name in names]
    if len(names) % division.ranks or not all(re.fullmatch(r"cuda:\d+", name) for name in names):
        raise Refusal(f"--device {device}: got {len(names)} names, wanted a multiple of --ranks {division.ranks} such as {','.join(f'cuda:{i}' for i in range(division.ranks))}, or cuda")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = [int(name.removeprefix("cuda:")) for name in names]
    if visible:
        known = visible.split(",")
        if max(numbers) >= len(known):
            raise Refusal(f"--device {device}: CUDA_VISIBLE_DEVICES has {len(known)} GPUs: {visible}")
        numbers = [known[number] for number in numbers]
    return [Place("cuda", ",".join(map(str, numbers[i : i + division.ranks]))) for i in range(0, len(numbers), division.ranks)]
