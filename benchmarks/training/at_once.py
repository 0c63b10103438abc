"""How many trainings at once, each in a process of its own, fill a GPU: images per second of all of them together.

    python -m benchmarks.training.at_once --processes 1 5 8

Each trains the paper's ResNet20 on CIFAR-10 with batches of 128 and keeps every epoch, as `zest paper --preset paper` does with
`--processes`; the first epoch, which compiles, is not timed. Kernels of so small a model leave most of a GPU idle, and those of
several processes run beside each other only under NVIDIA's MPS (`nvidia-cuda-mps-control -d`); without it they fill the pauses of
each other. Takes a minute for each number of processes on an H100.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import tempfile
import time
from typing import Any, Literal

import tyro

from benchmarks.record import RESULTS, command, environment, write
from zest_jax.data import Dataset, load_dataset
from zest_jax.models import ModelConfig
from zest_jax.training import LineageStep, Recipe, recipe, start_checkpoint
from zest_jax.training.loop import finish
from zest_jax.training.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is trained, and where the result goes."""

    processes: tuple[int, ...] = (1, 5)
    """Numbers of processes."""
    epochs: int = 4
    """Of each training, of which the first is not timed."""
    data: str = "cifar10"
    """TFDS name, folder or file."""
    limit: int | None = None
    """Of the training images."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Type to compute in."""
    note: str = ""
    """What a reader has to know, such as "under MPS"; part of the file's name."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device and the note, in benchmarks/results/training/at_once."""


def main(options: Options) -> None:
    # Each process takes its share of the memory, and this one asks for the device's name.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / (max(options.processes) + 1):.3f}")
    data = load_dataset(options.data, limit=options.limit)
    test = load_dataset(options.data, split="test")
    how = dataclasses.replace(recipe("paper-cifar10"), dtype=options.dtype).lasting(options.epochs)
    images = (options.epochs - 1) * (len(data) // how.batch_size) * how.batch_size
    found: dict[str, Any] = {}
    for processes in options.processes:
        seconds = timed(processes, data, test, how)
        found[str(processes)] = {"seconds": seconds, "images_per_second": processes * images / max(seconds)}
        print(f"{processes} at once: {found[str(processes)]['images_per_second']:,.0f} images/s", flush=True)
    result = {
        "benchmark": "training/at_once",
        "command": command("benchmarks.training.at_once"),
        "environment": environment("flax", "optax", "orbax-checkpoint"),
        "options": {**dataclasses.asdict(options), "output": None},
        "images_of_each": images,
        "processes": found,
    }
    parts = [result["environment"]["device"], *options.note.split()]
    name = "-".join(" ".join(parts).lower().split())
    write("training/at_once", result, options.output or RESULTS / "training" / "at_once" / f"{name}.json")


def timed(processes: int, data: Dataset, test: Dataset, how: Recipe) -> list[float]:
    """Seconds that each took for all epochs but the first, begun together."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        ready = manager.Barrier(processes)
        with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
            waiting = [pool.submit(one, seed, data, test, how, ready) for seed in range(processes)]
            return [done.result() for done in waiting]


def one(seed: int, data: Dataset, test: Dataset, how: Recipe, ready: Any) -> float:
    config = ModelConfig(name="resnet20", num_classes=data.num_classes)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            start_checkpoint(config, data, seed=seed),
            data,
            how,
            seed=seed,
            step=LineageStep(kind="train"),
            folder=pathlib.Path(folder) / "run",
            test=test,
            save_every=1,
        )
        try:
            try:
                finish([run], progress=False, until=1)
            except BaseException:
                ready.abort()  # the others would wait for ever
                raise
            ready.wait()
            began = time.perf_counter()
            finish([run], progress=False)
            return time.perf_counter() - began
        finally:
            run.close()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
