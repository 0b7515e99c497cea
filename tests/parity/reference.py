"""The networks of models/resnet.h in PyTorch, for comparison: the same spec, the same parameter names, any precision."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

EXPANSION = 4  # of a bottleneck


@dataclass(frozen=True)
class Spec:
    """ResNetConfig of models/resnet_config.h."""

    stem: str = "imagenet"
    block: str = "basic"
    blocks: tuple = (2, 2, 2, 2)
    width: int = 64
    shortcut: str = "B"
    shortcut_pad: str = "end"
    shortcut_pool: str = "stride"
    bottleneck_stride: str = "conv3x3"
    in_channels: int = 3
    classes: int = 1000

    def metadata(self):
        """As strings, for the metadata of a safetensors file."""
        values = {key: str(value) for key, value in asdict(self).items()}
        values["blocks"] = " ".join(str(count) for count in self.blocks)
        return values


class Kinks:
    """Keeps track of how near ReLUs' inputs come to 0, where rounding decides whether a gradient passes."""

    nearest = float("inf")  # distance of any input since the last reset
    settling = False

    @classmethod
    def reset(cls):
        cls.nearest = float("inf")


def relu(norm, x):
    """ReLU of what the batch normalization `norm` gave. While settling, each channel's beta is moved first, by at most a quarter, to where
    0 lies in the middle of the widest gap between the channel's values."""
    if Kinks.settling:
        values = x.transpose(0, 1).flatten(1).sort().values
        middles = (values[:, 1:] + values[:, :-1]) / 2
        gaps = torch.where(middles.abs() <= 0.25, values[:, 1:] - values[:, :-1], 0)
        shift = -middles.gather(1, gaps.argmax(1, keepdim=True)).flatten()
        shift = (norm.bias + shift).float().to(x.dtype) - norm.bias
        norm.bias.add_(shift)
        x = x + shift[:, None, None]
    Kinks.nearest = min(Kinks.nearest, x.detach().abs().min().item())
    return F.relu(x)


def convolution(in_channels, out_channels, kernel, stride):
    return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    def __init__(self, spec, in_channels, width, stride):
        super().__init__()
        self.spec, self.stride = spec, stride
        if spec.block == "basic":
            out_channels = width
            layers = [(in_channels, width, 3, stride), (width, width, 3, 1)]
        else:
            out_channels = width * EXPANSION
            first, second = (stride, 1) if spec.bottleneck_stride == "conv1x1" else (1, stride)
            layers = [(in_channels, width, 1, first), (width, width, 3, second), (width, out_channels, 1, 1)]
        self.depth, self.out_channels = len(layers), out_channels
        for i, layer in enumerate(layers, 1):
            setattr(self, f"conv{i}", convolution(*layer))
            setattr(self, f"bn{i}", nn.BatchNorm2d(layer[1]))
        changes = stride != 1 or in_channels != out_channels
        self.downsample = None
        if spec.shortcut == "C" or (spec.shortcut == "B" and changes):
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def residual(self, x):
        if self.downsample is not None:
            return self.downsample(x)
        extra = self.out_channels - x.shape[1]
        if self.stride != 1:
            if self.spec.shortcut_pool == "average":
                x = F.avg_pool2d(x, self.stride, ceil_mode=True, count_include_pad=False)
            else:
                x = x[:, :, :: self.stride, :: self.stride]
        before = extra // 2 if self.spec.shortcut_pad == "both" else 0
        return F.pad(x, (0, 0, 0, 0, before, extra - before))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            norm = getattr(self, f"bn{i}")
            y = norm(getattr(self, f"conv{i}")(y))
            if i < self.depth:
                y = relu(norm, y)
        return relu(norm, y if self.spec.shortcut == "none" else y + self.residual(x))


class ResNet(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        imagenet = spec.stem == "imagenet"
        self.conv1 = convolution(spec.in_channels, spec.width, 7 if imagenet else 3, 2 if imagenet else 1)
        self.bn1 = nn.BatchNorm2d(spec.width)
        channels = spec.width
        for i, count in enumerate(spec.blocks):
            blocks = []
            for j in range(count):
                blocks.append(Block(spec, channels, spec.width * 2**i, 2 if i > 0 and j == 0 else 1))
                channels = blocks[-1].out_channels
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, spec.classes)

    def forward(self, x):
        y = relu(self.bn1, self.bn1(self.conv1(x)))
        if self.spec.stem == "imagenet":
            y = F.max_pool2d(y, 3, 2, 1)
        for i in range(len(self.spec.blocks)):
            y = getattr(self, f"layer{i + 1}")(y)
        return self.fc(y.mean((2, 3)))


def settle(spec, state, images):
    """The state_dict with betas, exact in fp32, for which no ReLU input of this batch lies close to 0 in float64."""
    model = ResNet(spec).double().train()
    model.load_state_dict(state)
    Kinks.settling = True
    with torch.no_grad():
        model(images.permute(0, 3, 1, 2).double())
    Kinks.settling = False
    settled = {name: value.float() for name, value in model.named_parameters()}
    return {name: settled.get(name, value).detach() for name, value in state.items()}


LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4


def sgd_step(spec, state, images, labels, dtype, memory_format=torch.contiguous_format):
    """One step of SGD in `dtype` from a state_dict and a batch [N, H, W, C]: logits, and the state_dict after it."""
    model = ResNet(spec).to(dtype)
    model.load_state_dict(state)
    model = model.to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(dtype).contiguous(memory_format=memory_format)
    logits = model(x)
    F.cross_entropy(logits, torch.from_numpy(labels).long()).backward()
    optimizer.step()
    after = {name: value.double().numpy() for name, value in model.state_dict().items() if compared(name)}
    return logits.detach().double().numpy(), after


def compared(name):
    return not name.endswith("num_batches_tracked")


def changes(before, after):
    """What is compared: the update of each weight, and each running statistic itself. All float64."""
    return {
        name: value if "running_" in name else value - np.asarray(before[name], np.float64)
        for name, value in after.items()
    }


def relative_error(got, wanted):
    """L2 norm of the difference over that of `wanted`."""
    return np.linalg.norm((got - wanted).ravel()) / np.linalg.norm(wanted.ravel())


def pytorch_errors_by_layout(spec, state, images, labels, wanted):
    """PyTorch's own fp32 error of each change, in NCHW and in NHWC."""
    before = {name: value.double().numpy() for name, value in state.items() if compared(name)}
    errors = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        _, after = sgd_step(spec, state, images, labels, torch.float32, memory_format)
        errors.append({name: relative_error(got, wanted[name]) for name, got in changes(before, after).items()})
    return errors


def pytorch_errors(spec, state, images, labels, wanted):
    """The worse of the two."""
    nchw, nhwc = pytorch_errors_by_layout(spec, state, images, labels, wanted)
    return {name: max(nchw[name], nhwc[name]) for name in wanted}


def allowed(error):
    """The largest error that the rule accepts where PyTorch's own is `error`."""
    return 3 * error + 1e-5
