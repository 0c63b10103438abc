"""Time our Quickshift in JAX against scikit-image's, on 32 x 32 and 224 x 224 photographs.

    python -m benchmarks.speed.quickshift

measures, side by side in one run and per image: `quickshift-jax` in float64, whose labels must equal scikit-image's,
`quickshift-jax` in float32, scikit-image on one image after the other, and scikit-image in one thread per processor.
Images: the golden references (CIFAR-10), repeated, and the photographs that scikit-image and scikit-learn ship. Takes about
a minute on two cores. The result goes to benchmarks/results/speed/quickshift/<device>.json.
"""

import pathlib
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tyro

from benchmarks.photographs import golden_images, photographs
from benchmarks.record import command, environment, write
from zest_jax.probes.segmentation import segment_counts, segment_images, segmentation_settings


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    small: int = 128
    """Number of 32 x 32 images."""
    large: int = 8
    """Number of 224 x 224 images."""
    repeats: int = 5
    """Timed rounds; every round runs every alternative once, after one untimed round."""
    seed: int = 42
    """Of the noise that breaks ties."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/quickshift."""


def main(options: Options) -> None:
    sizes = {"32": golden_images(options.small), "224": photographs(options.large, 224)}
    result = {
        "benchmark": "speed/quickshift",
        "command": command("benchmarks.speed.quickshift"),
        "environment": environment("scikit-image"),
        "options": {**asdict(options), "output": None},
        "settings": segmentation_settings("quickshift", seed=options.seed),
        "sizes": {size: measure(images, options) for size, images in sizes.items()},
    }
    report(result)
    write("speed/quickshift", result, options.output)


def measure(images: np.ndarray, options: Options) -> dict[str, Any]:
    """Time the alternatives in turn, so that a disturbance of the machine meets all of them."""
    seed = options.seed
    # The labels come back as NumPy arrays: every call has blocked until the device was done.
    alternatives: dict[str, Callable[[], np.ndarray]] = {
        "jax_float64": lambda: segment_images(images, method="quickshift-jax", seed=seed, progress=False),
        "jax_float32": lambda: segment_images(
            images, method="quickshift-jax", seed=seed, dtype="float32", progress=False
        ),
        "skimage_serial": lambda: segment_images(images, workers=1, seed=seed, progress=False),
        "skimage_threads": lambda: segment_images(images, seed=seed, progress=False),
    }
    first_call, labels = {}, {}
    for name, run in alternatives.items():
        start = time.perf_counter()
        labels[name] = run()
        first_call[name] = time.perf_counter() - start
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(options.repeats):
        for name, run in alternatives.items():
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / len(images))
    median = {name: statistics.median(times) for name, times in seconds.items()}
    same = {name: int((labels[name] == labels["skimage_serial"]).all(axis=(1, 2)).sum()) for name in alternatives}
    return {
        "images": len(images),
        "segments_mean": float(segment_counts(labels["skimage_serial"]).mean()),
        "images_with_scikit_image_labels": same,
        "first_call_seconds": first_call,
        "seconds_per_image": seconds,
        "median_seconds_per_image": median,
        "speedup_of_jax_float64": {
            name: median[name] / median["jax_float64"] for name in ("skimage_serial", "skimage_threads")
        },
    }


def report(result: dict[str, Any]) -> None:
    for size, found in result["sizes"].items():
        print(f"{size} x {size} pixels, {found['images']} images, {found['segments_mean']:.0f} segments on average")
        for name, seconds in found["median_seconds_per_image"].items():
            same = found["images_with_scikit_image_labels"][name]
            print(f"  {name:16} {1000 * seconds:9.2f} ms/image   scikit-image's labels on {same} of {found['images']}")
        for name, ratio in found["speedup_of_jax_float64"].items():
            print(f"  jax_float64 is {ratio:.2f} x as fast as {name}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
