"""Checks that arms differ only in the network. Compares the resolved settings, not the flags."""

from .refusal import Refusal

OWN = {"model", "shortcut", "seed"}  # settings in which arms may differ
NOT_SET = "not set"


def differences(one, other, but=frozenset()):
    """The settings that differ, with both values."""
    return [(name, one.get(name, NOT_SET), other.get(name, NOT_SET)) for name in sorted(one.keys() | other.keys())
            if name not in but and one.get(name, NOT_SET) != other.get(name, NOT_SET)]  # fmt: skip


def check(arms, facts, warmups):
    """Fails if two arms differ in more than the network. `facts`: arm's name -> output of --dry-run.

    A depth in `warmups` may have its own warm-up, which both its twins must share."""
    first = next((arm for arm in arms if arm.net.depth not in warmups), arms[0])
    for arm in arms:
        _check_pair(next(other for other in arms if other.net.depth == arm.net.depth), arm, facts, OWN)
        warmup = {name for name in facts[arm.name]["configuration"] | facts[first.name]["configuration"] if name.startswith("warmup")}
        _check_pair(first, arm, facts, OWN | warmup if arm.net.depth in warmups else OWN)


def _check_pair(reference, arm, facts, but):
    one, other = facts[reference.name], facts[arm.name]
    found = differences(one["configuration"], other["configuration"], but)
    found += [(name, one[name], other[name]) for name in ("train_set", "validation_set", "iterations", "iterations_per_epoch") if one[name] != other[name]]
    if found:
        text = "; ".join(f"{name} is {left} in {reference.name} and {right} in {arm.name}" for name, left, right in found)
        raise Refusal(f"the arms are not comparable: {text}")
