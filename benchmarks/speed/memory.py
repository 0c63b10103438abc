"""Measure the peak memory of signing above the model's own, at 32 x 32 and at 224 x 224 x 3.

    python -m benchmarks.speed.memory

N = 128 references, L = 1000 masks. Each size runs in a process of its own, which loads the model, resets the kernel's
high-water mark of resident memory, answers three batches (that peak is the model's own), resets it again, loads the
probes and signs with a checkpoint, as `zest sign` does. Linux only, because of that mark.

At 32: the golden `victim.onnx`. At 224: a pooled linear model
with 1000 classes, because 128,000 answers of a real network would take hours and its own memory is not what is measured;
composition, buffers and fits are those of any 1000-class model. Expected: <= 300 MiB at 32, <= 1 GiB at 224. Takes about ten
minutes on two cores.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import zest_jax as zest
from benchmarks.photographs import crops, golden_images
from benchmarks.record import ROOT, command, environment, write
from zest_jax.blackbox.batches import default_batch_size
from zest_jax.data import load_images

GOLDEN = ROOT / "tests" / "golden"
CLASSES = 1000
POOL = 16


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, and where the result goes."""

    sizes: tuple[int, ...] = (32, 224)
    """Pixels on a side."""
    n_references: int = 128
    """N."""
    n_samples: int = 1000
    """L, masks per reference."""
    images: str = "cifar10"
    """TFDS name of the 32 x 32 images, or "golden"; the 224 x 224 ones are crops of real photographs."""
    seed: int = 0
    """Of crops and masks."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/memory."""
    measure: tuple[int, pathlib.Path] | None = None
    """Internal: measure one size with the probes in a file, print JSON."""


def main(options: Options) -> None:
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    result: dict[str, Any] = {
        "benchmark": "speed/memory",
        "command": command("benchmarks.speed.memory"),
        "environment": environment("onnxruntime"),
        "options": {**asdict(options), "output": None},
        "sizes": {},
    }
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "probes.npz")
            probes = make_probes(size, options)
            probes.save(path)
            arguments = [sys.executable, "-m", "benchmarks.speed.memory", "--measure", str(size), str(path)]
            done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        found["dense_build_mib"] = probes.n_references * probes.n_samples * size * size * 3 * 4 / 2**20
        found["probes"] = repr(probes)
        result["sizes"][str(size)] = found
        print(
            f"{size} x {size}: {found['above_model_mib']:.0f} MiB above the model's own {found['model_mib']:.0f} MiB",
            flush=True,
        )
        write("speed/memory", result, options.output)


def make_probes(size: int, options: Options) -> zest.ProbeSet:
    if size == 32 and options.images == "golden":
        images = golden_images(options.n_references)
    elif size == 32:
        images = load_images(options.images, limit=options.n_references).images
    else:
        images = crops(options.n_references, size, options.seed)
    return zest.image_probes(
        images,
        options.n_references,
        options.n_samples,
        options.seed,
        references="first",
        segmenter="quickshift-jax",
        progress=False,
    )


def measure(size: int, path: pathlib.Path) -> dict[str, Any]:
    box = make_box(size)
    batch = default_batch_size((size, size, 3), [box])
    inputs = np.zeros((batch, size, size, 3), np.float32)
    box(inputs)
    reset_peak()
    for _ in range(3):
        box(inputs)
    own = peak()
    reset_peak()
    start = time.perf_counter()
    zest.sign(box, zest.ProbeSet.load(path), progress=True, checkpoint=path.with_suffix(".partial"))
    return {
        "model": box.label,
        "batch_size": batch,
        "model_mib": own,
        "above_model_mib": peak() - own,
        "seconds": time.perf_counter() - start,
    }


def make_box(size: int) -> zest.BlackBox:
    if size == 32:
        with np.load(GOLDEN / "probes.npz") as data:
            return zest.from_onnx(GOLDEN / "models" / "victim.onnx", mean=data["mean"], std=data["std"])
    side = size // POOL
    weights = np.random.default_rng(0).normal(size=(side * side * 3, CLASSES)).astype(np.float32)

    def pooled_linear(w: jax.Array, x: jax.Array) -> jax.Array:
        cells = x.reshape(len(x), side, POOL, side, POOL, 3).mean((2, 4))
        return jnp.tanh(cells.reshape(len(x), -1) @ w)

    return zest.from_jax(pooled_linear, weights, label="pooled linear, 1000 classes")


def reset_peak() -> None:
    """Set the high-water mark of this process to what it uses now (proc(5), clear_refs)."""
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> float:
    """Peak resident memory of this process since the last reset, MiB."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
