"""The report of a training run, made of the files in its folder. A part whose file is missing is left out, and a line says why."""

import json
import math
import os
import pathlib
import subprocess
import sys

MOST_ROWS = 25
MOST_IMAGES = 24
TOOLS = pathlib.Path(__file__).resolve().parent.parent
NO_TIMES = "The log does not have the times of all parts: an earlier version of the program made some of it."
NO_EVALUATION = (
    "There is no evaluation.json. A run writes it with its last validation; for other weights, "
    "train-imagenet DATA --evaluate --weights FILE --evaluation-json RUN/evaluation.json does."
)
ALL_RIGHT = "No image was taken for one of another class."
KINDS = (("validation", "validation"), ("test", "test"), ("clean_train", "training images, not augmented"), ("train", "training images, augmented, during training"))


class Missing(Exception):
    """Why a part of the report is left out."""


def number(value):
    """A number from JSON; null or a string that float() accepts if it is not finite."""
    return math.nan if value is None else float(value)


def shown(value, digits=2):
    value = number(value)
    return f"{value:,.{digits}f}" if math.isfinite(value) else "not finite"


def percent(part, whole):
    return shown(100 * part / whole) if whole else "-"


def probability(value):
    return f"{shown(100 * number(value), 1)} %" if math.isfinite(number(value)) else "not finite"


def file_name(image):
    return image["name"].rsplit("/", 1)[-1]


def duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if seconds >= 60 else f"{seconds:.1f} s"


def read_text(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise Missing(f"Cannot read {path.name}: {problem.strerror}.") from None


def read_json(path):
    """The JSON object in a file; None if there is no file."""
    text = read_text(path)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as problem:
        raise Missing(f"{path.name} is damaged: {problem}.") from None
    if not isinstance(content, dict):
        raise Missing(f"{path.name} is damaged: it holds no JSON object.")
    return content


class Run:
    """The files of a run's folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.name = os.fsencode(os.path.basename(os.path.abspath(folder))).decode("utf-8", "replace")
        self.records = {}  # of the log's known types, by type
        for line in (read_text(self.folder / "log.jsonl") or "").splitlines():
            try:
                record = json.loads(line)
                if record["type"] in dict(KINDS):
                    int(record["iteration"])
                    self.records.setdefault(record["type"], []).append(record)
            except (ValueError, KeyError, TypeError):
                continue  # the incomplete last line of a running or killed run
        self.result = read_json(self.folder / "result.json")
        self.facts = self.result or read_json(self.folder / "run.json")

    def known(self):
        if self.facts is None:
            raise Missing("There is neither a result.json nor a run.json: an earlier version of the program made this run, and it did not end.")
        return self.facts

    def last(self, kind):
        return self.records[kind][-1] if self.records.get(kind) else None

    def iteration(self):
        return max((records[-1]["iteration"] for records in self.records.values()), default=0)

    def config(self):
        """[(name, value)] of config.toml, the values as they are written; None if there is no file."""
        text = read_text(self.folder / "config.toml")
        return None if text is None else [tuple(line.split(" = ", 1)) for line in text.splitlines() if " = " in line]

    def data(self):
        """The name of the data set: that of its folder or, without one, of its kind."""
        config = dict(self.config() or [])
        folder = config.get("DIR", "").strip('"').rstrip("/")
        return folder.rsplit("/", 1)[-1] or config.get("dataset", "unknown").strip('"')

    def settings(self):
        """[(name, value)] that affect results or, if the run did not keep them, all of config.toml."""
        if self.facts is not None:
            return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in self.facts["configuration"].items()]
        if self.config() is None:
            raise Missing("There is no config.toml: an earlier version of the program made this run.")
        return self.config()


def state_of(run):
    iteration, total = run.iteration(), (run.facts or {}).get("iterations")
    of = f"iteration {iteration:,}" + (f" of {total:,}" if total else "")
    if run.result is None:
        return f"The run has not ended: its log ends at {of}."
    return f"The run diverged at {of}: its loss is not finite." if run.result.get("diverged") else f"The run is finished: {of}."


def what_was_trained(run):
    facts = run.known()
    configuration = facts["configuration"]
    epochs = facts["iterations"] / facts["iterations_per_epoch"] if facts["iterations_per_epoch"] else math.nan
    blocks = [("list", [
        f"Data: {run.data()}.",
        f"Network: {configuration['model']}, {facts['parameters']:,} parameters.",
        f"Training: {facts['train_images']:,} images, {facts['iterations']:,} iterations of {configuration['batch-size']} images ({shown(epochs, 1)} epochs).",
        f"Validation: {facts['validation_images']:,} images.",
    ])]  # fmt: skip
    if "recipe" not in facts:
        blocks.append(("text", "The run did not keep its recipe: an earlier version of the program made it."))
    elif facts["deviations"]:
        blocks += [("text", f"The settings deviate from the recipe {facts['recipe']}:"), ("list", facts["deviations"])]
    else:
        blocks.append(("text", f"The settings are those of the recipe {facts['recipe']}."))
    return blocks


def errors(run):
    rows = []
    for kind, name in KINDS:
        record = run.last(kind)
        if record is not None:
            images = f"{record['images']:,}" if "images" in record else "-"
            rows.append([name, f"{record['iteration']:,}", images, shown(record["loss"], 4), shown(record["top1_error"]), shown(record["top5_error"])])
    if not rows:
        raise Missing("The log has no errors yet.")
    blocks = [("table", (["evaluated on", "iteration", "images", "loss", "top-1 error %", "top-5 error %"], rows))]
    finite = [record for record in run.records.get("validation", []) if math.isfinite(number(record["top1_error"]))]
    if finite:
        best = min(finite, key=lambda record: number(record["top1_error"]))
        blocks.append(("text", f"Lowest top-1 validation error: {shown(best['top1_error'])} %, at iteration {best['iteration']:,}."))
    return blocks


def curves(run):
    svg, log = run.folder / "curves.svg", run.folder / "log.jsonl"
    if not svg.exists() or svg.stat().st_mtime_ns < log.stat().st_mtime_ns:
        done = subprocess.run([sys.executable, TOOLS / "plot-curves", run.folder], capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise Missing(f"The curves were not drawn: {done.stderr.strip()}.")
    return [("figure", ("curves", "Thin: training error and loss, on augmented images. Bold: validation. Dotted: the learning rate falls."))]


def evaluation(run):
    e = read_json(run.folder / "evaluation.json")
    if e is None:
        raise Missing(NO_EVALUATION)
    text = f"{e['images']:,} {e['set']} images, protocol {e['protocol']}: top-1 error {shown(e['top1_error'])} % (95 % interval {' to '.join(map(shown, e['top1_interval']))}), "
    text += f"top-5 error {shown(e['top5_error'])} % ({' to '.join(map(shown, e['top5_interval']))})."
    if e["unreadable_images"]:
        text += f" {e['unreadable_images']:,} more images could not be read."
    last = run.last("validation")
    if last is not None and e.get("iteration") != last["iteration"]:
        text += f" These are the weights of iteration {e.get('iteration', 'unknown')}; the last validation was at iteration {last['iteration']:,}."
    return [("text", text), *classes(e), ("heading", "Most frequent confusions"), *confusions(e), ("heading", "Worst images"), *worst_images(e, run.folder)]


def classes(e):
    seen = [c for c in e["classes"] if c["images"] > 0]
    worst = sorted(seen, key=lambda c: (-c["top1_errors"] / c["images"], -c["images"]))[:MOST_ROWS]
    rows = [[c["name"], f"{c['images']:,}", f"{c['top1_errors']:,}", percent(c["top1_errors"], c["images"]), percent(c["top5_errors"], c["images"])] for c in worst]
    blocks = [("table", (["class", "images", "errors", "top-1 error %", "top-5 error %"], rows))]
    if len(seen) > len(worst):
        blocks.insert(0, ("text", f"The {len(worst)} classes with the highest error, of {len(seen):,}. evaluation.json has all."))
    return blocks


def confusions(e):
    images = {c["name"]: c["images"] for c in e["classes"]}
    rows = [[c["label"], c["guess"], f"{c['images']:,}", percent(c["images"], images[c["label"]])] for c in e["confusions"][:MOST_ROWS]]
    return [("table", (["class", "taken for", "images", "share of the class %"], rows))] if rows else [("text", ALL_RIGHT)]


def worst_images(e, folder):
    worst = e["worst"][:MOST_IMAGES]
    if not worst:
        return [("text", ALL_RIGHT)]
    pictures = [i for i in worst if "view" in i and (folder / i["view"]).is_file()]
    if not pictures:
        rows = [[file_name(i), i["label"], probability(i["label_probability"]), i["guess"], probability(i["guess_probability"])] for i in worst]
        return [("text", "There are no pictures of these images."), ("table", (["image", "class", "probability", "taken for", "probability"], rows))]
    captions = [[f"{i['label']}: {probability(i['label_probability'])}", f"taken for {i['guess']}: {probability(i['guess_probability'])}", file_name(i)] for i in pictures]
    return [
        ("text", "The images with the highest loss, as the network saw them, with the probability of their class and of the class that they were taken for."),
        ("images", [(i["view"], caption) for i, caption in zip(pictures, captions)]),
    ]


def times(run):
    steps = run.records.get("train", [])
    parts = [(kind, run.records.get(kind, [])) for kind, _ in KINDS[:3]]
    if not steps:
        raise Missing("The log has no times yet.")
    if any("seconds" not in record for record in steps) or any("seconds" not in record for _, records in parts for record in records):
        raise Missing(NO_TIMES)
    wait = math.fsum(number(record["seconds"]) * number(record["data_wait"]) for record in steps)
    split = [("training steps", math.fsum(number(record["seconds"]) for record in steps) - wait), ("waiting for training images", wait)]
    split += [(f"evaluation: {dict(KINDS)[kind]}", math.fsum(number(record["seconds"]) for record in records)) for kind, records in parts if records]
    whole = math.fsum(seconds for _, seconds in split)
    rows = [[name, duration(seconds), f"{percent(seconds, whole)}"] for name, seconds in [*split, ("together", whole)]]
    blocks = [("table", (["part", "time", "share %"], rows)), ("text", "Start and saving are not counted.")]
    if run.result is not None and run.result["images_per_second"] is not None:
        blocks.append(("text", f"Training speed, without evaluation: {shown(run.result['images_per_second'], 1)} images a second."))
    return blocks


def machine(run):
    facts = run.known()
    rows = [["device", facts["device"]], ["processor", facts["processor"]], ["threads of the CPU", str(facts["threads"])], ["precision", facts["precision"]], ["version of Residua", facts["version"]]]
    return [("table", (["what", "value"], rows))]


def settings(run):
    return [("table", (["setting", "value"], [list(row) for row in run.settings()]))]


SECTIONS = (
    ("What was trained", what_was_trained), ("Errors", errors), ("Curves", curves), ("Errors by class", evaluation), ("Time", times), ("Machine", machine), ("Settings", settings),
)  # fmt: skip


def blocks_of(run):
    """The report, as blocks for page.py."""
    blocks = [("title", f"Training run {run.name}"), ("text", state_of(run))]
    for heading, make in SECTIONS:
        try:
            part = make(run)
        except Missing as why:
            part = [("text", str(why))]
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            part = [("text", f"A file of the run is incomplete: {type(problem).__name__} {problem}.")]
        blocks += [("heading", heading), *part]
    return blocks
