"""The tables of the report, and the CSV files with one line per arm."""

import csv
import io

from . import paper
from .arms import TWIN_SHORTCUT, residual_net
from .intervals import deviation, mean


def spread(values, digits=2):
    """Mean and standard deviation over seeds."""
    if not values:
        return "-"
    text = f"{mean(values):.{digits}f}"
    about = deviation(values)
    return text if about is None else f"{text} ± {about:.{digits}f}"


def signed(value):
    return f"{value:+.2f}"


def error_table(plan, results_of, nets):
    """Measured error, the paper's, and the difference, for each net."""
    top5 = plan.preset.paper == "imagenet"
    header = ["network", "parameters", "seeds", "test error %", "paper", "difference", "clean training error %", "training error %"]
    if top5:
        header.insert(4, "top-5 %")
    rows = []
    for net in nets:
        finished = results_of(net)
        results = [result for result in finished if not result.diverged]
        diverged = len(finished) - len(results)
        tests = [result.test.top1 for result in results]
        published = paper.error_of(plan.preset.paper, net)
        name = f"{net.label} {net.shortcut}" if not net.plain and net.shortcut == TWIN_SHORTCUT and len(nets) == 3 else net.label
        row = [
            name,
            f"{plan.facts[f'{net.key}-seed0']['parameters']:,}",
            f"{len(results)}" + (f", {diverged} diverged" if diverged else ""),
            spread(tests),
            paper.text_of(plan.preset.paper, net),
            signed(mean(tests) - published) if tests and published is not None else "-",
            spread([result.clean.top1 for result in results if result.clean]),
            spread([result.running.top1 for result in results if result.running]),
        ]
        if top5:
            row.insert(4, spread([result.test.top5 for result in results]))
        rows.append(row)
    return header, rows


def shortcut_nets(plan):
    return [residual_net(plan.size.shortcut_depth, shortcut) for shortcut in "ABC"] if plan.size.shortcut_depth else []


def verdict_table(verdicts):
    rows = []
    for verdict in verdicts:
        claim = verdict.claim
        compared = f"{claim.a.label} - {claim.b.label}, {claim.measure}"
        wanted = f"within ±{claim.margin:g}" if claim.close else f"> {claim.margin:g}"
        interval = f"{signed(verdict.interval.low)} to {signed(verdict.interval.high)}" if verdict.interval else "-"
        outcome = verdict.outcome + (f": {verdict.reason}" if verdict.reason else "")
        rows.append([claim.text, compared, wanted, "-" if verdict.difference is None else signed(verdict.difference), interval, outcome])
    return ["claim", "compared", "wanted", "difference", "95 % interval", "verdict"], rows


def _csv(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _number(value):
    return "" if value is None else f"{value:.6f}"


def results_csv(plan, results):
    """One line per arm, only with values that are the same for each run of an arm."""
    rows = [["network", "model", "shortcut", "depth", "seed", "parameters", "iterations", "precision", "diverged", "test_top1_error", "test_top5_error", "test_loss",
             "clean_train_top1_error", "clean_train_loss", "running_train_top1_error", "running_train_loss", "clean_train_before_first_drop", "digest"]]  # fmt: skip
    for arm in plan.arms:
        if arm.name not in results:
            continue
        result = results[arm.name]
        errors = []
        for error, names in ((result.test, ("top1", "top5", "loss")), (result.clean, ("top1", "loss")), (result.running, ("top1", "loss"))):
            errors += [_number(getattr(error, name)) if error else "" for name in names]
        net, content = arm.net, result.content
        early = None if result.diverged else result.clean_before_first_drop()
        rows.append([net.label, net.model, net.shortcut, net.depth, arm.seed, content["parameters"], content["iterations"], content["precision"],
                     "yes" if result.diverged else "no", *errors, _number(early), content["digest"]])  # fmt: skip
    return _csv(rows)


def times_csv(plan, results):
    """One line per arm: its time, speed and hardware."""
    rows = [["network", "seed", "seconds", "images_per_second", "threads", "device", "processor", "version"]]
    for arm in plan.arms:
        if arm.name in results:
            content = results[arm.name].content
            rows.append([arm.net.label, arm.seed, *(content[name] for name in ("seconds", "images_per_second", "threads", "device", "processor", "version"))])
    return _csv(rows)
