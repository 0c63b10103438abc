"""Time the convolutions of ResNet20 in XLA and in PyTorch: where the time of a training step on CPUs goes.

    python -m benchmarks.speed.convolutions

The three kinds of 3x3 convolution that ResNet20 has, a batch of 128: forward, gradient of the input, gradient of the kernel.
`weighted` counts each as often as a step of ResNet20 does them. A third way of the kernel's gradient is tried: one matrix
product of shifted inputs and shifted gradients (both padded and flattened, three shifts along each axis). The fastest of the
rounds counts, rounds alternate. Takes less than a minute on two cores.
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

from benchmarks.record import command, environment, write

# (channels, height and width): how many of ResNet20's 18 convolutions in its blocks are of this kind.
_KINDS = {(16, 32): 6, (32, 16): 6, (64, 8): 6}
_PARTS = ("forward", "gradient of the input", "gradient of the kernel")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    batch_size: int = 128
    """Images."""
    rounds: int = 20
    """Timed rounds."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/convolutions."""


def main(options: Options) -> None:
    cases, sums = {}, dict.fromkeys(("XLA", "PyTorch", "XLA, kernel's gradient by one product"), 0.0)
    for (channels, size), count in _KINDS.items():
        milliseconds = measure(channels, size, options)
        cases[f"{channels} channels, {size} x {size}"] = milliseconds
        for library in ("XLA", "PyTorch"):
            sums[library] += count * sum(milliseconds[library].values())
        others = sum(milliseconds["XLA"][part] for part in _PARTS[:2])
        sums["XLA, kernel's gradient by one product"] += count * (others + milliseconds["one product"][_PARTS[2]])
    result: dict[str, Any] = {
        "benchmark": "speed/convolutions",
        "command": command("benchmarks.speed.convolutions"),
        "environment": environment("torch"),
        "options": {**dataclasses.asdict(options), "output": None},
        "milliseconds": cases,
        "weighted milliseconds of a step": sums,
        "XLA / PyTorch": sums["XLA"] / sums["PyTorch"],
        "XLA with one product / PyTorch": sums["XLA, kernel's gradient by one product"] / sums["PyTorch"],
    }
    print({name: value for name, value in result.items() if name not in ("environment", "options")})
    write("speed/convolutions", result, options.output)


def measure(channels: int, size: int, options: Options) -> dict[str, dict[str, float]]:
    """Milliseconds of each part, by library."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((options.batch_size, size, size, channels), np.float32)
    kernel = rng.standard_normal((3, 3, channels, channels), np.float32)
    ours = _ours(jnp.asarray(x), jnp.asarray(kernel))
    ways = {"XLA": ours, "PyTorch": _theirs(x, kernel), "one product": {_PARTS[2]: _one_product(jnp.asarray(x))}}
    same = np.asarray(ways["one product"][_PARTS[2]]()), np.asarray(ours[_PARTS[2]]())
    np.testing.assert_allclose(*same, rtol=1e-3, atol=1e-4 * np.abs(same[1]).max())
    best = {way: dict.fromkeys(parts, float("inf")) for way, parts in ways.items()}
    for i in range(options.rounds + 1):
        for way, parts in ways.items():
            for part, run in parts.items():
                began = time.perf_counter()
                jax.block_until_ready(run())
                if i:
                    best[way][part] = min(best[way][part], 1000 * (time.perf_counter() - began))
    return best


def _convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=dimensions)


def _ours(x: jax.Array, kernel: jax.Array) -> dict[str, Callable[[], Any]]:
    # The gradient that comes from above is the input itself: any array of that shape will do.
    by_input = jax.jit(lambda x, kernel: jax.vjp(lambda x: _convolved(x, kernel), x)[1](x)[0])
    by_kernel = jax.jit(lambda x, kernel: jax.vjp(lambda kernel: _convolved(x, kernel), kernel)[1](x)[0])
    forward = jax.jit(_convolved)
    runs = (lambda: forward(x, kernel), lambda: by_input(x, kernel), lambda: by_kernel(x, kernel))
    return dict(zip(_PARTS, runs, strict=True))


def _theirs(x: np.ndarray, kernel: np.ndarray) -> dict[str, Callable[[], Any]]:
    last = torch.channels_last
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=last)
    weights = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).to(memory_format=last)

    def backward(wanted: list[bool]) -> Callable[[], Any]:
        settings = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)
        return lambda: bool(torch.ops.aten.convolution_backward(images, images, weights, None, *settings))

    def forward() -> Any:
        return torch.nn.functional.conv2d(images, weights, padding=1).shape

    runs = (forward, backward([True, False, False]), backward([False, True, False]))
    return dict(zip(_PARTS, runs, strict=True))


def _one_product(x: jax.Array) -> Callable[[], Any]:
    @jax.jit
    def gradient(x: jax.Array, above: jax.Array) -> jax.Array:
        n, height, width, inputs = x.shape
        outputs, row = above.shape[-1], width + 2
        flat = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, inputs)
        flat = jnp.pad(flat, ((0, 2 * row + 2), (0, 0)))
        other = jnp.pad(above, ((0, 0), (0, 2), (0, 2), (0, 0))).reshape(-1, outputs)
        other = jnp.pad(other, ((2, 2), (0, 0)))
        length = n * (height + 2) * row + 2
        down = jnp.concatenate([flat[i * row : i * row + length] for i in range(3)], 1)
        across = jnp.concatenate([other[2 - j : 2 - j + length] for j in range(3)], 1)
        product = jax.lax.dot_general(down, across, (((0,), (0,)), ((), ())))
        return product.reshape(3, inputs, 3, outputs).transpose(0, 2, 1, 3)

    return lambda: gradient(x, x)


if __name__ == "__main__":
    main(tyro.cli(Options))
