"""A training step of one of several ranks, as two things that run side by side: computing, and sums over the ranks.

Backward computes from the last layer to the first. Each time that a bucket of gradients is complete, its sum is queued. Sums run one
after the other, each for a time of its own. After its last layer the step waits until all sums are there, then it updates the weights.

It knows no noise: all ranks compute equally fast and start each sum together."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Work:
    """What a rank computes in a step, in seconds."""

    gaps: tuple  # before each sum, since the one before it or the step's beginning
    tail: float  # from the last sum until the step waits
    update: float  # after the wait

    @property
    def seconds(self):
        return sum(self.gaps) + self.tail + self.update

    def scaled(self, factor):
        return Work(tuple(factor * gap for gap in self.gaps), factor * self.tail, factor * self.update)


@dataclasses.dataclass(frozen=True)
class Step:
    seconds: float
    waiting: float  # seconds of it

    @property
    def waiting_share(self):
        return self.waiting / self.seconds


def simulate(work, sums, computing=1.0, summing=1.0):
    """The step of a rank whose sums take `sums` seconds, one for each gap. While a sum and the computing run at the same time, they
    have `computing` and `summing` of their speeds: both 1 if they use different hardware, both 0.5 if they share a core."""
    if len(sums) != len(work.gaps):
        raise ValueError(f"got {len(sums)} sums for {len(work.gaps)} gaps")
    now, queue = 0.0, []
    for gap, new in zip((*work.gaps, work.tail), (*sums, 0.0), strict=True):
        left = gap
        while left > 0:
            if not queue:
                now += left
                break
            together = min(left / computing, queue[0] / summing)
            now += together
            left -= together * computing
            queue[0] -= together * summing
            if queue[0] <= 1e-12:
                queue.pop(0)
        if new > 0:
            queue.append(new)
    waiting = sum(queue)
    return Step(now + waiting + work.update, waiting)


def work_of(exchange, seconds):
    """The work in a step that computes for `seconds` and of which step-bench reports `exchange`."""
    starts = [one["start_ms"] / 1e3 for one in exchange["sums"]]
    waits_at = exchange["waits_at_ms"] / 1e3
    gaps = tuple(max(0.0, b - a) for a, b in zip([0.0, *starts], starts))
    return Work(gaps, max(0.0, waits_at - starts[-1]), max(0.0, seconds - waits_at))


def interpolated(x, known):
    """The y of x on the line through known points, of rising x; that of the nearest point outside of them."""
    for (x0, y0), (x1, y1) in zip(known, known[1:]):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return known[0][1] if x < known[0][0] else known[-1][1]
