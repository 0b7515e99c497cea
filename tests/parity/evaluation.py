"""Holds train-imagenet's evaluation protocols to PyTorch and torchvision on photos.

A torchvision network with random weights is written as a file of weights. For each protocol and average, train-imagenet evaluates it and
dumps what it saw. Then
* the dumped views lie within 2 gray levels, mean absolute difference, of those that torchvision cuts from the same files,
* the same network in PyTorch, given the dumped views, has the same top-1 and top-5 errors, and probabilities within 1e-4,
* with --counts: 50, 51 and 53 images have the same errors at batches of 8, 16 and 64 with 0, 1 and 2 workers.
Prints a line for each comparison, and exits 1 when one does not hold.

usage: python3 evaluation.py PHOTOS... [--program build/cpu/bin/train-imagenet] [--images 20] [--size 224] [--counts]
PHOTOS are image files or folders of images. Needs torch, torchvision, numpy, Pillow and safetensors.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import functional as F

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
CLASSES = 10
CHUNK = 40  # images of a dump, which has at most 2 GiB
SIDES = (224, 256, 384, 480, 640)


def find_photos(paths, count):
    """`count` image files, spread evenly."""
    files = []
    for path in map(pathlib.Path, paths):
        found = path.rglob("*") if path.is_dir() else [path]
        files += sorted(file for file in found if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    count = min(count, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def make_folder(folder, files):
    """A flat val/ with numbers for labels, so that the order is that of `files`."""
    (folder / "val").mkdir(parents=True)
    lines = []
    for i, file in enumerate(files):
        name = f"{i:05}{file.suffix}"
        (folder / "val" / name).symlink_to(file.resolve())
        lines.append(f"{name} {i * 7 % CLASSES}\n")
    (folder / "val.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("".join(f"class-{i}\n" for i in range(CLASSES)))
    return [i * 7 % CLASSES for i in range(len(files))]


def make_network(photos, size, path):
    """ResNet-18 with random weights and the running statistics of a few photos; its answers differ from photo to photo."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    batch = []
    for file in photos[:16]:
        image = F.center_crop(F.resize(Image.open(file).convert("RGB"), size), [size, size])
        batch.append(torch.from_numpy((np.asarray(image, np.float32) - MEAN) / STD).permute(2, 0, 1))
    with torch.no_grad():
        network.train()
        features = torch.nn.Sequential(*list(network.children())[:-1], torch.nn.Flatten())(torch.stack(batch))
        network.fc.bias.copy_(-(features.mean(0) @ network.fc.weight.T))
        answers = network.fc(features)
        network.fc.weight.mul_(2 / answers.std())
        network.fc.bias.mul_(2 / answers.std())
    classes = [f"class-{i}" for i in range(CLASSES)]
    metadata = {"model": "resnet18", "input_size": str(size), "classes": json.dumps(classes)}
    save_file({key: value for key, value in network.state_dict().items() if "num_batches" not in key}, path, metadata)
    return network.eval()


def evaluate(program, folder, weights, *flags):
    command = [program, folder, "--evaluate", "--weights", weights, "--precision", "fp32", "--device", "cpu", *flags]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")


def torchvision_views(file, protocol, size):
    """Arrays [height, width, 3] in the order of the dump, by pass."""
    image = Image.open(file).convert("RGB")
    if protocol == "center":
        if image.size == (size, size):
            return [[image]]  # train-imagenet uses an image of the input's size as it is
        return [[F.center_crop(F.resize(image, size * 256 // 224), [size, size])]]
    if protocol == "ten-crop":
        left_top, right_top, left_bottom, right_bottom, center = F.five_crop(F.resize(image, size * 256 // 224), [size, size])
        crops = [left_top, right_top, left_bottom, right_bottom, center]
        return [[view for crop in crops for view in (crop, F.hflip(crop))]]
    passes = []
    for side in SIDES:
        whole = F.resize(image, size * side // 224)
        passes.append([whole, F.hflip(whole)])
    return passes


def compare_chunk(arguments, files, network, weights, protocol, average, totals):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        labels = make_folder(folder, files)
        evaluate(arguments.program, folder, weights, "--protocol", protocol, "--average", average, "--batch-size", 16,
                 "--predictions", folder / "p.jsonl", "--evaluation-json", folder / "e.json", "--dump-views", folder / "v")
        dumped = load_file(folder / "v")
        predictions = [json.loads(line) for line in (folder / "p.jsonl").read_text().splitlines()]
        report = json.loads((folder / "e.json").read_text())
    assert report["images"] == len(files) and dumped["labels"].tolist() == labels, "each image once, in order"
    top1 = top5 = 0
    for i, file in enumerate(files):
        passes = torchvision_views(file, protocol, arguments.size)
        logits = []
        for j, pass_views in enumerate(passes):
            views = dumped[f"views.{i}.{j}"]
            for view, expected in zip(views.numpy() * STD + MEAN, pass_views, strict=True):
                difference = np.abs(view - np.asarray(expected, np.float32)).mean()
                totals["views"] = max(totals["views"], difference)
            with torch.no_grad():
                logits.append(network(views.permute(0, 3, 1, 2)))
        logits = torch.cat(logits).double()
        p = logits.softmax(1).mean(0) if average == "softmax" else logits.mean(0).softmax(0)
        own = predictions[i]
        best = p.topk(5)
        rank = int((p > p[labels[i]]).sum())
        top1 += rank >= 1
        top5 += rank >= 5
        own_p = np.array([guess["probability"] for guess in own["top5"]])
        at = torch.tensor([guess["label"] for guess in own["top5"]])
        errors = [np.abs(own_p - p[at].numpy()).max(), np.abs(own_p - best.values.numpy()).max(),
                  abs(np.exp(-own["loss"]) - float(p[labels[i]]))]
        totals["probability"] = max(totals["probability"], *errors)
        if not all(np.isfinite(errors)):
            totals["probability"] = float("nan")
    totals["images"] += len(files)
    for key, ours, theirs in (("top1", report["top1_errors"], top1), ("top5", report["top5_errors"], top5)):
        totals[key][0] += ours
        totals[key][1] += theirs


def compare(arguments, files, network, weights, protocol, average):
    totals = {"images": 0, "views": 0.0, "probability": 0.0, "top1": [0, 0], "top5": [0, 0]}
    for begin in range(0, len(files), CHUNK):
        compare_chunk(arguments, files[begin : begin + CHUNK], network, weights, protocol, average, totals)
    good = (totals["views"] <= 2 and totals["probability"] <= 1e-4 and totals["top1"][0] == totals["top1"][1]
            and totals["top5"][0] == totals["top5"][1])
    print(f"{protocol:12}{average:9}{totals['images']:5} images  views {totals['views']:.3f} gray levels  probabilities "
          f"{totals['probability']:.1e}  top-1 errors {totals['top1'][0]} and {totals['top1'][1]}  top-5 errors "
          f"{totals['top5'][0]} and {totals['top5'][1]}  {'holds' if good else 'BROKEN'}", flush=True)
    return good


def compare_counts(arguments, files, weights, protocol):
    good = True
    for count in (50, 51, 53):
        results = set()
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            make_folder(folder, files[:count])
            for batch in (8, 16, 64):
                for workers in (0, 1, 2):
                    evaluate(arguments.program, folder, weights, "--protocol", protocol, "--batch-size", batch, "--workers", workers,
                             "--evaluation-json", folder / "e.json", "--crop-size", arguments.counts_size)
                    report = json.loads((folder / "e.json").read_text())
                    classes = tuple(tuple(c.values()) for c in report["classes"])
                    results.add((report["images"], report["top1_errors"], report["top5_errors"], classes))
        same = len(results) == 1 and next(iter(results))[0] == count
        errors = sorted(result[1:3] for result in results)
        print(f"{protocol:12}{count} images: errors {errors} {'holds' if same else 'BROKEN'}", flush=True)
        good = good and same
    return good


def main():
    root = pathlib.Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", metavar="PHOTOS")
    parser.add_argument("--program", default=root / "build/cpu/bin/train-imagenet")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--size", type=int, default=224, help="side of the network's input")
    parser.add_argument("--protocols", nargs="+", default=["center", "ten-crop", "multi-scale"])
    parser.add_argument("--averages", nargs="+", default=["softmax", "logits"])
    parser.add_argument("--counts", action="store_true", help="compare batches and workers too")
    parser.add_argument("--counts-size", type=int, default=64, help="side of the input for --counts")
    arguments = parser.parse_args()
    files = find_photos(arguments.photos, arguments.images)
    print(f"{len(files)} photos, {arguments.size} px, PyTorch {torch.__version__}, torchvision {torchvision.__version__}")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.safetensors"
        network = make_network(files, arguments.size, weights)
        for protocol in arguments.protocols:
            for average in arguments.averages:
                good = compare(arguments, files, network, weights, protocol, average) and good
        if arguments.counts:
            for protocol in arguments.protocols:
                good = compare_counts(arguments, find_photos(arguments.photos, 53), weights, protocol) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
