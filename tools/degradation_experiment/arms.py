"""One training run, an arm, and the grid of them."""

from dataclasses import dataclass

TWIN_SHORTCUT = "A"  # no parameters of its own: the residual twin has those of the plain net


@dataclass(frozen=True)
class Net:
    depth: int
    shortcut: str  # "none" for a plain net

    @property
    def plain(self):
        return self.shortcut == "none"

    @property
    def model(self):
        return f"{'plain' if self.plain else 'resnet'}{self.depth}"

    @property
    def key(self):
        return self.model if self.shortcut in ("none", TWIN_SHORTCUT) else f"{self.model}-{self.shortcut}"

    @property
    def label(self):
        name = f"plain-{self.depth}" if self.plain else f"ResNet-{self.depth}"
        return name if self.shortcut in ("none", TWIN_SHORTCUT) else f"{name} {self.shortcut}"

    def words(self):
        """That choose the network."""
        return ["--model", self.model] + ([] if self.plain else ["--shortcut", self.shortcut])


@dataclass(frozen=True)
class Arm:
    net: Net
    seed: int

    @property
    def name(self):
        return f"{self.net.key}-seed{self.seed}"


def plain_net(depth):
    return Net(depth, "none")


def residual_net(depth, shortcut=TWIN_SHORTCUT):
    return Net(depth, shortcut)


def nets_of(depths, shortcut_depth):
    """Twins at each depth, then shortcuts B and C at one; `shortcut_depth` 0: none."""
    nets = [make(depth) for make in (plain_net, residual_net) for depth in depths]
    return nets + ([residual_net(shortcut_depth, shortcut) for shortcut in "BC"] if shortcut_depth else [])


def grid_of(nets, seeds):
    """All arms. A seed is complete before the next begins, and its longest arms come first: so the slots end together."""
    return [Arm(net, seed) for seed in range(seeds) for net in sorted(nets, key=lambda net: -net.depth)]
