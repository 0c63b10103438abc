"""Time the convolutions of MobileNetV2 on CPUs: XLA's own, those of this package, and PyTorch's.

    python -m benchmarks.speed.mobile_convolutions

Depthwise ones of 3x3 and ones of a single pixel, at a width of 0.25 and the CIFAR stem, a batch of 64: forward, and the gradients
of input and kernel. The fastest of the rounds counts, rounds alternate. Takes a minute on two cores.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from jax import lax

from benchmarks.record import command, environment, write
from zest_jax.models.convolutions import convolve


@dataclasses.dataclass(frozen=True)
class Kind:
    """A convolution: channels, height and width of its input, and whether each channel is by itself."""

    inputs: int
    outputs: int
    size: int
    stride: int = 1
    depthwise: bool = False

    def __str__(self) -> str:
        what = "depthwise 3x3" if self.depthwise else "1x1"
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{what}, {self.inputs} to {self.outputs} channels, {self.size} x {self.size}{stride}"


KINDS = (
    Kind(48, 48, 32, depthwise=True),
    Kind(48, 48, 32, stride=2, depthwise=True),
    Kind(96, 96, 16, depthwise=True),
    Kind(192, 192, 8, depthwise=True),
    Kind(8, 48, 32),
    Kind(48, 8, 32),
    Kind(24, 144, 8),
    Kind(40, 1280, 4),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    batch_size: int = 64
    """Images."""
    rounds: int = 10
    """Timed rounds."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/mobile_convolutions."""


def main(options: Options) -> None:
    cases = {str(kind): measure(kind, options) for kind in KINDS}
    sums = {
        library: {part: sum(of[library][part] for of in cases.values()) for part in ("forward", "gradients")}
        for library in ("XLA", "ours", "PyTorch")
    }
    whole = {library: sum(of.values()) for library, of in sums.items()}
    result: dict[str, Any] = {
        "benchmark": "speed/mobile_convolutions",
        "command": command("benchmarks.speed.mobile_convolutions"),
        "environment": environment("torch"),
        "options": {**dataclasses.asdict(options), "output": None},
        "milliseconds": cases,
        "sums": sums,
        "ours / XLA": whole["ours"] / whole["XLA"],
        "ours / PyTorch": whole["ours"] / whole["PyTorch"],
    }
    write("speed/mobile_convolutions", result, options.output)
    print(f"ours / XLA {result['ours / XLA']:.3f}, ours / PyTorch {result['ours / PyTorch']:.3f}")


def measure(kind: Kind, options: Options) -> dict[str, dict[str, float]]:
    """Milliseconds of each library's parts; the three agree."""
    rng = np.random.default_rng(0)
    groups = kind.inputs if kind.depthwise else 1
    width = 3 if kind.depthwise else 1
    x = rng.normal(size=(options.batch_size, kind.size, kind.size, kind.inputs)).astype(np.float32)
    kernel = rng.normal(size=(width, width, kind.inputs // groups, kind.outputs)).astype(np.float32)
    padding = ((width // 2, width // 2),) * 2

    def by(function: Callable[..., jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
        numbers = ("NHWC", "HWIO", "NHWC")
        strides = (kind.stride,) * 2
        return lambda x, k: function(x, k, strides, padding, feature_group_count=groups, dimension_numbers=numbers)

    calls: dict[tuple[str, str], Callable[[], Any]] = {}
    answers = {}
    for library, function in (("XLA", by(lax.conv_general_dilated)), ("ours", by(convolve))):
        forward = jax.jit(function)
        backward = jax.jit(lambda x, k, g, function=function: jax.vjp(function, x, k)[1](g))
        arrays = jnp.asarray(x), jnp.asarray(kernel)
        answer = forward(*arrays)
        answers[library] = np.asarray(answer)
        calls[library, "forward"] = lambda f=forward, a=arrays: jax.block_until_ready(f(*a))
        calls[library, "gradients"] = lambda f=backward, a=(*arrays, answer): jax.block_until_ready(f(*a))
    there = torch.from_numpy(x.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_()
    settings: dict[str, Any] = {"stride": kind.stride, "padding": width // 2, "groups": groups}
    answer = torch.nn.functional.conv2d(there, weight, **settings)
    answers["PyTorch"] = answer.detach().numpy().transpose(0, 2, 3, 1)
    for library, found in answers.items():
        np.testing.assert_allclose(found, answers["XLA"], rtol=1e-3, atol=1e-3, err_msg=library)
    gradient = answer.detach()

    def asked() -> Any:
        with torch.no_grad():
            return torch.nn.functional.conv2d(there, weight, **settings)

    calls["PyTorch", "forward"] = asked
    calls["PyTorch", "gradients"] = lambda: torch.autograd.grad(answer, (there, weight), gradient, retain_graph=True)
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(options.rounds + 1):  # the first compiles
        for key, call in calls.items():
            began = time.perf_counter()
            call()
            best[key] = min(best[key], 1000 * (time.perf_counter() - began))
    return {
        library: {part: best[library, part] for part in ("forward", "gradients")}
        for library in ("XLA", "ours", "PyTorch")
    }


if __name__ == "__main__":
    main(tyro.cli(Options))
