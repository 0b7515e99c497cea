"""One command or a few of a part: what is started, stopped and kept as one."""

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Piece:
    part: str
    name: str  # unique within its part
    seconds: float  # that it is expected to take on an H200; it is started where so much is left
    limit_s: float  # it has failed where it takes longer
    work: Callable  # (runner, results) -> dict with `summary`; raises what outcome.py has
    of_this_build: bool = True  # False: its result holds for other builds of Residua too
    each_call: bool = False  # cheap, and looks at what other pieces left

    @property
    def key(self):
        return f"{self.part}/{self.name}"
