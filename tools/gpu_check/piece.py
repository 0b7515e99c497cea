"""One or a few commands of a part, which are started, stopped and recorded as a unit."""

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Piece:
    part: str
    name: str  # unique within its part
    seconds: float  # expected time on an H200; it starts only if that much is left
    limit_s: float  # longer is a failure
    work: Callable  # (runner, results) -> dict with `summary`; raises the exceptions of outcome.py
    of_this_build: bool = True  # False: the result is also valid for other builds of Residua
    each_call: bool = False  # run on each call: cheap, and reads the results of other pieces

    @property
    def key(self):
        return f"{self.part}/{self.name}"
