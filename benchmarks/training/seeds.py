"""Train the paper's ResNet20 on CIFAR-10 with several seeds, keeping 40 checkpoints of each (section 4.1, Figure 2).

    python -m benchmarks.training.seeds --out seeds/

The paper: 91.77 (+-0.17)% after 200 epochs of the recipe `paper-cifar10`. Goes on where it was interrupted, or where `--minutes`
were over; the times of all parts are in the result. Meant for an accelerator: five seeds take days on two CPU cores. `--compare`
instead times one step of all seeds under `jax.vmap` against as many single steps, which decides what "auto" of `train_seeds` does
on a kind of device (about five minutes on two cores).
"""

import _thread
import dataclasses
import json
import pathlib
import statistics
import threading
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.record import command, environment, write
from zest_jax.data import Dataset, load_dataset
from zest_jax.models import ModelConfig
from zest_jax.training import LineageStep, Recipe, recipe, start_checkpoint, train_seeds
from zest_jax.training.engine import train_steps, train_steps_together
from zest_jax.training.run import Run

_PARTS_FILE = "parts.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is trained, and where the result goes."""

    out: pathlib.Path = pathlib.Path("seeds")
    """Folder of the runs."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One model each."""
    data: str = "cifar10"
    """TFDS name, folder or file."""
    epochs: int | None = None
    """Passes over the data; the recipe has 200."""
    checkpoints: int = 40
    """Of each seed, equally far apart."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type to compute in."""
    minutes: float | None = None
    """Stop after so many, as if interrupted."""
    compare: bool = False
    """Time steps together against steps one after the other, and train nothing."""
    steps: int = 10
    """Steps of a round of `--compare`."""
    rounds: int = 3
    """Rounds of `--compare`, after an untimed one."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/training/seeds (or .../together)."""


def main(options: Options) -> None:
    data = load_dataset(options.data)
    how = dataclasses.replace(recipe("paper-cifar10"), dtype=options.dtype)
    how = dataclasses.replace(how, epochs=options.epochs or how.epochs)
    config = ModelConfig(name="resnet20", num_classes=data.num_classes)
    if options.compare:
        compare(config, data, how, options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    finished = trained(config, data, how, options)
    parts = [json.loads(line) for line in (options.out / _PARTS_FILE).read_text(encoding="utf-8").splitlines()]
    if finished is None:
        print(f"stopped after {options.minutes} minutes; the same command goes on")
        return
    accuracies = [result.checkpoint.info.accuracy for result in finished]
    result: dict[str, Any] = {
        "benchmark": "training/seeds",
        "command": command("benchmarks.training.seeds"),
        "environment": environment("flax", "optax", "orbax-checkpoint"),
        "options": {**dataclasses.asdict(options), "out": None, "output": None},
        "recipe": how.to_json(),
        "seconds_of_each_part": parts,
        "seconds": sum(part["seconds"] for part in parts),
        "accuracies": accuracies,
        "accuracy": {"mean": statistics.mean(accuracies), "deviation": statistics.pstdev(accuracies)},
        "histories": {str(seed): found.history for seed, found in zip(options.seeds, finished, strict=True)},
    }
    print({name: result[name] for name in ("seconds", "accuracies", "accuracy")})
    write("training/seeds", result, options.output)


def trained(config: ModelConfig, data: Dataset, how: Recipe, options: Options) -> Any:
    """The results, or None when the time was over first; the seconds that this part took are noted either way."""
    test = dataclasses.replace(load_dataset(options.data, split="test"), mean=data.mean, std=data.std)
    timer = None
    if options.minutes is not None:
        timer = threading.Timer(60 * options.minutes, _thread.interrupt_main)
        timer.start()
    began = time.perf_counter()
    every = max(1, how.epochs // options.checkpoints)
    try:
        return train_seeds(
            config, data, how, seeds=options.seeds, folder=options.out, test=test, save_every=every, progress=True
        )
    except KeyboardInterrupt:
        if timer is None or timer.is_alive():
            raise  # somebody else's
        return None
    finally:
        if timer is not None:
            timer.cancel()
        with (options.out / _PARTS_FILE).open("a", encoding="utf-8") as file:
            device = jax.devices()[0].device_kind
            file.write(json.dumps({"seconds": round(time.perf_counter() - began, 1), "device": device}) + "\n")


def compare(config: ModelConfig, data: Dataset, how: Recipe, options: Options) -> None:
    """Seconds of steps of all seeds, together and one after the other; rounds alternate."""
    runs = [
        Run(
            start_checkpoint(config, data, seed=seed),
            data,
            how,
            seed=seed,
            step=LineageStep(kind="train"),
            devices=jax.local_devices()[:1],
        )
        for seed in options.seeds
    ]
    plan, feed = runs[0].plan(), runs[0].feed.chunks(0)
    resident, first = next(feed)
    # Steps of one call, as training does them on this kind of device.
    per_call = min(len(first), options.steps)
    rows = first[:per_call]
    calls = -(-options.steps // per_call)
    keys = jax.random.wrap_key_data(jnp.stack([jax.random.key_data(run.key) for run in runs]))
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run.state for run in runs))
    many = np.stack([rows] * len(runs))
    seconds: dict[str, list[float]] = {"together": [], "one after the other": []}
    for i in range(options.rounds + 1):
        began = time.perf_counter()
        for _ in range(calls):
            states, _metrics = train_steps_together(plan, states, resident, many, keys)
        jax.block_until_ready(states)
        between = time.perf_counter()
        for run in runs:
            for _ in range(calls):
                run.state, _metrics = train_steps(plan, run.state, resident, rows, run.key)
        jax.block_until_ready([run.state for run in runs])
        if i:
            seconds["together"].append(between - began)
            seconds["one after the other"].append(time.perf_counter() - between)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    result = {
        "benchmark": "training/together",
        "command": command("benchmarks.training.seeds"),
        "environment": environment("flax", "optax"),
        "options": {**dataclasses.asdict(options), "out": None, "output": None},
        "seconds": seconds,
        "together / one after the other": {
            "median": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        },
    }
    print(result["together / one after the other"])
    write("training/together", result, options.output)


if __name__ == "__main__":
    main(tyro.cli(Options))
