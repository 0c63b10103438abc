"""Time signing against the bare model and against the way of 2022, on one ResNet20-sized model.

    python -m benchmarks.speed.sign

In every round, one after the other and on the same probes (first 128 CIFAR-10 training images, 1000 masks each):

bare      the model alone on as many inputs as there are distinct queries, in the batch size that signing uses; half of it
          before and half of it after signing, so that a machine that gets slower or faster meets both
sign      `zest.sign`: compose, ask, fit
callback  the same with host models asked through `jax.pure_callback` (--callback)
2022      all perturbed inputs built first in NumPy as float64, every repeat asked, channels-first, a pseudo-inverse per
          reference and model; the same model and batch size

The models are the golden `victim.onnx` through ONNX Runtime, and its twin in Flax NNX. Expected on a quiet machine with two
cores: sign / bare <= 1.05 for both, 2022 / sign >= 1.35 for ONNX. Takes about 20 minutes there. CIFAR-10 is read by its TFDS
name; `--images golden` uses the 16 golden images instead, repeated.
"""

import pathlib
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import tyro

import zest_jax as zest
from benchmarks.photographs import golden_images
from benchmarks.record import ROOT, command, environment, write
from benchmarks.speed.bare import bare, warm_up
from tests.golden.flax_twin import flax_twin
from zest_jax.blackbox.batches import default_batch_size
from zest_jax.blackbox.protocol import HostBlackBox
from zest_jax.data import load_images

GOLDEN = ROOT / "tests" / "golden"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    models: tuple[Literal["onnx", "flax"], ...] = ("onnx", "flax")
    """Which twins to time."""
    n_references: int = 128
    """N."""
    n_samples: int = 1000
    """L, masks per reference."""
    batch_size: int | None = None
    """Inputs asked at once; by default what `zest.sign` chooses."""
    rounds: int = 2
    """Every round times every way once; ratios are medians over rounds."""
    callback: bool = True
    """Also time host models asked through `jax.pure_callback`."""
    images: str = "cifar10"
    """TFDS name of the images, or "golden"."""
    seed: int = 0
    """Of the masks."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/sign."""


def main(options: Options) -> None:
    with np.load(GOLDEN / "probes.npz") as data:
        mean, std = data["mean"], data["std"]
    if options.images == "golden":
        images = golden_images(options.n_references)
    else:
        images = load_images(options.images, limit=options.n_references).images
    probes = zest.image_probes(
        images, options.n_references, options.n_samples, options.seed, references="first", fill=mean, progress=False
    )
    boxes = {
        "onnx": lambda: zest.from_onnx(GOLDEN / "models" / "victim.onnx", mean=mean, std=std),
        "flax": lambda: zest.from_flax(flax_twin(GOLDEN / "models" / "victim.onnx"), mean=mean, std=std),
    }
    result: dict[str, Any] = {
        "benchmark": "speed/sign",
        "command": command("benchmarks.speed.sign"),
        "environment": environment("flax", "onnxruntime"),
        "options": {**asdict(options), "output": None},
        "probes": {"samples": probes.n_references * probes.n_samples, "distinct": probes.n_queries},
        "models": {},
    }
    print(probes, flush=True)
    for name in options.models:
        result["models"][name] = measure(boxes[name](), probes, options)
        write("speed/sign", result, options.output)


def measure(box: Any, probes: zest.ProbeSet, options: Options) -> dict[str, Any]:
    size = options.batch_size or default_batch_size(probes.references.shape[1:], [box])
    ways: dict[str, Callable[[], Any]] = {
        "sign": lambda: zest.sign(box, probes, batch_size=size, progress=False).weights,
    }
    if isinstance(box, HostBlackBox):
        if options.callback:
            ways["callback"] = lambda: zest.sign(box, probes, batch_size=size, mode="callback", progress=False).weights
        ways["2022"] = lambda: as_in_2022(box, probes, size)
    warm_up(box, probes, size)
    seconds: dict[str, list[float]] = {name: [] for name in ("bare", *ways)}
    weights = {}
    batches = -(-probes.n_queries // size)
    for i in range(options.rounds):
        before = bare(box, probes, size, batches // 2)
        for name, way in ways.items():
            start = time.perf_counter()
            weights[name] = way()
            seconds[name].append(time.perf_counter() - start)
            if name == "sign":
                seconds["bare"].append(before + bare(box, probes, size, batches - batches // 2))
                print(
                    f"{box.settings['adapter']} round {i + 1} of {options.rounds}: bare {seconds['bare'][-1]:.1f} s",
                    flush=True,
                )
            print(
                f"{box.settings['adapter']} round {i + 1} of {options.rounds}: {name} {seconds[name][-1]:.1f} s",
                flush=True,
            )
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {"sign / bare": statistics.median(np.divide(seconds["sign"], seconds["bare"]).tolist())}
    if "callback" in ways:
        ratios["callback / sign"] = statistics.median(np.divide(seconds["callback"], seconds["sign"]).tolist())
    if "2022" in ways:
        ratios["2022 / sign"] = statistics.median(np.divide(seconds["2022"], seconds["sign"]).tolist())
        scale = np.abs(weights["2022"]).max()
        ratios["largest difference of weights, 2022 and sign, relative"] = float(
            np.abs(weights["2022"] - weights["sign"]).max() / scale
        )
    for name, ratio in ratios.items():
        print(f"  {name}: {ratio:.4g}", flush=True)
    return {"batch_size": size, "seconds": seconds, "median_seconds": median, "ratios": ratios}


def as_in_2022(box: HostBlackBox, probes: zest.ProbeSet, size: int) -> np.ndarray:
    """What the authors' code does, from its description: build everything, ask everything, one pseudo-inverse at a time."""
    mean, std = np.array(box.spec.mean), np.array(box.spec.std)
    n, samples = probes.n_references, probes.n_samples
    masks = probes.masks
    perturbed = np.empty((n, samples, *probes.references.shape[1:]), np.float64)
    for i in range(n):
        normalised = (probes.references[i] / 255 - mean) / std
        for j in range(samples):
            perturbed[i, j] = np.where(masks[i, j][probes.segments[i]][..., None], normalised, 0)
    perturbed = perturbed.reshape(n * samples, *perturbed.shape[2:])
    outputs = []
    for start in range(0, len(perturbed), size):
        batch = perturbed[start : start + size].astype(np.float32).transpose(0, 3, 1, 2)
        outputs.append(box.ask(np.ascontiguousarray(batch)))
    answers = np.concatenate(outputs).reshape(n, samples, -1)
    weights = []
    for i, k in enumerate(probes.n_segments):
        weights.append(np.linalg.pinv(masks[i, :, :k].astype(np.float64)) @ answers[i])
    return np.concatenate(weights)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
