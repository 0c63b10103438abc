"""Time the factored solver against `vmap`ped `jnp.linalg.lstsq`, the oracle, on the fits of a paper-sized run.

    python -m benchmarks.speed.solve

Masks over real segment counts (first 128 CIFAR-10 training images, 1000 masks each) and 128 photograph crops of 224 x 224 with
about 300 segments each, 16 of them fitted; outputs are Gaussian noise for 10 and 1000 classes, the hardest case for agreement
in relative terms. `factored` includes making the factors; `factored, next model` is what every further model costs in
`sign_many`. Takes about five minutes on two cores.
"""

import pathlib
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tyro

import zest_jax as zest
from benchmarks.photographs import crops, golden_images
from benchmarks.record import command, environment, write
from zest_jax.data import load_images
from zest_jax.solving import LocalFits, SolveSettings, design, fit


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    n_samples: int = 1000
    """L, masks per reference."""
    block: int = 16
    """References fitted together, as in `zest.sign`."""
    repeats: int = 3
    """Timed rounds; every round runs every alternative once, after one untimed round."""
    images: str = "cifar10"
    """TFDS name of the 32 x 32 images, or "golden"."""
    seed: int = 0
    """Of crops, masks and outputs."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/solve."""


def main(options: Options) -> None:
    small = golden_images(128) if options.images == "golden" else load_images(options.images, limit=128).images
    cases = {
        "32, 10 classes": (small, 10),
        "224, 10 classes": (crops(options.block, 224, options.seed), 10),
        "224, 1000 classes": (crops(options.block, 224, options.seed), 1000),
    }
    result: dict[str, Any] = {
        "benchmark": "speed/solve",
        "command": command("benchmarks.speed.solve"),
        "environment": environment(),
        "options": {**asdict(options), "output": None},
        "cases": {},
    }
    for name, (images, classes) in cases.items():
        result["cases"][name] = measure(images, classes, options)
        found = result["cases"][name]
        print(f"{name}: {found['references']} references, up to {found['max_segments']} segments", flush=True)
        print(f"  seconds: {found['median_seconds']}\n  lstsq / factored: {found['lstsq / factored']:.1f}")
        print(f"  largest relative difference of weights: {found['largest_relative_difference']:.2g}", flush=True)
    write("speed/solve", result, options.output)


def measure(images: np.ndarray, classes: int, options: Options) -> dict[str, Any]:
    probes = zest.image_probes(
        images,
        len(images),
        options.n_samples,
        options.seed,
        references="first",
        segmenter="quickshift-jax",
        progress=False,
    )
    rng = np.random.default_rng(options.seed)
    outputs = rng.normal(size=(len(images), options.n_samples, classes)).astype(np.float32)
    masks, ones = probes.masks, np.ones((len(images), options.n_samples), np.float32)
    settings = {solver: SolveSettings(solver=solver) for solver in ("factored", "lstsq")}
    blocks = [slice(i, i + options.block) for i in range(0, len(images), options.block)]
    designs = {
        solver: [design(masks[b], ones[b], probes.n_segments[b], chosen) for b in blocks]
        for solver, chosen in settings.items()
    }

    def from_scratch(solver: str) -> list[LocalFits]:
        chosen = settings[solver]
        return [fit(design(masks[b], ones[b], probes.n_segments[b], chosen), outputs[b], chosen) for b in blocks]

    def prepared(solver: str) -> list[LocalFits]:
        return [fit(d, outputs[b], settings[solver]) for d, b in zip(designs[solver], blocks, strict=True)]

    ways: dict[str, Callable[[], list[LocalFits]]] = {
        "factored": lambda: from_scratch("factored"),
        "factored, next model": lambda: prepared("factored"),
        "lstsq": lambda: prepared("lstsq"),
    }
    weights = {name: np.concatenate([f.weights for f in way()]) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    difference = np.linalg.norm(weights["factored"] - weights["lstsq"], axis=1) / np.linalg.norm(
        weights["lstsq"], axis=1
    )
    return {
        "references": len(images),
        "max_segments": probes.max_segments,
        "classes": classes,
        "seconds": seconds,
        "median_seconds": median,
        "lstsq / factored": median["lstsq"] / median["factored"],
        "largest_relative_difference": float(difference.max()),
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
