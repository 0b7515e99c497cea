"""How long a grid takes, and which part of it fits into a number of hours."""

from .arms import grid_of, nets_of
from .intervals import FEWEST
from .refusal import Refusal

EVALUATION_COST = 1 / 3  # relative to training, per image


def seconds_of(net, size, speeds, preset):
    """Time of an arm: its training steps, and an evaluation after each epoch."""
    images = size.iterations * preset.batch
    evaluated = (size.validation_images + preset.clean_train) * size.iterations / size.iterations_per_epoch
    return (images + EVALUATION_COST * evaluated) / speeds[net.key]


def makespan(durations, slots):
    """Seconds until all are done, if each starts in order in the first free slot."""
    ends = [0.0] * slots
    for duration in durations:
        index = ends.index(min(ends))
        ends[index] += duration
    return max(ends)


def grid_seconds(size, speeds, preset, slots):
    arms = grid_of(nets_of(size.depths, size.shortcut_depth), size.seeds)
    return makespan([seconds_of(arm.net, size, speeds, preset) for arm in arms], slots)


def fit(size, hours, speeds, preset, slots):
    """(size that fits, list of cuts). Cuts depths first, then shortcuts, then iterations, and at last seeds, but keeps at least 3."""
    cut = []

    def fits():
        return grid_seconds(size, speeds, preset, slots) <= hours * 3600

    for depth in preset.cut_depths:
        if fits():
            return size, cut
        if depth in size.depths and len(size.depths) > 2:
            size = size.with_(depths=tuple(other for other in size.depths if other != depth))
            cut.append(f"depth {depth} left out")
    if not fits() and size.shortcut_depth:
        size = size.with_(shortcut_depth=0)
        cut.append("shortcuts B and C left out")
    if not fits():
        full, fewest = size.iterations, min(size.iterations, round(preset.fewest_epochs * size.iterations_per_epoch))
        needed = grid_seconds(size, speeds, preset, slots)
        size = size.with_(iterations=max(fewest, int(full * hours * 3600 / needed)))
        if size.iterations < full:
            cut.append(f"{size.iterations} iterations instead of {full}")
    while not fits() and size.seeds > FEWEST:
        size = size.with_(seeds=size.seeds - 1)
        cut.append(f"{size.seeds} seeds")
    if not fits():
        needed = grid_seconds(size, speeds, preset, slots) / 3600
        raise Refusal(f"the smallest grid takes {needed:.1f} hours on this machine, but --budget is {hours:g}: {size.iterations} iterations, {size.seeds} seeds, depths {', '.join(map(str, size.depths))}; give more hours, fewer depths or fewer seeds")
    return size, cut
