"""Time training steps of ResNet20 against an equivalent PyTorch loop in the channels-last layout.

    python -m benchmarks.speed.train

Batches of 128 CIFAR-10 images, SGD with momentum and weight decay, crops and flips, as in the recipe `paper-cifar10`; both
draw, augment and normalise inside of the loop. Rounds alternate. A third way is what a zoo does on CPUs: as many processes
as cores, each with one of them, so that several models are trained side by side. Takes about ten minutes on two cores.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import jax
import torch
import tyro
from torch import nn
from torch.nn import functional

from benchmarks.record import ROOT, command, environment, write
from zest_jax.data import Dataset, load_dataset
from zest_jax.models import ModelConfig
from zest_jax.training import LineageStep, recipe, start_checkpoint
from zest_jax.training.engine import train_steps
from zest_jax.training.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    steps: int = 20
    """Steps of a round."""
    rounds: int = 5
    """Timed rounds of each way, after an untimed one."""
    batch_size: int = 128
    """Images per step."""
    data: str = "cifar10"
    """TFDS name, folder or file of the images."""
    alone: bool = False
    """Measure the JAX loop alone and print the seconds of each round (what the processes with one core do)."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/train."""


def main(options: Options) -> None:
    data = load_dataset(options.data)
    ours = Ours(data, options)
    if options.alone:
        print(json.dumps([ours.round() for _ in range(options.rounds + 1)][1:]))
        return
    theirs = Theirs(data, options)
    seconds: dict[str, list[float]] = {"zest_jax": [], "PyTorch, channels last": []}
    for i in range(options.rounds + 1):
        found = {"zest_jax": ours.round(), "PyTorch, channels last": theirs.round()}
        if i:
            for name, value in found.items():
                seconds[name].append(value)
    per_epoch = len(data) / (options.steps * options.batch_size)
    median = {name: statistics.median(values) * per_epoch for name, values in seconds.items()}
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    result: dict[str, Any] = {
        "benchmark": "speed/train",
        "command": command("benchmarks.speed.train"),
        "environment": environment("flax", "optax", "torch"),
        "options": {**dataclasses.asdict(options), "output": None},
        "seconds_per_round": seconds,
        "median_seconds_per_epoch": median,
        "zest_jax / PyTorch": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
    }
    if jax.default_backend() == "cpu" and hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        alone = side_by_side(options)
        # Seconds until as many models as there are cores have each done an epoch, per model.
        per_model = statistics.median(max(times) for times in zip(*alone, strict=True)) * per_epoch / len(alone)
        result["side by side"] = {
            "processes": len(alone),
            "seconds_per_round": alone,
            "median_seconds_per_epoch_and_model": per_model,
            "/ PyTorch": per_model / median["PyTorch, channels last"],
        }
    print({name: value for name, value in result.items() if name not in ("environment", "seconds_per_round")})
    write("speed/train", result, options.output)


class Ours:
    """The steps of `zest_jax.training.fit`."""

    def __init__(self, data: Dataset, options: Options) -> None:
        how = dataclasses.replace(recipe("paper-cifar10"), batch_size=options.batch_size)
        start = start_checkpoint(ModelConfig(name="resnet20", num_classes=data.num_classes), data, seed=0)
        self.run = Run(
            start,
            data,
            how,
            seed=0,
            step=LineageStep(kind="train"),
        )
        self.steps, self.chunks = options.steps, iter(())

    def round(self) -> float:
        began, done = time.perf_counter(), 0
        while done < self.steps:
            found = next(self.chunks, None)
            if found is None:
                self.chunks = self.run.feed.chunks(0)
                continue
            rows = found[1][: self.steps - done]
            self.run.state, _ = train_steps(self.run.plan(), self.run.state, found[0], rows, self.run.key)
            done += len(rows)
        jax.block_until_ready(self.run.state)
        return time.perf_counter() - began


class Theirs:
    """The same in PyTorch."""

    def __init__(self, data: Dataset, options: Options) -> None:
        torch.manual_seed(0)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model: Any = ResNet20(data.num_classes)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, 0.9, weight_decay=1e-4)
        self.images = torch.from_numpy(data.inputs).permute(0, 3, 1, 2).to(self.device)
        self.labels = torch.from_numpy(data.labels).long().to(self.device)
        self.mean = torch.tensor(data.mean, device=self.device).view(1, 3, 1, 1)
        self.std = torch.tensor(data.std, device=self.device).view(1, 3, 1, 1)
        self.options = options

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded, cropped and mirrored, as torchvision does it, for the whole batch at once."""
        n = self.options.batch_size
        rows = torch.randint(len(self.images), (n,), device=self.device)
        x = (self.images[rows].float() / 255 - self.mean) / self.std
        size, x = x.shape[-1], functional.pad(x, (4, 4, 4, 4))
        dy, dx = torch.randint(0, 9, (2, n, 1, 1), device=self.device)
        y_at = dy + torch.arange(size, device=self.device).view(1, -1, 1)
        x_at = dx + torch.arange(size, device=self.device).view(1, 1, -1)
        flip = torch.rand(n, 1, 1, device=self.device) < 0.5
        x_at = torch.where(flip, x_at.flip(-1), x_at)
        x = x.permute(0, 2, 3, 1)[torch.arange(n, device=self.device).view(-1, 1, 1), y_at, x_at].permute(0, 3, 1, 2)
        return x.contiguous(memory_format=torch.channels_last), self.labels[rows]

    def round(self) -> float:
        began = time.perf_counter()
        for _ in range(self.options.steps):
            x, labels = self.batch()
            self.optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(self.model(x), labels).backward()
            self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began


class Block(nn.Module):
    """Two convolutions around a shortcut without parameters."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.padding = (outputs - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1 if inputs == outputs else 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding)) if self.padding else x
        x = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(x)) + shortcut)


class ResNet20(nn.Module):
    """He et al. (2016), section 4.2."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        sizes = [(16, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
        self.features = nn.Sequential(*stem, *(Block(*size) for size in sizes))
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def side_by_side(options: Options) -> list[list[float]]:
    """Seconds of each round in processes that run at the same time, one per core."""
    cores = sorted(os.sched_getaffinity(0))
    given = ["--steps", str(options.steps), "--rounds", str(options.rounds), "--batch-size", str(options.batch_size)]
    code = (
        "import os, sys; os.sched_setaffinity(0, {int(sys.argv.pop(1))}); "
        "import runpy; runpy.run_module('benchmarks.speed.train', run_name='__main__', alter_sys=True)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(core), "--alone", "--data", options.data, *given],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for core in cores
    ]
    found = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a process that trains on one core failed; its message is above")
    return [json.loads(text) for text in found]


if __name__ == "__main__":
    main(tyro.cli(Options))
