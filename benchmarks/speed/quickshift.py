"""Time our Quickshift in JAX against scikit-image's, on 32 x 32 and 224 x 224 photographs.

    python benchmarks/speed/quickshift.py

measures, side by side in one run and per image: `quickshift-jax` in float64, whose labels must equal scikit-image's,
`quickshift-jax` in float32, scikit-image on one image after the other, and scikit-image in one thread per processor.
Images: the golden references (CIFAR-10), repeated, and the photographs that scikit-image and scikit-learn ship. Takes about
a minute on two cores. The result goes to benchmarks/results/speed/quickshift/<device>.json.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import jax
import numpy as np
import skimage.data
import tyro
from skimage.transform import resize
from sklearn.datasets import load_sample_image

from zest_jax.probes.segmentation import segment_counts, segment_images, segmentation_settings

ROOT = pathlib.Path(__file__).parents[2]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")


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
        "command": " ".join(["python", "benchmarks/speed/quickshift.py", *sys.argv[1:]]),
        "environment": environment(),
        "options": {**asdict(options), "output": None},
        "settings": segmentation_settings("quickshift", seed=options.seed),
        "sizes": {size: measure(images, options) for size, images in sizes.items()},
    }
    device = str(result["environment"]["device"]).lower().replace(" ", "-")
    path = options.output or ROOT / "benchmarks" / "results" / "speed" / "quickshift" / f"{device}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    report(result)
    print(f"written to {path}")


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


def golden_images(count: int) -> np.ndarray:
    with np.load(ROOT / "tests" / "golden" / "probes.npz") as data:
        images = data["images"]
    return np.resize(images, (count, *images.shape[1:]))


def photographs(count: int, size: int) -> np.ndarray:
    full = [getattr(skimage.data, name)() for name in PHOTOGRAPHS]
    full += [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    small = np.stack([np.asarray(resize(image, (size, size), anti_aliasing=True)) for image in full])
    return np.resize(np.round(small * 255).astype(np.uint8), (count, size, size, 3))


def environment() -> dict[str, Any]:
    """What a reader needs to judge the numbers."""
    device = jax.devices()[0]
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    packages = ("jax", "jaxlib", "numpy", "scikit-image")
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "load_average_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "commit": git.stdout.strip() if git.returncode == 0 else None,
    }


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


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
