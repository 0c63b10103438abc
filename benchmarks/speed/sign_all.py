"""Time many models signed by Ray on two nodes of this machine, against the plain loop and against two plain processes.

    python -m benchmarks.speed.sign_all

The models are copies of the golden ONNX models (ResNet20-sized, CIFAR-10), signed with the same probes into a store, which all
ways fill as `zest sign-all` does. In every round, in turn:

loop       one process, one model after the other, each with all cores
ray        a Ray cluster of two nodes with one CPU each, one model a task, one thread a model
processes  two processes side by side without Ray, each with one thread and half of the models

Without start-up: from the moment when all processes have signed a small probe set, so that libraries are loaded and most is
compiled, until the last model is in the store. Start-up is told beside it, in its parts: what it takes until that moment, from
nothing, with a new cluster, new workers and new processes in every round. For the loop that is a new process that signs the small
probe set. The ratio with start-up is that of the sums; how much of it start-up is depends on the number of models.

Ratios below 1 are no magic: two models side by side use two cores better than one model with two threads. What Ray itself costs
is ray / processes. Expected on a quiet machine with two cores: ray / loop <= 1.15 without start-up. Takes about 25 minutes there.
"""

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import pathlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import tyro

import zest_jax as zest
from benchmarks.photographs import golden_images
from benchmarks.record import ROOT, command, environment, write
from zest_jax.cores import limit_cores
from zest_jax.data import load_images
from zest_jax.many import Job, RayTasks, sign_all
from zest_jax.screening import Store

GOLDEN = ROOT / "tests" / "golden"
WAYS = ("loop", "ray", "processes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    models: int = 8
    """Models in the store."""
    n_references: int = 32
    """N."""
    n_samples: int = 1000
    """L, masks per reference."""
    rounds: int = 3
    """Every round times every way once; ratios are medians over rounds."""
    images: Literal["cifar10", "golden"] = "cifar10"
    """The images that references are taken from."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/sign_all."""


def main(options: Options) -> None:
    with np.load(GOLDEN / "probes.npz") as data:
        mean, std, golden = data["mean"], data["std"], data["images"]
    images = golden if options.images == "golden" else load_images("cifar10", limit=options.n_references).images
    if options.images == "golden" and options.n_references > len(images):
        images = golden_images(options.n_references)
    how = {"references": "first", "fill": mean, "progress": False}
    probes = zest.image_probes(images, options.n_references, options.n_samples, 0, **how)
    small = zest.image_probes(images, 2, 200, 0, segmenter="grid", **how)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    result: dict[str, Any] = {
        "benchmark": "speed/sign_all",
        "command": command("benchmarks.speed.sign_all"),
        "environment": environment("onnxruntime", "pylance", "ray"),
        "options": {**dataclasses.asdict(options), "output": None},
        "probes": {"samples": probes.n_references * probes.n_samples, "distinct": probes.n_queries},
    }
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    started: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory(prefix="zest-") as root:
        folder = pathlib.Path(root)
        jobs = copies(folder, options.models, mean, std)
        for i in range(options.rounds):
            stores = {}
            # Another way first in every round.
            for name in WAYS[i % 3 :] + WAYS[: i % 3]:
                store = stores[name] = folder / f"{name}-{i}.store"
                way = by_ray if name == "ray" else by_processes
                parts, took = way(jobs, probes, small, store, 1 if name == "loop" else 2)
                seconds[name].append(took)
                started[name].append(parts)
                print(f"round {i + 1} of {options.rounds}: {name} {took:.1f} s, start-up {parts}", flush=True)
            result["largest difference of weights, relative"] = compare(stores, [job.name for job in jobs])
            result |= {"seconds": seconds, "start-up seconds": started, "ratios": ratios(seconds, started)}
            write("speed/sign_all", result, options.output)
    for name, ratio in result["ratios"].items():
        print(f"  {name}: {ratio:.4g}", flush=True)


def copies(folder: pathlib.Path, n: int, mean: np.ndarray, std: np.ndarray) -> list[Job]:
    """Copies of the golden models, each a file of its own."""
    originals = sorted((GOLDEN / "models").glob("*.onnx"))
    jobs = []
    for i in range(n):
        path = folder / f"model-{i}.onnx"
        shutil.copy(originals[i % len(originals)], path)
        jobs.append(Job(name=path.stem, model=str(path), load={"mean": mean.tolist(), "std": std.tolist()}))
    return jobs


def by_processes(
    jobs: list[Job], probes: zest.ProbeSet, small: zest.ProbeSet, store: pathlib.Path, n: int
) -> tuple[dict[str, float], float]:
    """Sign by so many new processes; returns the seconds of their start-up, and of the rest."""
    began = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(n + 1)
    with environ({}):
        if n > 1:
            # As in the workers of Ray.
            limit_cores(1)
        running = [context.Process(target=part, args=(jobs[i::n], probes, small, store, i, ready)) for i in range(n)]
        for process in running:
            process.start()
    ready.wait()
    start = time.perf_counter()
    for process in running:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a process ended with code {process.exitcode}")
    return {"processes": start - began}, time.perf_counter() - start


def part(
    jobs: list[Job], probes: zest.ProbeSet, small: zest.ProbeSet, store: pathlib.Path, number: int, ready: Any
) -> None:
    """What one process does."""
    sign_all(jobs[:1], small, store.with_name(f"{store.name}-small-{number}"))
    ready.wait()
    if sign_all(jobs, probes, store).failed:
        raise RuntimeError("a model could not be signed")


def by_ray(
    jobs: list[Job], probes: zest.ProbeSet, small: zest.ProbeSet, store: pathlib.Path, n: int
) -> tuple[dict[str, float], float]:
    """Sign by a new cluster of so many nodes; returns the seconds of its start-up in parts, and of the rest."""
    import ray
    from ray.cluster_utils import Cluster

    began = time.perf_counter()
    with environ({"RAY_TMPDIR": str(store.parent)}):
        settings = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=settings)
        try:
            for _ in range(n - 1):
                cluster.add_node(**settings)
            nodes = time.perf_counter()
            ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            joined = time.perf_counter()
            # More than there are nodes, so that a worker process of each takes part.
            sign_all(jobs[: 2 * n], small, store.with_name(f"{store.name}-small"), by=RayTasks())
            start = time.perf_counter()
            found = sign_all(jobs, probes, store, by=RayTasks())
            end = time.perf_counter()
        finally:
            ray.shutdown()
            cluster.shutdown()
    if found.failed:
        raise RuntimeError(f"a model could not be signed: {found.failed[0].error}")
    return {"nodes": nodes - began, "joining": joined - nodes, "workers": start - joined}, end - start


@contextlib.contextmanager
def environ(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def compare(stores: dict[str, pathlib.Path], names: list[str]) -> float:
    """All ways must give the same signatures."""
    found = [Store.open(store).load(names) for store in stores.values()]
    scale = max(np.abs(signature.weights).max() for signature in found[0])
    return max(
        float(np.abs(a.weights - b.weights).max() / scale) for other in found[1:] for a, b in zip(found[0], other)
    )


def ratios(seconds: dict[str, list[float]], started: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    whole = {name: [s + sum(parts.values()) for s, parts in zip(seconds[name], started[name])] for name in WAYS}
    found = {}
    for a, b in (("ray", "loop"), ("processes", "loop"), ("ray", "processes")):
        for text, times in (("", seconds), (", with start-up", whole)):
            found[f"{a} / {b}{text}"] = statistics.median(np.divide(times[a], times[b]).tolist())
    return found


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
