"""How far the grid is: one line."""

import shutil
import time

from .budget import makespan
from .trainer import log_records


def cost_of(arm):
    """Of one iteration, in any unit: layers of one stage cost alike."""
    return arm.net.depth


def duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{minutes} min" if seconds >= 60 else f"{round(seconds)} s"


def last_step(folder):
    """(iteration, last error) of a run, as far as its log tells."""
    records = [record for record in log_records(folder.file("log.jsonl"), 1 << 16) if record["type"] == "train"]
    return (int(records[-1]["iteration"]), float(records[-1]["top1_error"])) if records else (0, None)


class Progress:
    """Knows what was done before this call, so that its speed is that of this call."""

    def __init__(self, arms, iterations, slots, done, folders, terminal):
        self.arms, self.iterations, self.slots, self.folders = arms, iterations, slots, folders
        self.terminal = terminal  # rewrites one line there, else prints one a minute
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
            # The seconds that a unit of work takes in one slot, while as many slots as run are busy.
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
        """Makes room for another line."""
        if self.width:
            stream.write("\r\x1b[K")
            self.width = 0
