#!/usr/bin/env python3
"""Trains a CIFAR-10 network in PyTorch by the recipe cifar-he2015, as an independent measure of the errors that it gives.

  train_torch.py CIFAR --model resnet20 --epochs 20 --seed 0 --json log.json

CIFAR is the folder with the binary version of CIFAR-10. Recipe: per-pixel mean of the training images subtracted, no division by a
deviation; 4 pixels of zero padding, random crop, random flip; batches of 128 without the incomplete one; batch norm over groups of
64, the paper's two GPUs, whose running statistics take in the mean over the groups; He initialization (fan-in, normal); SGD with momentum 0.9, weight decay 1e-4 on all parameters; learning rate 0.1, divided by 10 at half and at three quarters
of the run. The error is that of the last iteration on the test images. Writes one JSON object. Needs torch and numpy.
"""
import argparse
import json
import math
import os
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from step_torch import CIFAR_DEPTHS, cifar_resnet

PADDING = 4


class GroupedBatchNorm2d(torch.nn.BatchNorm2d):
    """Batch norm that, in training, normalizes over groups of `group_images` images."""

    group_images = 64

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        parts, means, variances = [], [], []
        for part in x.split(self.group_images):
            mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
            # With a momentum of 1, they become the statistics of this part.
            parts.append(F.batch_norm(part, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps))
            means.append(mean)
            variances.append(variance)
        self.running_mean.lerp_(torch.stack(means).mean(0), self.momentum)
        self.running_var.lerp_(torch.stack(variances).mean(0), self.momentum)
        return torch.cat(parts)


def in_groups(module, group_images):
    """Replaces the batch norms in `module` by ones over groups."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            grouped = GroupedBatchNorm2d(child.num_features, child.eps, child.momentum)
            grouped.group_images = group_images
            setattr(module, name, grouped)
        else:
            in_groups(child, group_images)


def read(folder, files):
    """The images, uint8 [N, 3, 32, 32], and the labels of files of the binary version."""
    records = numpy.concatenate([numpy.fromfile(os.path.join(folder, name), numpy.uint8).reshape(-1, 3073) for name in files])
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32)), torch.from_numpy(records[:, 0].astype(numpy.int64))


def augmented(padded, chosen, random):
    """Random crops, flipped at random, of the chosen images of `padded` [N, 3, 40, 40]."""
    count = len(chosen)
    top, left = torch.randint(2 * PADDING + 1, (2, count), generator=random)
    flips = torch.randint(2, (count,), generator=random).bool()
    rows = top[:, None] + torch.arange(32)
    columns = torch.where(flips[:, None], torch.arange(31, -1, -1), torch.arange(32)) + left[:, None]
    return padded[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def error_of(net, images, labels, precision):
    """Top-1 error in percent and mean loss."""
    net.eval()
    wrong, loss = 0, 0.0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for x, y in zip(images.split(500), labels.split(500)):
            logits = net(x.contiguous(memory_format=torch.channels_last)).float()
            wrong += int((logits.argmax(1) != y).sum())
            loss += float(F.cross_entropy(logits, y, reduction="sum"))
    net.train()
    return 100 * wrong / len(labels), loss / len(labels)


def train(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed + 1)
    images, labels = read(args.folder, [f"data_batch_{i}.bin" for i in range(1, 6)])
    mean = images.double().mean(0).float()
    padded = F.pad((images.float() - mean) / 255, (PADDING,) * 4)
    test_images, test_labels = read(args.folder, ["test_batch.bin"])
    test_images = (test_images.float() - mean) / 255

    net = cifar_resnet(int(args.model.removeprefix("resnet")), 10)
    in_groups(net, args.bn_group)
    net = net.to(memory_format=torch.channels_last)
    for m in net.modules():
        if isinstance(m, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(m.weight, mode="fan_in", nonlinearity="relu")
    sgd = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4)
    per_epoch = len(labels) // args.batch_size
    total = round(args.epochs * per_epoch)
    iteration, validations, begin = 0, [], time.perf_counter()
    while iteration < total:
        order = torch.randperm(len(labels), generator=random)
        wrong, seen, sum_of_losses = 0, 0, 0.0
        for batch in range(min(per_epoch, total - iteration)):
            chosen = order[batch * args.batch_size : (batch + 1) * args.batch_size]
            x = augmented(padded, chosen, random).contiguous(memory_format=torch.channels_last)
            y = labels[chosen]
            sgd.param_groups[0]["lr"] = 0.1 * 0.1 ** ((iteration >= total / 2) + (iteration >= total * 3 / 4))
            with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
                logits = net(x)
            loss = F.cross_entropy(logits.float(), y)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            iteration += 1
            wrong += int((logits.detach().argmax(1) != y).sum())
            seen += len(y)
            sum_of_losses += float(loss.detach()) * len(y)
        if not math.isfinite(sum_of_losses):
            raise RuntimeError("the loss is not finite")
        test_error, test_loss = error_of(net, test_images, test_labels, args.precision)
        validations.append({"iteration": iteration, "running_train_error": 100 * wrong / seen, "running_train_loss": sum_of_losses / seen,
                            "test_error": test_error, "test_loss": test_loss})  # fmt: skip
        print(f"iter {iteration}/{total}  train {100 * wrong / seen:.2f} %  test {test_error:.2f} %", file=sys.stderr, flush=True)
    return {
        "framework": "pytorch",
        "version": torch.__version__,
        "model": args.model,
        "precision": args.precision,
        "seed": args.seed,
        "iterations": total,
        "batch_size": args.batch_size,
        "bn_group": args.bn_group,
        "seconds": time.perf_counter() - begin,
        "test_error": validations[-1]["test_error"],
        "validations": validations,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="CIFAR", help="folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin")
    parser.add_argument("--model", default="resnet20", choices=[f"resnet{depth}" for depth in CIFAR_DEPTHS])
    parser.add_argument("--epochs", type=float, default=20, help="length of the run (default: %(default)s)")
    parser.add_argument("-b", "--batch-size", type=int, default=128, help="images of a step (default: %(default)s)")
    parser.add_argument("--bn-group", type=int, default=64, help="images that batch norm normalizes together (default: %(default)s)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: autocast (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads (default: one per core)")
    parser.add_argument("--json", metavar="FILE", help="write the JSON object to this file instead of printing it")
    args = parser.parse_args()
    text = json.dumps(train(args), indent=1)
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            file.write(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
