"""The experiments. A preset is the data in which they differ."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preset:
    name: str
    title: str
    words: tuple  # flags of train-imagenet, the same for every arm
    depths: tuple  # shallowest first
    batch: int
    epochs: float  # length of a run, if `iterations` is 0
    iterations: int = 0
    seeds: int = 3
    shortcut_depth: int = 0  # depth at which shortcuts A, B and C are compared
    clean_train: int = 5000  # training images for the clean training error
    statistics_batches: int = 10
    cut_depths: tuple = ()  # depths that a budget leaves out, in this order
    fewest_epochs: float = 16  # a budget goes no lower
    warmups: dict = field(default_factory=dict)  # depth -> flags of both twins
    paper: str = ""  # which of the paper's numbers to compare with: cifar10, imagenet, or none
    curves: str = "figure6"  # the paper's figure whose style the curves have
    data: str = ""  # name of its folder in $RESIDUA_DATA


# Section 4.2: "we use 0.01 to warm up the training until the training error is below 80 %".
_WARMUP_110 = ("--warmup", "until-error", "--warmup-lr", "0.01", "--warmup-error", "80")

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="smoke",
            title="Synthetic images, a few minutes",
            words=("--dataset", "synthetic", "--synthetic-images", "1280", "--recipe", "cifar-he2015", "--batch-size", "128"),
            depths=(20, 32),
            batch=128,
            epochs=8,
            seeds=1,
            shortcut_depth=20,
            clean_train=512,
            statistics_batches=2,
            fewest_epochs=2,
        ),
        Preset(
            name="cifar10",
            title="CIFAR-10",
            words=("--dataset", "cifar10", "--recipe", "cifar-he2015", "--batch-size", "128"),
            depths=(20, 32, 44, 56, 110),
            batch=128,
            epochs=0,
            iterations=64000,
            shortcut_depth=20,
            cut_depths=(110, 44, 32),
            warmups={110: _WARMUP_110},
            paper="cifar10",
            data="cifar-10-batches-bin",
        ),
        Preset(
            name="imagenette",
            title="Imagenette at 64 px",
            words=("--dataset", "imagefolder", "--recipe", "photos", "--crop-size", "64", "--batch-size", "64"),
            depths=(18, 34),
            batch=64,
            epochs=100,
            shortcut_depth=18,
            clean_train=1000,
            fewest_epochs=30,
            curves="figure4",
            data="imagenette",
        ),
        Preset(
            name="imagenet",
            title="ImageNet",
            words=("--dataset", "imagefolder", "--recipe", "photos", "--crop-size", "224", "--batch-size", "256"),
            depths=(18, 34),
            batch=256,
            epochs=120,
            shortcut_depth=34,
            clean_train=10000,
            fewest_epochs=30,
            paper="imagenet",
            curves="figure4",
            data="imagenet",
        ),
    )
}
