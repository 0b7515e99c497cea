"""The files of an arm. A digest of everything that affects its results identifies an arm."""

import json
import math
import os
from dataclasses import dataclass

from .refusal import Refusal
from .twins import differences

FORMAT = 1


def write_json(path, content):
    """Replaces the file atomically."""
    temporary = path.with_name(f"{path.name}.new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path):
    """The JSON object in a file, or None if there is no file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise Refusal(f"cannot read {path}: {problem}; move it away to make it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Refusal(f"{path} does not have format {FORMAT}; move it away, or use the version of this script that wrote it")
    return content


def number(value):
    """A number from JSON; null or a string that float() accepts if it is not finite."""
    return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Error:
    top1: float
    top5: float
    loss: float


@dataclass(frozen=True)
class Result:
    """A finished arm. Errors are those of the last iteration, not of the best one; None if it diverged."""

    arm: object
    content: dict
    test: Error | None
    clean: Error | None  # fixed training images without augmentation, in evaluation mode
    running: Error | None  # augmented training images, during training

    @property
    def diverged(self):
        return self.content["diverged"]

    def curve(self, name, value="top1_error"):
        """[(iteration, value)] of the finite values."""
        points = [(int(point["iteration"]), number(point[value])) for point in self.content["curves"][name]]
        return [point for point in points if math.isfinite(point[1])]

    def clean_before_first_drop(self):
        """Mean clean training error before the first drop of the learning rate, or None."""
        rates = self.curve("running_train", "learning_rate")
        if not rates:
            return None
        highest = max(rate for _, rate in rates)
        last = max(iteration for iteration, rate in rates if rate >= highest * (1 - 1e-9))
        errors = [error for iteration, error in self.curve("clean_train") if iteration <= last]
        return math.fsum(errors) / len(errors) if errors else None


def _error(metrics):
    return Error(*(number(metrics[name]) for name in ("top1_error", "top5_error", "loss"))) if metrics else None


def result_of(arm, content, path):
    """Makes a Result; checks everything that is read later."""
    try:
        if content["diverged"]:
            result = Result(arm, content, None, None, None)
        else:
            final = content["final"]
            result = Result(arm, content, _error(final["validation"]), _error(final["clean_train"]), _error(final["running_train"]))
            errors = [error for error in (result.test, result.clean, result.running) if error is not None]
            if result.test is None or not all(math.isfinite(error.top1) for error in errors):
                raise ValueError("an error of the last iteration is not finite")
        for name in ("running_train", "clean_train", "validation"):
            result.curve(name)
        result.clean_before_first_drop()
        for name in ("digest", "iterations", "device", "processor", "threads", "seconds", "images_per_second", "version", "precision", "parameters"):
            content[name]
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise Refusal(f"{path} is incomplete: {type(problem).__name__} {problem}") from None
    return result


def what_differs(expected, found):
    """Describes the differences."""
    pairs = differences(expected["configuration"], found.get("configuration", {}))
    pairs += [(name, expected[name], found.get(name)) for name in ("train_set", "validation_set") if expected[name] != found.get(name)]
    return "; ".join(f"{name} is {right} there, but {left} in the plan" for name, left, right in pairs) or "the settings are the same, but the digest differs"


class ArmFolder:
    """The folder of one arm in the output folder."""

    def __init__(self, output, arm, expected):
        self.path, self.arm, self.expected = output / "arms" / arm.name, arm, expected

    def file(self, name):
        return self.path / name

    @property
    def layers_initial(self):
        return self.file("layers-initial.json")

    @property
    def layers_final(self):
        return self.file("layers-final.json")

    def result(self):
        """The finished arm, or None. Fails if the folder holds a run of another configuration, which is never overwritten."""
        path = self.file("result.json")
        content = read_json(path)
        if content is None:
            return None
        self._check(path, content)
        return result_of(self.arm, content, path)

    def check_unfinished(self):
        """Fails if an unfinished run in this folder is not this arm."""
        path = self.file("arm.json")
        begun = read_json(path)
        if begun is not None:
            self._check(path, begun)
        elif any(self.path.glob("*.safetensors")):
            raise Refusal(f"{self.path} has weights of a run that this script did not start: move it away, or use another --output")

    def begin(self, processors):
        """Before training, records the arm that the folder belongs to, and adds the processors of this call."""
        self.path.mkdir(parents=True, exist_ok=True)
        facts = {name: self.expected[name] for name in ("digest", "configuration", "train_set", "validation_set")}
        write_json(self.file("arm.json"), {"format": FORMAT, **facts, "processors": sorted({*self.processors(), *processors})})

    def processors(self):
        """All known processors that the arm was trained on; result.json has only the last one."""
        return (read_json(self.file("arm.json")) or {}).get("processors", [])

    def _check(self, path, content):
        if content.get("digest") != self.expected["digest"]:
            raise Refusal(f"{path} is of another configuration: {what_differs(self.expected, content)}. It is not overwritten: use another --output, or move it away")
