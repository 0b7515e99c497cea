#!/usr/bin/env python3
"""Compares loader-bench with torchvision's DataLoader on the same photos, in turn.

  loader_torch.py --loader-bench build/cpu/bin/loader-bench PHOTOS [--workers 1,2] [--rounds 3] [--json FILE]

Both read the files of a folder at any depth, cut a random resized crop of 224 pixels, flip it at random, and make batches of 20 8-bit
images. torchvision's side is Pillow, RandomResizedCrop with antialiasing, RandomHorizontalFlip and PILToTensor. Prints a Markdown
table: a speed is the median over the rounds, a ratio that of the medians. Needs torch and torchvision.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, PILToTensor, RandomHorizontalFlip, RandomResizedCrop

BATCH = 20
EPOCH = 1000  # images at least, as in loader-bench


class Photos(Dataset):
    def __init__(self, folder):
        paths = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
        self.files = [path for path in paths if self.is_image(path)]
        self.transform = Compose([RandomResizedCrop(224, antialias=True), RandomHorizontalFlip(), PILToTensor()])

    @staticmethod
    def is_image(path):
        try:
            with Image.open(path):
                return True
        except OSError:
            return False

    def __len__(self):
        return -(-EPOCH // len(self.files)) * len(self.files)

    def __getitem__(self, index):
        with open(self.files[index % len(self.files)], "rb") as file:
            return self.transform(Image.open(file).convert("RGB"))


def torch_speed(photos, workers, seconds):
    """Images per second of whole epochs; the workers are started before the time begins."""
    loader = DataLoader(photos, BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
    for _ in loader:
        pass
    begin, images, passed = time.perf_counter(), 0, 0.0
    while passed < seconds:
        for batch in loader:
            images += len(batch)
        passed = time.perf_counter() - begin
    return images / passed


def our_speeds(args):
    """Images per second of each row of loader-bench, one round."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [args.loader_bench, args.folder, "--rounds", "1", "--seconds", str(args.seconds), "--workers", args.workers, "--json", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(file.name, encoding="utf-8") as report:
            return {name: speeds[0] for name, speeds in json.load(report)["images_per_second"].items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="PHOTOS")
    parser.add_argument("--loader-bench", required=True, metavar="PROGRAM")
    parser.add_argument("--workers", default="1,2", help="numbers of workers to compare (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="time of each measurement (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all speeds to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    photos = Photos(args.folder)
    ours, theirs = {}, {}
    for _ in range(args.rounds):
        for name, speed in our_speeds(args).items():
            ours.setdefault(name, []).append(speed)
        for workers in map(int, args.workers.split(",")):
            theirs.setdefault(workers, []).append(torch_speed(photos, workers, args.seconds))
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {len(photos.files)} images, median of {args.rounds} rounds\n")
    print("| workers | Residua img/s | torchvision img/s | ratio |\n|---|---|---|---|")
    for workers, speeds in theirs.items():
        own = statistics.median(ours[f"loader, {workers} worker{'s' if workers != 1 else ''}"])
        other = statistics.median(speeds)
        print(f"| {workers} | {own:.0f} | {other:.0f} | {own / other:.2f} |")
    print("\n| stage, one thread | img/s |\n|---|---|")
    for name, speeds in ours.items():
        if not name.startswith("loader"):
            print(f"| {name} | {statistics.median(speeds):.0f} |")
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump({"images": len(photos.files), "residua": ours, "torchvision": theirs}, file, indent=1)


if __name__ == "__main__":
    main()
