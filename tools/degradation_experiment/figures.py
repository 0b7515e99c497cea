"""The figures, as PNG and SVG. Equal results give equal bytes."""

import itertools
import json
import math
import os

from .arms import plain_net, residual_net
from .intervals import mean
from .refusal import Refusal
from .results import number

COLORS = ["#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00"]  # from the Okabe-Ito palette


def colored(depths):
    """[(depth, color)], the same in all figures."""
    return list(zip(depths, itertools.cycle(COLORS)))


class NoMatplotlib(Exception):
    """matplotlib is not installed."""


def load_matplotlib():
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot
    except ImportError as problem:
        raise NoMatplotlib(f"{problem}: run tools/setup, or apt-get install python3-matplotlib, then this command again") from None
    matplotlib.rcdefaults()  # the user's settings would change the bytes
    matplotlib.rcParams.update({"svg.hashsalt": "residua", "font.size": 10, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False,
                                "axes.grid": True, "grid.color": "#e5e5e5", "grid.linewidth": 0.6, "legend.frameon": True, "legend.edgecolor": "none", "legend.framealpha": 0.85})  # fmt: skip
    return matplotlib.pyplot


def save(figure, folder, name, pyplot):
    """Saves a figure without dates and versions in its metadata."""
    folder.mkdir(exist_ok=True)
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        path = folder / f"{name}.{kind}"
        figure.savefig(f"{path}.new", format=kind, dpi=140, metadata=metadata)
        os.replace(f"{path}.new", path)
    pyplot.close(figure)


def mean_curve(curves):
    """The mean over seeds at each iteration that all of them have; one that only some have would cause a jump."""
    if not curves:
        return []
    values = [dict(curve) for curve in curves]
    common = sorted(set.intersection(*(set(curve) for curve in values)))
    return [(iteration, mean([curve[iteration] for curve in values])) for iteration in common]


def thinned(points, most=400):
    """Averages neighboring points if there are more than a line can show."""
    step = max(1, math.ceil(len(points) / most))
    groups = [points[index : index + step] for index in range(0, len(points), step)]
    return [(mean([x for x, _ in group]), mean([y for _, y in group])) for group in groups]


CURVES = (("running_train", {"linewidth": 1.0, "linestyle": "--"}), ("validation", {"linewidth": 2.4}), ("clean_train", {"linewidth": 0.7}))


def error_curves(plan, results_of, pyplot):
    """Figure 6 (CIFAR) or 4 (photos) of the paper: plain nets on the left, residual nets on the right."""
    from matplotlib.lines import Line2D

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.8), sharey=True)
    figure.subplots_adjust(left=0.055, right=0.985, top=0.93, bottom=0.18, wspace=0.09)
    highest = 0.0
    for axes, make, title in ((panels[0], plain_net, "plain nets"), (panels[1], residual_net, "residual nets")):
        for depth, color in colored(plan.size.depths):
            finished = results_of(make(depth))
            results = [result for result in finished if not result.diverged] or finished
            for name, style in CURVES:
                points = thinned(mean_curve([result.curve(name) for result in results]))
                if points:
                    axes.plot(*zip(*points), color=color, **style)
                    # Ignore the first tenth of a run, where errors are high.
                    highest = max([highest] + [y for x, y in points if x > plan.size.iterations / 10])
        axes.set_title(title)
        axes.set_xlabel("iteration")
        axes.set_xlim(0, plan.size.iterations)
        nets = {make(depth).label: Line2D([], [], color=color, linewidth=2.4) for depth, color in colored(plan.size.depths)}
        axes.legend(nets.values(), nets.keys(), loc="upper right")
    panels[0].set_ylim(0, min(100.0, 1.05 * highest) if highest else 100.0)
    panels[0].set_ylabel("error (%)")
    styles = [Line2D([], [], color="#444444", **style) for _, style in CURVES]
    figure.legend(styles, ["training error, running", "test error", "training error, clean"], loc="lower center", ncol=3)
    return figure


def read_layers(path):
    """(std of the response, norm of the gradient, kernel size) of each layer, NaN if a value is not finite; None if there is no file."""
    try:
        layers = json.loads(path.read_text(encoding="utf-8"))["layers"]
        return [(number(layer["response_std"]), number(layer["gradient_norm"]), int(layer["kernel"])) for layer in layers]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Refusal(f"cannot read {path}: {problem}; move it away to compute it again, if the weights still exist") from None


def mean_layers(folders, column, final):
    """The mean over seeds of each 3x3 layer, in the order of the forward pass."""
    read = [read_layers(folder.layers_final if final else folder.layers_initial) for folder in folders]
    seeds = [[layer[column] for layer in layers if layer[2] == 3] for layers in read if layers]
    # NaN: the value overflowed in one of the seeds. The line has a gap there.
    return [mean(values) for values in zip(*seeds)]


def twin_nets(plan):
    return [(make(depth), color, style) for make, style in ((plain_net, "--"), (residual_net, "-")) for depth, color in colored(plan.size.depths)]


def layer_responses(plan, folders_of, pyplot):
    """Figure 7: the standard deviations of the responses of 3x3 layers after batch normalization, in layer order and by magnitude."""
    figure, panels = pyplot.subplots(2, 1, figsize=(9, 6.4), constrained_layout=True)
    drawn = False
    for net, color, style in twin_nets(plan):
        deviations = mean_layers(folders_of(net), 0, True)
        for axes, values in zip(panels, (deviations, sorted(filter(math.isfinite, deviations), reverse=True))):
            if values:
                axes.plot(range(1, len(values) + 1), values, color=color, linestyle=style, linewidth=1.3, label=net.label)
                drawn = True
    for axes, label in zip(panels, ("layer, in order", "layer, by magnitude")):
        axes.set_xlabel(label)
        axes.set_ylabel("std of the response")
        axes.set_ylim(bottom=0)
        if axes.lines:
            axes.legend(ncol=2, fontsize=8)
    return figure if drawn else None


def gradient_norms(plan, folders_of, pyplot):
    """The gradient norm of each layer, at initialization and after training."""
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.4), sharey=True, constrained_layout=True)
    drawn = False
    for axes, final, title in ((panels[0], False, "at initialization"), (panels[1], True, "after training")):
        for net, color, style in twin_nets(plan):
            norms = mean_layers(folders_of(net), 1, final)
            if norms:
                axes.plot(range(1, len(norms) + 1), norms, color=color, linestyle=style, linewidth=1.3, label=net.label)
                drawn = True
        axes.set_title(title)
        axes.set_xlabel("3x3 layer, in order")
    if drawn:
        panels[0].set_yscale("log")
        panels[0].legend(ncol=2, fontsize=8)
    panels[0].set_ylabel("gradient norm")
    return figure if drawn else None


def draw(plan, results_of, folders_of, folder):
    """Draws every figure that has data; returns [(file name without extension, caption)]."""
    pyplot = load_matplotlib()
    seeds = "means over the seeds"
    number = plan.preset.curves.removeprefix("figure")
    wanted = (
        (plan.preset.curves, f"As in the paper's Figure {number}: running training error (dashed), test error (bold), clean training error (thin); {seeds}.",
         lambda: error_curves(plan, results_of, pyplot)),
        ("figure7", f"As in the paper's Figure 7: the standard deviations of the responses of 3x3 layers, after batch normalization and before addition and ReLU, in training mode; plain nets dashed; {seeds}.",
         lambda: layer_responses(plan, folders_of, pyplot)),
        ("gradient-norms", f"The gradient norm of each layer; plain nets dashed; {seeds}. The paper argues that the gradients of plain nets do not vanish (section 4.1).",
         lambda: gradient_norms(plan, folders_of, pyplot)),
    )  # fmt: skip
    drawn = []
    for name, caption, make in wanted:
        figure = make()
        if figure is not None:
            save(figure, folder, name, pyplot)
            drawn.append((name, caption))
    return drawn
