"""Writes the golden files beside this script from PyTorch: run it by hand when a case is added, and commit what it writes.

golden/blocks.safetensors: for each block type alone, its input, weights and output gradient (exact in bf16) and, from float64, its
output and all gradients. The case's spec is in the metadata under its name.
golden/step_<name>.safetensors: for each small network, weights and batch, and from float64 one step of SGD (lr 0.1, momentum 0.9,
weight decay 1e-4): logits, the update of each weight and the running statistics, with PyTorch's own fp32 error of each.
All inputs are chosen so that no ReLU's input lies close to 0, where any rounding could flip its gradient.

usage: python3 make_golden.py   (needs torch, numpy and safetensors)
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

from reference import Block, Kinks, ResNet, Spec, changes, compared, pytorch_errors, sgd_step

FOLDER = pathlib.Path(__file__).parent / "golden"

# name: spec, input channels, width, stride
BLOCKS = {
    "plain": (Spec(shortcut="none"), 3, 5, 2),
    "basic_identity": (Spec(shortcut="B"), 4, 4, 1),
    "basic_a": (Spec(shortcut="A"), 3, 6, 2),
    "basic_a_average_both": (Spec(shortcut="A", shortcut_pool="average", shortcut_pad="both"), 3, 6, 2),
    "basic_b": (Spec(shortcut="B"), 3, 5, 2),
    "basic_c": (Spec(shortcut="C"), 4, 4, 1),
    "bottleneck_a": (Spec(block="bottleneck", shortcut="A"), 3, 2, 1),
    "bottleneck_b": (Spec(block="bottleneck", shortcut="B"), 4, 3, 2),
    "bottleneck_b_stride_first": (Spec(block="bottleneck", shortcut="B", bottleneck_stride="conv1x1"), 4, 3, 2),
    "bottleneck_identity": (Spec(block="bottleneck", shortcut="B"), 8, 2, 1),
}

SMALL = {"width": 6, "blocks": (2, 1), "classes": 5}
STEPS = {
    "plain": Spec(shortcut="none", **SMALL),
    "a": Spec(shortcut="A", **SMALL),
    "b": Spec(shortcut="B", **SMALL),
    "c": Spec(shortcut="C", **SMALL),
    "bottleneck": Spec(block="bottleneck", shortcut="B", width=4, blocks=(2, 1), classes=5),
}


def exact(tensor):
    """Rounded to values that bf16 holds."""
    return tensor.to(torch.bfloat16).double()


def randomize(module, generator):
    """He-normal weights, and gammas and betas that differ from channel to channel; all exact in bf16."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() > 1:
                value = noise * (2 / parameter[0].numel()) ** 0.5
            else:
                is_gamma = name.endswith("weight")
                value = (1.0 if is_gamma else 0.0) + 0.2 * noise
            parameter.copy_(exact(value))
    return module


def block_case(name, spec, in_channels, width, stride, margin=2e-3):
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        block = randomize(Block(spec, in_channels, width, stride).double(), generator).train()
        x = exact(torch.randn(2, in_channels, 7, 5, generator=generator)).requires_grad_()
        Kinks.reset()
        y = block(x)
        if Kinks.nearest > margin:
            break
    else:
        raise RuntimeError(f"{name}: no seed keeps away from the kink")
    dy = exact(torch.randn(y.shape, generator=generator))
    y.backward(dy)
    tensors = {}
    nhwc = lambda tensor: tensor.detach().permute(0, 2, 3, 1).contiguous()
    for key, value in (("x", nhwc(x)), ("dy", nhwc(dy))):
        tensors[f"{name}/{key}"] = value.to(torch.bfloat16)
    tensors[f"{name}/y"] = nhwc(y).float()
    tensors[f"{name}/dx"] = nhwc(x.grad).float()
    for key, parameter in block.named_parameters():
        tensors[f"{name}/value/{key}"] = parameter.detach().to(torch.bfloat16)
        tensors[f"{name}/gradient/{key}"] = parameter.grad.float()
    shape = {"block_in_channels": str(in_channels), "block_width": str(width), "block_stride": str(stride)}
    return tensors, {name: json.dumps(spec.metadata() | shape)}


def step_case(spec, margin=2e-5):
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        model = randomize(ResNet(spec).double(), generator)
        images = exact(torch.randn(4, 22, 18, 3, generator=generator)).numpy()
        labels = torch.randint(spec.classes, (4,), generator=generator).int().numpy()
        state = model.state_dict()
        Kinks.reset()
        logits, after = sgd_step(spec, state, images, labels, torch.float64)
        if Kinks.nearest > margin:
            break
    else:
        raise RuntimeError("no seed keeps away from the kink")
    before = {key: value.numpy() for key, value in state.items() if compared(key)}
    wanted = changes(before, after)
    errors = pytorch_errors(spec, state, images, labels, wanted)
    tensors = {
        "images": torch.from_numpy(images).to(torch.bfloat16),
        "labels": torch.from_numpy(labels),
        "logits": torch.from_numpy(logits).float(),
        # In the order of the sorted names.
        "pytorch_error": torch.tensor([errors[key] for key in sorted(errors)], dtype=torch.float32),
    }
    for key, value in before.items():
        tensors[f"model.{key}"] = torch.from_numpy(value).to(torch.bfloat16)
    for key, value in wanted.items():
        tensors[f"change.{key}"] = torch.from_numpy(value).float()
    return tensors, spec.metadata()


def main():
    FOLDER.mkdir(exist_ok=True)
    tensors, metadata = {}, {}
    for name, case in BLOCKS.items():
        case_tensors, case_metadata = block_case(name, *case)
        tensors |= case_tensors
        metadata |= case_metadata
    save_file(tensors, FOLDER / "blocks.safetensors", metadata)
    for name, spec in STEPS.items():
        step_tensors, step_metadata = step_case(spec)
        save_file(step_tensors, FOLDER / f"step_{name}.safetensors", step_metadata)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.stat().st_size:8d} bytes  {path.name}")


if __name__ == "__main__":
    main()
