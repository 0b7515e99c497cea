"""The paper's claims, and the rule that decides them."""

from dataclasses import dataclass

from .arms import plain_net, residual_net
from .intervals import FEWEST, welch

SUPPORTED, CONTRADICTED, NOT_DECIDED = "supported", "contradicted", "not decided"
NO_WORSE, CLOSE = -0.5, 1.0  # points

RULE = (
    f"Each claim is err(A) - err(B) > m. It is {SUPPORTED} if the 95 % Welch interval of the difference, over at least {FEWEST} seeds per net, "
    f"lies above m, {CONTRADICTED} if it lies below m, and {NOT_DECIDED} otherwise or with fewer seeds. m is 0 for 'worse', 'beats' and 'falls faster', "
    f"and {NO_WORSE} points for 'no worse'. 'Close' is {SUPPORTED} if the interval lies within ±{CLOSE} points, and {CONTRADICTED} if it lies outside. "
    "Errors are those of the last iteration; training errors are measured on fixed training images without augmentation, in evaluation mode. "
    "'Falls faster' compares the mean clean training error before the first drop of the learning rate. "
    "An arm whose loss becomes NaN or infinite has diverged, and comparisons with its net are not decided."
)

MEASURES = {
    "training error": lambda result: result.clean.top1 if result.clean else None,
    "test error": lambda result: result.test.top1 if result.test else None,
    "mean training error before the first drop": lambda result: result.clean_before_first_drop(),
}
TRAINING, TEST, FALL = MEASURES


@dataclass(frozen=True)
class Claim:
    text: str
    measure: str
    a: object  # nets
    b: object
    margin: float = 0.0
    close: bool = False


@dataclass(frozen=True)
class Verdict:
    claim: Claim
    outcome: str
    difference: float | None
    interval: object | None
    reason: str = ""


def claims_of(depths, shortcut_depth, paper):
    """The claims to decide. Deeper nets are compared with the shallowest one."""
    claims = []
    shallow = depths[0]
    for deep in depths[1:]:
        a, b = plain_net(deep), plain_net(shallow)
        claims.append(Claim(f"{a.label} trains worse than {b.label}", TRAINING, a, b))
    for deep in depths[1:]:
        a, b = residual_net(shallow), residual_net(deep)
        claims.append(Claim(f"{b.label} trains no worse than {a.label}", TRAINING, a, b, NO_WORSE))
    for depth in depths:
        for measure in (TRAINING, TEST):
            a, b = plain_net(depth), residual_net(depth)
            claims.append(Claim(f"{b.label} beats {a.label} in {measure}", measure, a, b))
    a, b = plain_net(shallow), residual_net(shallow)
    claims.append(Claim(f"{a.label} and {b.label} are close in test error", TEST, a, b, CLOSE, close=True))
    claims.append(Claim(f"{b.label} falls faster than {a.label}", FALL, a, b))
    if shortcut_depth and paper == "imagenet":
        for worse, better in ("AB", "BC"):
            a, b = residual_net(shortcut_depth, worse), residual_net(shortcut_depth, better)
            claims.append(Claim(f"shortcut {better} beats {worse} in ResNet-{shortcut_depth}", TEST, a, b))
    return claims


def judge(claim, results_of):
    """Decides a claim. `results_of`: net -> its finished results."""
    values = []
    reason = ""
    for net in (claim.a, claim.b):
        results = results_of(net)
        if any(result.diverged for result in results):
            reason = reason or f"{net.label} diverged"
        found = [MEASURES[claim.measure](result) for result in results if not result.diverged]
        values.append([value for value in found if value is not None])
    a, b = values
    difference = sum(a) / len(a) - sum(b) / len(b) if a and b else None
    interval = None if reason else welch(a, b)
    if interval is None:
        return Verdict(claim, NOT_DECIDED, difference, None, reason or f"fewer than {FEWEST} seeds")
    return Verdict(claim, decide(claim, interval), difference, interval)


def decide(claim, interval):
    if claim.close:
        if -claim.margin < interval.low and interval.high < claim.margin:
            return SUPPORTED
        return CONTRADICTED if interval.low > claim.margin or interval.high < -claim.margin else NOT_DECIDED
    if interval.low > claim.margin:
        return SUPPORTED
    return CONTRADICTED if interval.high < claim.margin else NOT_DECIDED


def verdicts_of(plan, results_of):
    return [judge(claim, results_of) for claim in claims_of(plan.size.depths, plan.size.shortcut_depth, plan.preset.paper)]
