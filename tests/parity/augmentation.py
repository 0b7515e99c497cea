"""Holds the augmentation of training images to torchvision and Pillow at the same draws.

parity-views sends photos through the loader and prepare_input on the CPU, and dumps what the network sees, after mean and deviation, with
each draw. From the draw alone, this script makes the same view with torchvision's functions on Pillow's images. Of each view,
* the pixels without mean, deviation and color offset are bytes within 2 gray levels, mean absolute difference, of torchvision's,
* they are exactly the loader's bytes, mirrored if the draw says so,
* the color offset lies within 1e-5 of the range of a pixel from AlexNet's formula in double precision.
Prints a line for each kind of view, and exits 1 when one does not hold.

usage: python3 augmentation.py PHOTOS... [--program build/cpu/bin/parity-views] [--draws 2000] [--size 224] [--seed N]
PHOTOS are image files or folders of images. Needs torchvision, numpy, Pillow and safetensors.
"""

import argparse
import pathlib
import secrets
import subprocess
import sys
import tempfile

import numpy as np
import PIL
import torchvision
from PIL import Image
from safetensors import safe_open
from torchvision.transforms import functional as F

from evaluation import MEAN, STD, find_photos

# ImageNet's, as fb.resnet.torch has them: a column an eigenvector, a row a channel.
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
PHOTOS = 100  # at most; an epoch has one view of each, and its dump is in memory


def make_folder(folder, files):
    for i, file in enumerate(files):
        kind = folder / "train" / f"class-{i % 2}"
        kind.mkdir(parents=True, exist_ok=True)
        (kind / f"{i:05}{file.suffix}").symlink_to(file.resolve())


def torchvision_view(image, view, size, draw):
    top, left, height, width, resized_height, resized_width, window_top, window_left, window_height, window_width, _ = draw
    if view == "random-resized-crop":
        assert (resized_height, resized_width) == (size, size) and (window_top, window_left) == (0, 0), "the whole rectangle"
        return F.resized_crop(image, top, left, height, width, [size, size])
    assert (top, left, height, width) == (0, 0, image.height, image.width), "the whole image"
    resized = F.resize(image, min(resized_height, resized_width))
    assert (resized.height, resized.width) == (resized_height, resized_width), "the shorter side alone was drawn"
    assert (window_height, window_width) == (size, size)
    return F.crop(resized, window_top, window_left, size, size)


def compare_epoch(arguments, folder, view, epoch, count, totals):
    command = [arguments.program, folder, view, arguments.size, arguments.seed, epoch, folder / "dump"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    with safe_open(folder / "dump", "numpy") as dump:
        names = dump.metadata()["names"].splitlines()
        draws, normals, inputs, loaded = (dump.get_tensor(name) for name in ("draws", "normals", "input", "loaded"))
    for i, name in enumerate(names[:count]):
        draw = [int(number) for number in draws[i]]
        expected = torchvision_view(Image.open(name).convert("RGB"), view, arguments.size, draw)
        expected = np.asarray(F.hflip(expected) if draw[10] else expected, np.float64)
        offset = EIGENVECTORS @ (0.1 * EIGENVALUES * normals[i].astype(np.float64))
        pixels = inputs[i] * STD.astype(np.float64) + MEAN - 255 * offset
        seen = np.rint(pixels)
        totals["offset"].append(np.abs(pixels - seen).max() / 255)
        difference = np.abs(seen - expected)
        totals["mean"].append(difference.mean())
        totals["pixel"].append(difference.max())
        totals["flips"].append(draw[10])
        totals["exact"].append(np.array_equal(seen[:, ::-1] if draw[10] else seen, loaded[i]))
        totals["shift"].append(np.abs(offset).max() * 255)


def compare(arguments, files, view):
    totals = {key: [] for key in ("offset", "mean", "pixel", "flips", "exact", "shift")}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_folder(folder, files)
        while len(totals["mean"]) < arguments.draws:
            done = len(totals["mean"])
            compare_epoch(arguments, folder, view, done // len(files), arguments.draws - done, totals)
    exact = all(totals["exact"])
    good = max(totals["mean"]) <= 2 and max(totals["offset"]) <= 1e-5 and exact and np.isfinite(totals["mean"] + totals["offset"]).all()
    print(f"{view}: {len(totals['mean'])} views, difference a view {np.mean(totals['mean']):.4f} gray levels on average, {max(totals['mean']):.4f} "
          f"at most, of one pixel {max(totals['pixel']):.0f}; {sum(totals['flips'])} flips {'exact' if exact else 'NOT EXACT'}; color offsets "
          f"up to {max(totals['shift']):.1f} gray levels, within {max(totals['offset']):.1e} of the range  {'holds' if good else 'BROKEN'}", flush=True)
    return bool(good)


def main():
    root = pathlib.Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", metavar="PHOTOS")
    parser.add_argument("--program", default=root / "build/cpu/bin/parity-views")
    parser.add_argument("--draws", type=int, default=2000, help="of each kind of view")
    parser.add_argument("--size", type=int, default=224, help="side of the network's input")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--views", nargs="+", default=["random-resized-crop", "scale-crop"])
    arguments = parser.parse_args()
    files = find_photos(arguments.photos, PHOTOS)
    print(f"{len(files)} photos, {arguments.size} px, seed {arguments.seed}, Pillow {PIL.__version__}, torchvision {torchvision.__version__}")
    results = [compare(arguments, files, view) for view in arguments.views]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
