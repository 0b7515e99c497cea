"""The grid of an output folder, resolved once and kept in plan.json, so that later calls run the same arms."""

import concurrent.futures
import dataclasses
from dataclasses import dataclass

from . import budget, twins
from .arms import Arm, grid_of, nets_of
from .division import Division
from .presets import PRESETS
from .refusal import Refusal
from .results import FORMAT, read_json, write_json


@dataclass(frozen=True)
class Size:
    """The size of a grid, which determines its hours. A budget cuts the first four."""

    depths: tuple
    shortcut_depth: int  # 0: no arms with shortcuts B and C
    seeds: int
    iterations: int
    iterations_per_epoch: int
    validation_images: int  # seen after each epoch

    def with_(self, **changes):
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Request:
    """What a call asks for; None: the preset's value."""

    preset: str | None = None
    seeds: int | None = None
    depths: tuple | None = None
    no_shortcuts: bool | None = None
    epochs: float | None = None
    iterations: int | None = None
    precision: str | None = None
    ranks: int | None = None
    threads: int | None = None
    budget: float | None = None

    def words(self):
        """Flag -> value, for the given flags."""
        def shown(value):
            return "" if value is True else ",".join(map(str, value)) if isinstance(value, (tuple, list)) else f"{value:g}" if isinstance(value, float) else str(value)

        return {f"--{name.replace('_', '-')}": shown(value) for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Plan:
    preset: object
    size: Size
    precision: str
    division: Division
    facts: dict  # arm's name -> what it would train: digest, configuration, train_set, validation_set, parameters
    request: dict
    cut: list = dataclasses.field(default_factory=list)
    speeds: dict = dataclasses.field(default_factory=dict)  # net's key -> images per second, if measured

    @property
    def nets(self):
        return nets_of(self.size.depths, self.size.shortcut_depth)

    @property
    def arms(self):
        return grid_of(self.nets, self.size.seeds)

    @property
    def epochs(self):
        return self.size.iterations / self.size.iterations_per_epoch

    @property
    def full_iterations(self):
        return self.preset.iterations or round(self.preset.epochs * self.size.iterations_per_epoch)

    def shared_configuration(self):
        """The settings that all arms share."""
        all_settings = [self.facts[arm.name]["configuration"] for arm in self.arms]
        return {name: value for name, value in all_settings[0].items() if all(settings.get(name, twins.NOT_SET) == value for settings in all_settings)}

    def words(self, trainer, arm):
        return trainer.settings(arm, self.precision, self.size.iterations, self.size.iterations_per_epoch)


def wanted_size(preset, request, iterations_per_epoch, validation_images):
    """The requested grid, before a budget cuts it."""
    depths = tuple(sorted(request.depths or preset.depths))
    if request.epochs:
        iterations = max(1, round(request.epochs * iterations_per_epoch))
    else:
        iterations = request.iterations or preset.iterations or round(preset.epochs * iterations_per_epoch)
    shortcut_depth = 0 if request.no_shortcuts or preset.shortcut_depth not in depths else preset.shortcut_depth
    return Size(depths, shortcut_depth, request.seeds or preset.seeds, iterations, iterations_per_epoch, validation_images)


def measure(trainer, size, precision, places, seconds, say):
    speeds = {}
    for net in nets_of(size.depths, size.shortcut_depth):
        speeds[net.key] = trainer.measure(trainer.settings(Arm(net, 0), precision), places, seconds)
        say(f"{net.label}: {speeds[net.key]:.0f} img/s per arm, {len(places)} in parallel")
    return speeds


def ask(trainer, words_of, arms, places):
    """What the program would train for each arm."""
    with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
        found = pool.map(lambda arm: trainer.dry_run(words_of(arm), places[0]), arms)
        return {arm.name: facts for arm, facts in zip(arms, found)}


def make(trainer, preset, request, places, measured, measure_seconds, say):
    """Makes a new plan. `measured`: measure speeds even without a budget."""
    probe = Arm(nets_of(preset.depths, 0)[0], 0)
    first = trainer.dry_run(trainer.settings(probe, request.precision or "auto"), places[0])
    precision = first["precision"]
    size = wanted_size(preset, request, first["iterations_per_epoch"], first["validation_images"])
    speeds = measure(trainer, size, precision, places, measure_seconds, say) if measured or request.budget else {}
    cut = []
    if request.budget:
        size, cut = budget.fit(size, request.budget, speeds, preset, len(places))
    arms = grid_of(nets_of(size.depths, size.shortcut_depth), size.seeds)
    facts = ask(trainer, lambda arm: trainer.settings(arm, precision, size.iterations, size.iterations_per_epoch), arms, places)
    twins.check(arms, facts, preset.warmups)
    return Plan(preset, size, precision, trainer.division, facts, request.words(), cut, speeds)


def measured(plan, trainer, places, seconds, say):
    """The plan with speeds measured now on this machine."""
    return dataclasses.replace(plan, speeds=measure(trainer, plan.size, plan.precision, places, seconds, say))


KEPT_FACTS = ("digest", "configuration", "train_set", "validation_set", "parameters")


def save(plan, path):
    shared = plan.shared_configuration()
    content = {"format": FORMAT, "preset": plan.preset.name, "request": plan.request, "size": dataclasses.asdict(plan.size), "precision": plan.precision,
               "division": dataclasses.asdict(plan.division), "cut": plan.cut, "images_per_second": plan.speeds, "configuration": shared, "arms": []}  # fmt: skip
    for arm in plan.arms:
        facts = {name: plan.facts[arm.name][name] for name in KEPT_FACTS}
        own = {name: value for name, value in facts["configuration"].items() if name not in shared}
        content["arms"].append({"name": arm.name, "depth": arm.net.depth, "shortcut": arm.net.shortcut, "seed": arm.seed, **facts, "configuration": own})
    write_json(path, content)


def load(path):
    """The plan of a folder, or None."""
    content = read_json(path)
    if content is None:
        return None
    try:
        sizes = {name: tuple(value) if isinstance(value, list) else value for name, value in content["size"].items()}
        facts = {}
        for entry in content["arms"]:
            facts[entry["name"]] = {name: entry[name] for name in KEPT_FACTS} | {"configuration": content["configuration"] | entry["configuration"]}
        plan = Plan(PRESETS[content["preset"]], Size(**sizes), content["precision"], Division(**content.get("division", {})), facts, content["request"], content["cut"], content["images_per_second"])
        if {arm.name for arm in plan.arms} != facts.keys():
            raise ValueError("its arms do not match its size")
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise Refusal(f"{path} is not a plan of this version: {type(problem).__name__} {problem}; --replan makes a new one") from None
    return plan


def check_request(plan, request, path):
    """Fails if a flag of a resuming call contradicts the plan."""
    for flag, value in request.words().items():
        there = plan.preset.name if flag == "--preset" else plan.request.get(flag)
        if there != value:
            wanted = f"{flag} {value}".strip()
            had = f"{flag} {there}".strip() if there is not None else f"no {flag}"
            raise Refusal(f"{path} was made with {had}, but this call has {wanted}: leave it out to resume, give --replan to make a new plan, or use another --output")


def check_unchanged(plan, trainer, arms, places):
    """Fails if the program or the data have changed since the plan was made."""
    now = ask(trainer, lambda arm: plan.words(trainer, arm), arms, places)
    for arm in arms:
        planned = plan.facts[arm.name]
        if now[arm.name]["digest"] != planned["digest"]:
            found = twins.differences(planned["configuration"], now[arm.name]["configuration"])
            found += [(name, planned[name], now[arm.name][name]) for name in ("train_set", "validation_set") if planned[name] != now[arm.name][name]]
            text = "; ".join(f"{name} was {left} and is {right}" for name, left, right in found) or "only its digest differs"
            raise Refusal(f"{arm.name} would differ from the planned arm: {text}. Use the plan's program and data, or another --output")


def lines(plan, slots):
    """Lines that describe the grid and its hours."""
    size = plan.size
    text = [f"{plan.preset.title}: {len(plan.arms)} arms of {size.iterations} iterations ({plan.epochs:.1f} epochs), {size.seeds} seed{'s'[: size.seeds - 1]}, {plan.precision}, {slots} in parallel {plan.division.text}"]
    if plan.division.group:
        text.append(f"  batch norm over groups of {plan.division.group} images: the part of a rank")
    if size.iterations < plan.full_iterations:
        text.append(f"  shorter than the preset's {plan.full_iterations} iterations")
    text += [f"  cut for the budget: {what}" for what in plan.cut]
    for net in plan.nets:
        line = f"  {net.label:<14} {plan.facts[Arm(net, 0).name]['parameters']:>11,} parameters"
        if plan.speeds:
            hours = budget.seconds_of(net, size, plan.speeds, plan.preset) / 3600
            line += f" {plan.speeds[net.key]:>9.0f} img/s {hours:>8.2f} h per arm"
        text.append(line)
    if plan.speeds:
        text.append(f"  total: {budget.grid_seconds(size, plan.speeds, plan.preset, slots) / 3600:.2f} hours")
    return text
