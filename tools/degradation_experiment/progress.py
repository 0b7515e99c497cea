"""The progress of the grid, in one line."""

import shutil
import time

from .budget import makespan
from .trainer import log_records


def cost_of(arm):
    """Cost of one iteration in an arbitrary unit: roughly proportional to depth."""
    return arm.net.depth


def duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{minutes} min" if seconds >= 60 else f"{round(seconds)} s"


def last_step(folder):
    """(iteration, last training error) in a run's log."""
    records = [record for record in log_records(folder.file("log.jsonl"), 1 << 16) if record["type"] == "train"]
    return (int(records[-1]["iteration"]), float(records[-1]["top1_error"])) if records else (0, None)


class Progress:
    """Excludes work done before this call from the speed."""

    def __init__(self, arms, iterations, slots, done, folders, terminal):
        self.arms, self.iterations, self.slots, self.folders = arms, iterations, slots, folders
        self.terminal = terminal  # redraws one line on a terminal, else prints one per minute
        self.total = sum(map(cost_of, arms)) * iterations
        self.began = time.monotonic()
        self.before = self._work(done)
        self.shown, self.width = self.began, 0

    def _step(self, arm, done):
        return self.iterations if arm.name in done else min(last_step(self.folders[arm.name])[0], self.iterations)

    def _work(self, done):
        return sum(cost_of(arm) * self._step(arm, done) for arm in self.arms)

    def text(self, done, running):
        """`done`: names; `running`: arms."""
        work = self._work(done)
        parts = [f"{len(done)} of {len(self.arms)} arms, {100 * work / self.total:.0f} %"]
        moved, passed = work - self.before, time.monotonic() - self.began
        if moved > 0:
            # Seconds per unit of work in one slot, with the running arms in parallel.
            unit_s = passed * max(len(running), 1) / moved
            ahead = [arm for arm in running] + [arm for arm in self.arms if arm.name not in done and arm not in running]
            left = [cost_of(arm) * (self.iterations - self._step(arm, done)) * unit_s for arm in ahead]
            parts.append(f"{duration(makespan(left, self.slots))} left" if left else "")
        for arm in running:
            step, error = last_step(self.folders[arm.name])
            parts.append(f"{arm.name} {step}/{self.iterations}" + (f" error {error:.1f} %" if error is not None else ""))
        return "; ".join(part for part in parts if part)

    def interval_s(self):
        return 2.0 if self.terminal else 60.0

    def show(self, done, running, stream):
        now = time.monotonic()
        if now - self.shown < self.interval_s():
            return
        self.shown = now
        line = f"degradation: {self.text(done, running)}"
        if self.terminal:
            stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
            self.width = len(line)
        else:
            stream.write(line + "\n")
        stream.flush()

    def clear(self, stream):
        """Erases the line, to print another."""
        if self.width:
            stream.write("\r\x1b[K")
            self.width = 0
