"""An arm (one training run), and the grid of arms."""

from dataclasses import dataclass

TWIN_SHORTCUT = "A"  # has no parameters, so a residual net has as many as its plain twin


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
        """Flags that choose the network."""
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
    """Plain and residual nets of each depth, then shortcuts B and C at `shortcut_depth`; 0: no shortcuts."""
    nets = [make(depth) for make in (plain_net, residual_net) for depth in depths]
    return nets + ([residual_net(shortcut_depth, shortcut) for shortcut in "BC"] if shortcut_depth else [])


def grid_of(nets, seeds):
    """All arms. Finishes a seed before the next one; runs the longest arms of a seed first, so that parallel slots end together."""
    return [Arm(net, seed) for seed in range(seeds) for net in sorted(nets, key=lambda net: -net.depth)]
