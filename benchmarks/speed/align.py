"""Time the alignment of 1000 x 1000 classes and the distance after it, for every method and metric.

    python -m benchmarks.speed.align

Signatures of the size that CIFAR-10 with N = 128 gives, 2048 features (16 segments on average). Two pairs: `related`, the same
weights permuted and disturbed by 30% noise, where nearly every class has one match; and `unrelated`, independent weights,
where the greedy has to go furthest. The named alternative is the greedy that the authors describe, one pair at a time over the
whole matrix. Expected: below one second each on two cores. Takes about a minute.
"""

import functools
import pathlib
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import tyro

from benchmarks.record import command, environment, write
from zest_jax.alignment import METRICS, class_distances, match_classes

METHODS: tuple[Literal["greedy", "rowwise", "optimal"], ...] = ("greedy", "rowwise", "optimal")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    classes: int = 1000
    """Classes of both models."""
    features: int = 2048
    """Segments of all references together."""
    repeats: int = 5
    """Timed rounds, after one untimed round."""
    seed: int = 0
    """Of the weights."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/align."""


def main(options: Options) -> None:
    rng = np.random.default_rng(options.seed)
    a = rng.normal(size=(options.features, options.classes)).astype(np.float32)
    noise = rng.normal(size=a.shape).astype(np.float32)
    pairs = {"related": (a, a[:, rng.permutation(options.classes)] + 0.3 * noise), "unrelated": (a, noise)}
    result: dict[str, Any] = {
        "benchmark": "speed/align",
        "command": command("benchmarks.speed.align"),
        "environment": environment("scipy"),
        "options": {**asdict(options), "output": None},
        "median_seconds": {},
    }
    for pair, (x, y) in pairs.items():
        found: dict[str, Any] = {}
        for metric in METRICS:
            found[f"distances, {metric}"] = timed(
                functools.partial(class_distances, x, y, metric=metric), options.repeats
            )
        distances = class_distances(x, y)
        for method in METHODS:
            found[f"match, {method}"] = timed(
                functools.partial(match_classes, distances, method=method), options.repeats
            )
        found["match, greedy one at a time"] = timed(lambda: one_at_a_time(distances), 1)
        ours = match_classes(distances, method="greedy")[1]
        assert (ours == one_at_a_time(distances)).all(), "the fast greedy must give the same matching"
        found["one at a time / greedy"] = found["match, greedy one at a time"] / found["match, greedy"]
        found["cosine and greedy together"] = found["distances, cosine"] + found["match, greedy"]
        result["median_seconds"][pair] = found
        for name, value in found.items():
            print(f"{pair:10} {name:32} {value:10.4f}", flush=True)
    write("speed/align", result, options.output)


def timed(way: Any, repeats: int) -> float:
    way()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def one_at_a_time(distances: np.ndarray) -> np.ndarray:
    left = distances.astype(np.float64)
    match = np.empty(len(left), np.int64)
    for _ in range(len(left)):
        row, column = np.unravel_index(left.argmin(), left.shape)
        match[row] = column
        left[row, :] = left[:, column] = np.inf
    return match


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
