#!/usr/bin/env python3
"""Times a whole training step in PyTorch, for bench/compare.

  step_torch.py --model resnet18 --size 224 -b 32 --precision bf16 [--modes all] [--threads 2] [--json FILE]

The step is forward, cross entropy, backward, and SGD (lr 0.1, momentum 0.9, weight decay 1e-4, fused) on one synthetic, already
normalized batch. A mode is ARITHMETIC-EXECUTION-LAYOUT:

  arithmetic  fp32      fp32 without reduced-precision products (float32_matmul_precision 'highest')
              autocast  fp32 parameters, torch.autocast to bf16 or fp16
              pure      bf16 parameters except in batch norm, with fp32 master copies for SGD; CPU only
  execution   eager
              graph     the whole step as one CUDA graph, without loss scaling in fp16; CUDA only
              compile   torch.compile of network and loss; on CUDA with mode max-autotune, which uses its own CUDA graphs; needs a
                        C++ compiler; a failure gives a row with `error`
  layout      nhwc (channels-last) | nchw (not in `all` on a CUDA device)

Each mode runs in its own process, so that `peak_rss_bytes` (VmHWM) covers only that mode. Prints one JSON object; `best` is the row
with the most images per second. Needs torch, and torchvision for the ImageNet networks.
"""
import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time

CIFAR_DEPTHS = (20, 32, 44, 56, 110, 1202)
LAYOUTS = ("nhwc", "nchw")


def modes_of(precision, device, layouts=LAYOUTS):
    """All modes of a precision on a device."""
    cuda = device.startswith("cuda")
    arithmetics = {"fp32": ("fp32",), "bf16": ("autocast",) if cuda else ("autocast", "pure"), "fp16": ("autocast",)}[precision]
    executions = ("eager", "graph", "compile") if cuda else ("eager", "compile")
    return [f"{a}-{e}-{l}" for e in executions for a in arithmetics for l in layouts]


def cifar_resnet(depth, classes):
    """The paper's section 4.2 network: 6n+2 layers, option A shortcuts (stride-2 subsample, zeros appended at the end)."""
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.stride, self.padding = stride, outputs - inputs

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)), inplace=True)
            y = self.bn2(self.conv2(y))
            if self.padding:
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.padding))
            return F.relu(y + x, inplace=True)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            blocks, inputs = [], 16
            for stage, outputs in enumerate((16, 32, 64)):
                for i in range((depth - 2) // 6):
                    blocks.append(Block(inputs, outputs, 2 if stage and not i else 1))
                    inputs = outputs
            self.blocks = nn.Sequential(*blocks)
            self.fc = nn.Linear(64, classes)
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1(x)), inplace=True)
            return self.fc(self.blocks(x).mean((2, 3)))

    return Net()


def network(model, classes):
    depth = int(model.removeprefix("resnet")) if model.removeprefix("resnet").isdigit() else None
    if depth in CIFAR_DEPTHS:
        return cifar_resnet(depth, classes)
    import torchvision

    return getattr(torchvision.models, model)(num_classes=classes)


def make_step(args, arithmetic, execution, layout):
    """Returns a function that runs one training step and returns its loss."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device(args.device)
    order = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[args.precision]
    net = network(args.model, args.classes).to(device, memory_format=order).train()
    x = torch.randn(args.batch_size, 3, args.size, args.size, device=device).contiguous(memory_format=order)
    target = torch.randint(0, args.classes, (args.batch_size,), device=device)

    if arithmetic == "pure":
        net.to(dtype)
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.float()
        x = x.to(dtype)
    parameters = list(net.parameters())
    low = [p for p in parameters if p.dtype != torch.float32]
    master = [p.detach().float() for p in low]
    sgd = torch.optim.SGD(master + [p for p in parameters if p.dtype == torch.float32], 0.1, 0.9, weight_decay=1e-4, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=args.precision == "fp16")

    def loss_of(x, target):
        # A captured step must not reuse casts of weights from before it.
        with torch.autocast(device.type, dtype=dtype, enabled=arithmetic == "autocast", cache_enabled=execution != "graph"):
            return F.cross_entropy(net(x).float(), target)

    if execution == "graph":
        return captured(sgd, lambda: loss_of(x, target))
    if execution == "compile":
        loss_of = torch.compile(loss_of, mode="max-autotune" if device.type == "cuda" else "default")

    def step():
        sgd.zero_grad()
        loss = loss_of(x, target)
        scaler.scale(loss).backward()
        for m, p in zip(master, low):
            m.grad, p.grad = p.grad.float(), None
        scaler.step(sgd)
        scaler.update()
        if low:
            with torch.no_grad():
                torch._foreach_copy_(low, master)
        return loss

    return step


def captured(sgd, loss_of):
    """Returns a function that replays a whole step as one CUDA graph and returns its loss."""
    import torch

    def step():
        sgd.zero_grad(set_to_none=False)
        loss = loss_of()
        loss.backward()
        sgd.step()
        return loss

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # allocate memory and choose algorithms before the capture, which must not
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss.detach()

    return replay


def peak_rss_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def measure(args, mode):
    """Runs one mode in this process and returns its row."""
    import torch

    torch.set_num_threads(args.threads)
    cuda = args.device.startswith("cuda")
    step = make_step(args, *mode.split("-"))
    start = time.perf_counter()
    for _ in range(args.warmup):
        loss = step()
    loss = float(loss)
    warmup_s = time.perf_counter() - start
    times = []
    if cuda:  # no waiting between steps
        ends = [torch.cuda.Event(enable_timing=True) for _ in range(args.steps + 1)]
        ends[0].record()
        for end in ends[1:]:
            loss = step()
            end.record()
        torch.cuda.synchronize()
        times = [begin.elapsed_time(end) * 1e-3 for begin, end in zip(ends, ends[1:])]
    else:
        for _ in range(args.steps):
            begin = time.perf_counter()
            loss = step()
            times.append(time.perf_counter() - begin)
    loss = float(loss)
    if not math.isfinite(loss):
        raise RuntimeError(f"the loss is {loss}: this is not a valid training step")
    median = statistics.median(times)
    return {
        "torch": torch.__version__,
        "images_per_second": args.batch_size / median,
        "median_ms": median * 1e3,
        "min_ms": min(times) * 1e3,
        "spread": (max(times) - min(times)) / median,
        "warmup_s": warmup_s,
        "loss": loss,
        "peak_rss_bytes": peak_rss_bytes(),
        **({"peak_device_bytes": torch.cuda.max_memory_allocated()} if cuda else {}),
    }


def run_mode(args, mode):
    """Runs one mode in its own process; a failure gives a row with `error`."""
    row = {"mode": mode, "model": args.model, "size": args.size, "batch": args.batch_size, "precision": args.precision}
    command = [sys.executable, os.path.abspath(__file__), "--child", mode, "--model", args.model, "--size", str(args.size), "-b", str(args.batch_size),
               "--precision", args.precision, "--classes", str(args.classes), "--threads", str(args.threads), "--steps", str(args.steps),
               "--warmup", str(args.warmup), "--device", args.device]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), **dict(v.split("=", 1) for v in args.env)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=args.timeout, check=False)
    except subprocess.TimeoutExpired:
        return {**row, "error": f"not finished after {args.timeout} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {**row, "error": f"exit {done.returncode}: {last[:300]}"}
    return {**row, **json.loads(lines[-1])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="torchvision model, or resnet20|32|44|56|110|1202 for CIFAR (default: %(default)s)")
    parser.add_argument("--size", type=int, help="side of the input in pixels (default: 224, or 32 for a CIFAR model)")
    parser.add_argument("--classes", type=int, help="number of classes (default: 1000, or 10 for a CIFAR model)")
    parser.add_argument("-b", "--batch-size", type=int, default=32, help="images per step (default: %(default)s)")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="data type of the step (default: %(default)s)")
    parser.add_argument("--modes", default="all", help="comma-separated modes, or all (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads (default: one per core)")
    parser.add_argument("--steps", type=int, default=20, help="timed steps (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=4, help="untimed steps at the start (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:i] (default: %(default)s)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="environment variable for the measured processes; may be repeated")
    parser.add_argument("--timeout", type=float, default=900, help="time limit per mode in seconds, including compilation (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the JSON object to this file instead of printing it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    cifar = args.model in [f"resnet{d}" for d in CIFAR_DEPTHS]
    args.size = args.size or (32 if cifar else 224)
    args.classes = args.classes or (10 if cifar else 1000)
    if args.child:
        print(json.dumps(measure(args, args.child)))
        return
    known = modes_of(args.precision, args.device)
    every = modes_of(args.precision, args.device, LAYOUTS[:1]) if args.device.startswith("cuda") else known
    wanted = every if args.modes == "all" else args.modes.split(",")
    unknown = [m for m in wanted if m not in known]
    if unknown:
        parser.error(f"unknown mode {unknown[0]} for {args.precision} on {args.device}; known: {', '.join(known)}")
    report = {"framework": "pytorch", "device": args.device, "threads": args.threads, "rows": []}
    for mode in wanted:
        row = run_mode(args, mode)
        report["rows"].append(row)
        result = row.get("error") or f"{row['images_per_second']:.1f} img/s, peak {row['peak_rss_bytes'] / 2**20:.0f} MiB"
        print(f"{args.model} {args.precision} {mode}: {result}", file=sys.stderr, flush=True)
    good = [row for row in report["rows"] if "error" not in row]
    report["version"] = good[0]["torch"] if good else None
    report["best"] = max(good, key=lambda row: row["images_per_second"]) if good else None
    report["child_cpu_s"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    text = json.dumps(report, indent=1)
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            file.write(text + "\n")
    else:
        print(text)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
