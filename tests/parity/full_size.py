"""Compares one whole fp32 training step of the ImageNet networks with PyTorch's in float64, from the same weights and batch.

The rule: for each tensor, the relative L2 error of its update (of its value, for running statistics) is at most 3 times that of
PyTorch's own fp32 step (the worse of NCHW and NHWC) plus 1e-5; logits are within 1e-4 of the largest. Prints a table, and exits 1
when the rule does not hold.

Where a ReLU's input is so close to 0 that rounding decides its sign, a gradient changes by a thousand times the rounding, by luck, in
PyTorch as in Residua. The betas of the weights are therefore such that in float64 no input of this batch is close to 0. --kinks
leaves them at 0; whether the rule holds is then luck, as it is between PyTorch's own two layouts: bench/results/parity.md has what was
measured.

usage: python3 full_size.py [--program build/cpu/bin/parity-step] [--size 224] [--batch 8] [--kinks] [CASE...]
needs torch, torchvision, numpy and safetensors
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import save_file

from reference import ResNet, Spec, allowed, changes, compared, pytorch_errors_by_layout, relative_error, settle, sgd_step

BASIC34 = {"blocks": (3, 4, 6, 3)}
CASES = {
    "resnet18": Spec(),
    "resnet34-A": Spec(shortcut="A", **BASIC34),
    "resnet34-B": Spec(shortcut="B", **BASIC34),
    "resnet34-C": Spec(shortcut="C", **BASIC34),
    "resnet50": Spec(block="bottleneck", **BASIC34),
}


def initial_state(name, spec, generator):
    """He-normal weights. Where torchvision has the network, the reference is held to it."""
    model = ResNet(spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * (2 / parameter[0].numel()) ** 0.5)
        peer_name = name.removesuffix("-B")
        if "-" not in peer_name:
            peer = getattr(torchvision.models, peer_name)().eval()
            peer.load_state_dict(model.state_dict())
            x = torch.randn(2, 3, 64, 64, generator=generator).double()
            if not torch.allclose(peer.double()(x), model.double()(x), rtol=1e-10, atol=1e-10):
                sys.exit(f"{name}: the reference differs from torchvision's network")
    return model.float().state_dict()


def compare(name, spec, arguments):
    generator = torch.Generator().manual_seed(arguments.seed)
    state = initial_state(name, spec, generator)
    images = torch.randn(arguments.batch, arguments.size, arguments.size, 3, generator=generator)
    if not arguments.kinks:
        state = settle(spec, state, images)
    labels = torch.randint(spec.classes, (arguments.batch,), generator=generator).int()
    tensors = {f"model.{key}": value for key, value in state.items() if compared(key)}
    tensors |= {"images": images, "labels": labels}
    with tempfile.TemporaryDirectory() as folder:
        given, made = f"{folder}/given.safetensors", f"{folder}/made.safetensors"
        save_file(tensors, given, spec.metadata())
        subprocess.run([arguments.program, given, made], check=True)
        result = load_file(made)

    before = {key: value.numpy() for key, value in state.items() if compared(key)}
    logits, after = sgd_step(spec, state, images.numpy(), labels.numpy(), torch.float64)
    wanted = changes(before, after)
    nchw, nhwc = pytorch_errors_by_layout(spec, state, images.numpy(), labels.numpy(), wanted)
    own = {key: max(nchw[key], nhwc[key]) for key in wanted}
    got = changes(before, {key: result[f"model.{key}"].astype(np.float64) for key in after})
    rows = [(key, relative_error(got[key], wanted[key]), own[key]) for key in wanted]
    logit_error = np.abs(result["logits"] - logits).max() / np.abs(logits).max()
    broken = [row for row in rows if not row[1] <= allowed(row[2])]  # not <=: a NaN breaks the rule
    print_row(name, "updates", [row for row in rows if "running_" not in row[0]])
    print_row("", "running statistics", [row for row in rows if "running_" in row[0]])
    verdict = "holds" if not broken and logit_error <= 1e-4 else "BROKEN"
    print(f"{'':12}{'logits':20}{logit_error:11.1e}   rule {verdict}, {len(broken)} of {len(rows)} tensors beyond it")
    for key, error, pytorch in broken:
        print(f"{'':12}  {key}: {error:.2e}, PyTorch's {pytorch:.2e}")
    if arguments.kinks:
        beyond = [sum(a[key] > allowed(b[key]) for key in wanted) for a, b in ((nhwc, nchw), (nchw, nhwc))]
        print(f"{'':12}of PyTorch's two layouts, NHWC held to NCHW has {beyond[0]} tensors beyond the rule, NCHW held to NHWC {beyond[1]}")
    sys.stdout.flush()
    return verdict == "holds"


def print_row(name, kind, rows):
    ours, pytorch = (np.array([row[i] for row in rows]) for i in (1, 2))
    worst = (ours / allowed(pytorch)).max()
    print(f"{name:12}{kind:20}{np.median(ours):11.1e}{ours.max():11.1e}{np.median(pytorch):11.1e}{pytorch.max():11.1e}{worst:9.2f}")


def main():
    root = pathlib.Path(__file__).parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--program", default=root / "build/cpu/bin/parity-step")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinks", action="store_true", help="leave all betas at 0")
    arguments = parser.parse_args()
    print(f"one SGD step in fp32 against float64: {arguments.batch} images of {arguments.size} px, PyTorch {torch.__version__}")
    print(f"{'':32}{'relative L2 error':>22}{'PyTorch fp32':>22}{'worst/':>9}")
    print(f"{'network':12}{'':20}{'median':>11}{'worst':>11}{'median':>11}{'worst':>11}{'allowed':>9}")
    results = [compare(name, CASES[name], arguments) for name in arguments.cases]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
