"""Search a store of 10,000 models: how long, how surely, in how much memory.

    python -m benchmarks.speed.screen --signatures signatures/

The store holds the twelve real signatures of `benchmarks/speed/screen_models.py` (made first where they are not there) and, up
to 10,000, disturbed ones: a real one, half of the time mixed with up to as much of another (as models in between), plus Gaussian
noise of 0.01 to 1 times the weights' size around each reference and class, log-uniform; half of them have permuted classes and no
names. Suspects are the real ones and as many disturbed ones that are not in the store. Every family has about 830 members whose
noises differ by one percent, so that the tenth and the eleventh nearest are hardly apart: harder than a store of trained models.

Measured: additions, in groups and one at a time; searches within a process and through the command line (which starts Python),
with the largest memory of the latter; recall@10, the share of the ten nearest models by exact distances to all that are among the
candidates of the sketch stage, hence found, and that are among the ten nearest by sketches alone; the sketch stage in NumPy
(ours), in JAX, and by Lance's index of multivectors, side by side; distances of all pairs of 1,000 models with greedy alignment;
and how time and memory of a search grow with the store, up to 50,000 models, from which `benchmarks/speed/sizing.py` computes
what larger ones need. Bars, on two cores: search <= 2 s, recall >= 0.99, all pairs <= 60 s, >= 100 additions/s, <= 2 GiB. Takes
about fifteen minutes, and 6 GB on disk.
Beside the seconds that pass stand those that processors work, of both cores together, which other work on the machine disturbs
less.
"""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tyro

from benchmarks.record import command, environment, write
from benchmarks.speed import screen_models
from zest_jax.screening import Filter, Metadata, SearchSettings, Store, distance_table, screen
from zest_jax.screening.exact import distances_to
from zest_jax.screening.search import estimated
from zest_jax.screening.sketch import Sketch, make_sketch
from zest_jax.signature import Signature

GROUP = 256
# Models added one at a time.
SINGLE = 50
# Models in the smallest store whose searches are timed.
SMALLEST = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    signatures: pathlib.Path
    """Folder of the real signatures."""
    models: int = 10_000
    """In the store."""
    pairwise: int = 1000
    """Models of which all distances are computed."""
    suspects: int = 24
    """The real ones first."""
    repeats: int = 5
    """Searches through the command line."""
    largest: int = 50_000
    """Models up to which the store grows in the end, to see how a search does."""
    index: bool = True
    """Build Lance's index too."""
    seed: int = 0
    """Of the disturbances."""
    store: pathlib.Path | None = None
    """Where the store is made; by default in a temporary folder."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/screen."""


def main(options: Options) -> None:
    at_start = environment("pylance", "pyarrow")
    real = screen_models.main(screen_models.Options(folder=options.signatures))
    rng = np.random.default_rng(options.seed)
    suspects = real[: options.suspects]
    suspects = [*suspects, *(disturbed(real, rng, f"suspect-{i}") for i in range(options.suspects - len(suspects)))]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(str(options.store or pathlib.Path(folder) / "models.store"), like=real[0])
        result: dict[str, Any] = {
            "benchmark": "speed/screen",
            "command": command("benchmarks.speed.screen"),
            "environment": at_start,
            "options": {**dataclasses.asdict(options), "signatures": None, "store": None, "output": None},
            # None: as many as there are cores. On a machine that others use, threads that wait for each other get little done.
            "threads of NumPy": os.environ.get("OPENBLAS_NUM_THREADS"),
            "signature": {
                "references": len(real[0].segment_counts),
                "weights per class": len(real[0].weights),
                "classes": real[0].n_classes,
                "bytes": len(real[0].to_bytes()),
            },
        }
        exact = fill(store, real, suspects, rng, options, result)
        result["store bytes"] = sum(f.stat().st_size for f in pathlib.Path(store.uri).rglob("*") if f.is_file())
        searches(store, suspects, exact, options, result)
        clock = Clock()
        entries, _ = distance_table(store, where=Filter(owner=("pairwise",)), align="greedy")
        result["all pairs"] = {"models": len(entries), **clock.read()}
        print("all pairs", result["all pairs"], flush=True)
        result["sketch stage, seconds"] = sketch_stages(store, suspects, exact, index=options.index)
        result["growth"] = growth(store, real, suspects, rng, options)
    for name in ("additions", "search", "recall", "sketch stage, seconds", "all pairs", "growth"):
        print(name, result[name], flush=True)
    write("speed/screen", result, options.output)


class Clock:
    """Seconds since it was made: those that passed, and those that the processors worked for this process."""

    def __init__(self) -> None:
        self.began, self.worked = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {
            "seconds": round(time.perf_counter() - self.began, 4),
            "processor seconds": round(time.process_time() - self.worked, 4),
        }


def disturbed(real: list[Signature], rng: np.random.Generator, label: str) -> Signature:
    a, b = rng.choice(len(real), 2, replace=False)
    share = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0
    weights = (1 - share) * real[a].weights + share * real[b].weights
    starts = np.concatenate([[0], np.cumsum(real[a].segment_counts)[:-1]])
    size = np.sqrt(np.add.reduceat(np.square(weights), starts) / real[a].segment_counts[:, None])
    noise = rng.normal(size=weights.shape) * np.repeat(size, real[a].segment_counts, axis=0)
    weights = (weights + 10 ** rng.uniform(-2, 0) * noise).astype(np.float32)
    names = real[a].class_names
    if rng.random() < 0.5:
        weights, names = weights[:, rng.permutation(weights.shape[1])], None
    return dataclasses.replace(real[a], weights=weights, label=label, class_names=names)


def fill(
    store: Store,
    real: list[Signature],
    suspects: list[Signature],
    rng: np.random.Generator,
    options: Options,
    result: dict[str, Any],
) -> dict[str, np.ndarray]:
    """Add all models; returns the exact distances to them by suspect. The last are added one at a time."""
    exact: dict[str, list[np.ndarray]] = {suspect.label: [] for suspect in suspects}
    seconds, worked, grouped = 0.0, 0.0, 0
    singles: list[dict[str, float]] = []
    for models in groups(real, rng, options.models, options.pairwise):
        for suspect in suspects:
            exact[suspect.label].append(distances_to(suspect, models))
        done = len(store)
        owner = Metadata(owner="pairwise" if done + len(models) <= options.pairwise else None)
        if len(models) > 1:
            clock = Clock()
            store.add(models, metadata=owner)
            took = clock.read()
            seconds, worked = seconds + took["seconds"], worked + took["processor seconds"]
            grouped += len(models)
        else:
            clock = Clock()
            store.add(models)
            singles.append(clock.read())
        if done // 2048 != len(store) // 2048:
            print(f"{len(store)} models", flush=True)
    result["additions"] = {
        f"per second, {GROUP} at a time": round(grouped / seconds, 1),
        f"per processor second, {GROUP} at a time": round(grouped / worked, 1),
        "per second, one at a time": round(1 / statistics.mean(each["seconds"] for each in singles), 1),
        "per processor second, one at a time": round(
            1 / statistics.mean(each["processor seconds"] for each in singles), 1
        ),
    }
    return {label: np.concatenate(parts) for label, parts in exact.items()}


def groups(real: list[Signature], rng: np.random.Generator, models: int, pairwise: int) -> Iterator[list[Signature]]:
    group = list(real)
    for i in range(len(real), models):
        group.append(disturbed(real, rng, f"model-{i:05}"))
        # A group ends with the first thousand models; single additions at the end.
        if len(group) == GROUP or i + 1 == pairwise or i >= models - SINGLE:
            yield group
            group = []


def searches(
    store: Store, suspects: list[Signature], exact: dict[str, np.ndarray], options: Options, result: dict[str, Any]
) -> None:
    names = [entry.name for entry in store.entries()]
    screen(suspects[0], store)
    took, among, alone = [], [], []
    for suspect in suspects:
        clock = Clock()
        found = screen(suspect, store)
        took.append(clock.read())
        nearest = {names[i] for i in np.argsort(exact[suspect.label], kind="stable")[:10]}
        among.append(len(nearest & {hit.entry.name for hit in found.hits}) / 10)
        ten = screen(suspect, store, settings=SearchSettings(candidates=10))
        alone.append(len(nearest & {hit.entry.name for hit in ten.hits}) / 10)
    through = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.repeats):
            path = pathlib.Path(folder) / f"{i}.sig"
            suspects[-1 - i].save(path)
            through.append(run_command("screen", str(path), "--store", store.uri))
    start = run_command("--version")
    seconds = [each["seconds"] for each in took]
    result["search"] = {
        "seconds in a process, median": round(statistics.median(seconds), 3),
        "seconds in a process, longest": round(max(seconds), 3),
        "processor seconds in a process, median": round(statistics.median(e["processor seconds"] for e in took), 3),
        "seconds through the command line": [each["seconds"] for each in through],
        "processor seconds through the command line": [each["processor seconds"] for each in through],
        "seconds to start the command line": start["seconds"],
        "processor seconds to start the command line": start["processor seconds"],
        "memory through the command line, MiB": max(each["MiB"] for each in through),
    }
    result["recall"] = {
        "candidates": SearchSettings().candidates,
        "suspects": len(suspects),
        "recall@10": round(statistics.mean(among), 4),
        "recall@10, lowest": min(among),
        "recall@10 of sketches alone": round(statistics.mean(alone), 4),
    }


def growth(
    store: Store, real: list[Signature], suspects: list[Signature], rng: np.random.Generator, options: Options
) -> list[dict[str, float]]:
    """Searches in stores of growing size: older versions of this one, itself, and more models added to it."""
    parts: dict[int, Store] = {}
    for version in store.versions():
        older = Store.open(store.uri, version=version.number)
        if len(older) >= SMALLEST and len(older) >= 2 * max(parts, default=0):
            parts[len(older)] = older
    sizes = [len(store)]
    while sizes[-1] < options.largest:
        sizes.append(min(options.largest, round(2.24 * sizes[-1])))
    parts = {size: part for size, part in parts.items() if size < 0.75 * sizes[0]}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "suspect.sig"
        suspects[0].save(path)
        for size, part in [*parts.items(), *((size, None) for size in sizes)]:
            group: list[Signature] = []
            for i in range(len(store), size if part is None else 0):
                group.append(disturbed(real, rng, f"more-{i:06}"))
                if len(group) == GROUP or i + 1 == size:
                    store.add(group)
                    group = []
            searched = part or store
            screen(suspects[0], searched)
            took = []
            for suspect in suspects[:8]:
                clock = Clock()
                screen(suspect, searched)
                took.append(clock.read())
            command_line = run_command(
                "screen", str(path), "--store", store.uri, *(("--version", str(part.version)) if part else ())
            )
            found.append(
                {
                    "models": size,
                    "seconds in a process, median": statistics.median(each["seconds"] for each in took),
                    "seconds through the command line": command_line["seconds"],
                    "memory through the command line, MiB": command_line["MiB"],
                }
            )
            print(found[-1], flush=True)
    return found


def run_command(*arguments: str) -> dict[str, float]:
    """Seconds and the largest memory of a `zest` command."""
    # What the system reports of a child counts what its parent had when it began; only the child itself knows.
    code = (
        "import re, sys; from zest_jax.cli.main import main; code = main(); "
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1], file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    told = process.stderr.read().split()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"zest {' '.join(arguments)} ended with exit code {process.returncode}: {' '.join(told)}")
    return {
        "seconds": round(seconds, 2),
        "processor seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "MiB": round(int(told[-1]) / 1024),
    }


def sketch_stages(
    store: Store, suspects: list[Signature], exact: dict[str, np.ndarray], *, index: bool
) -> dict[str, Any]:
    """The first stage in three ways: reading and scoring all sketches, keeping 200."""
    import jax
    import jax.numpy as jnp
    import lance

    queries = [make_sketch(suspect.weights, store.header.sketch) for suspect in suspects]

    @jax.jit
    def in_jax(mine: jax.Array, sizes: jax.Array, vectors: jax.Array, norms: jax.Array) -> jax.Array:
        flat = vectors.reshape(-1, vectors.shape[2]).astype(jnp.float32) @ mine.T
        cosines = flat.reshape(len(vectors), vectors.shape[1], len(mine)).transpose(0, 2, 1)
        best = cosines.argmax(axis=2)
        theirs = jnp.take_along_axis(norms, best, axis=1)
        product = (jnp.take_along_axis(cosines, best[:, :, None], axis=2)[:, :, 0] * sizes * theirs).sum(axis=1)
        return 1 - product / jnp.sqrt(jnp.square(sizes).sum() * jnp.square(theirs).sum(axis=1))

    def by_numpy(query: Sketch) -> np.ndarray:
        return np.argsort(np.concatenate([estimated(query, None, batch) for batch in store.sketches()]))[:200]

    def by_jax(query: Sketch) -> np.ndarray:
        found = []
        for batch in store.sketches():
            # All models have ten classes here; batches are filled up to one shape, so that one compilation does.
            vectors = np.zeros((8192, 10, batch.vectors.shape[1]), np.float16)
            norms = np.ones((8192, 10), np.float32)
            vectors[: len(batch.rows)] = batch.vectors.reshape(-1, 10, batch.vectors.shape[1])
            norms[: len(batch.rows)] = batch.norms.reshape(-1, 10)
            found.append(
                np.asarray(in_jax(query.vectors.astype(np.float32), query.norms, vectors, norms))[: len(batch.rows)]
            )
        return np.argsort(np.concatenate(found))[:200]

    names = np.array([entry.name for entry in store.entries()])
    stages: dict[str, Callable[[Sketch], Any]] = {"NumPy": by_numpy, "JAX": by_jax}
    result: dict[str, Any] = {}
    dataset = lance.dataset(store.uri)

    def by_lance(query: Sketch) -> np.ndarray:
        nearest = {"column": "sketch", "q": query.vectors, "k": 200, "metric": "cosine", **probing}
        table = dataset.scanner(columns=["name", "_distance"], nearest=nearest).to_table()
        return np.flatnonzero(np.isin(names, table["name"].to_numpy(zero_copy_only=False)))

    probing: dict[str, Any] = {}
    stages["Lance, no index"] = by_lance
    for name, stage in stages.items():
        result[name] = timed(stage, queries, suspects, exact)
    if not index:
        return result
    clock = Clock()
    dataset.create_index("sketch", "IVF_PQ", metric="cosine", num_partitions=64, num_sub_vectors=32)
    building = clock.read()
    dataset = lance.dataset(store.uri)
    probing = {"nprobes": 16, "refine_factor": 5}
    result["Lance, IVF_PQ index"] = {
        **timed(by_lance, queries, suspects, exact),
        "building": building,
    }
    return result


def timed(
    stage: Callable[[Sketch], Any], queries: list[Sketch], suspects: list[Signature], exact: dict[str, np.ndarray]
) -> dict[str, float]:
    began = time.perf_counter()
    stage(queries[0])
    first = time.perf_counter() - began
    took, recalls = [], []
    for query, suspect in zip(queries, suspects, strict=True):
        clock = Clock()
        found = stage(query)
        took.append(clock.read())
        nearest = np.argsort(exact[suspect.label], kind="stable")[:10]
        recalls.append(len(set(nearest.tolist()) & set(found.tolist())) / 10)
    return {
        "first": round(first, 3),
        "median of the others": statistics.median(each["seconds"] for each in took),
        "processor seconds": statistics.median(each["processor seconds"] for each in took),
        "recall@10 among 200": round(statistics.mean(recalls), 4),
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
