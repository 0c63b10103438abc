"""Build the small zoo on CIFAR-10, and measure how far each of its models is from the victim.

    python -m benchmarks.zoo.small --out zoo/

The paper (Table 1, Figures 5 and 6): models made from the victim are nearer to it than models trained independently. Builds
`configs/zoo/cifar10-small.py` (or goes on with it), signs all of its models on the same probes, and writes the index, the
distances and a table to benchmarks/results/zoo/<name of the zoo>. Under an hour on two cores.
"""

import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np
import tyro

import zest_jax as zest
from benchmarks.record import RESULTS, ROOT, command, environment, write
from zest_jax.cli.console import note
from zest_jax.data import load_dataset
from zest_jax.zoo import IndexEntry, build_zoo, load_zoo
from zest_jax.zoo.build import BUILDS_FILE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is built, and how it is compared."""

    config: pathlib.Path = ROOT / "configs" / "zoo" / "cifar10-small.py"
    """Configuration of the zoo."""
    out: pathlib.Path = pathlib.Path("zoo")
    """Folder of the zoo."""
    victim: str = "victim"
    """The model that distances are measured to."""
    data: str = "cifar10"
    """Where the references come from: training images, as in the paper."""
    n_references: int = 32
    """References; the paper has 128."""
    n_samples: int = 256
    """Masks per reference; the paper has 1000."""
    seed: int = 0
    """Of references and masks."""
    jobs: int | None = None
    """Models made at a time."""


def main(options: Options) -> None:
    began = time.perf_counter()
    zoo = load_zoo(options.config)
    index = build_zoo(options.config, options.out, jobs=options.jobs, say=note)
    built = time.perf_counter()
    images = load_dataset(options.data).inputs
    probes = zest.image_probes(images, options.n_references, options.n_samples, options.seed)
    boxes = [zest.load_model(options.out / entry.path, label=entry.name) for entry in index]
    # Dynamic scales make an answer depend on the rest of its batch, which signing refuses unless it is told.
    dynamic = [entry.settings["type"] == "QuantizeOnnx" for entry in index]
    steady = [box for box, moves in zip(boxes, dynamic, strict=True) if not moves]
    found = iter(zest.sign_many(steady, probes, checkpoint=options.out / "signing.partial", progress=True))
    signatures = [
        zest.sign(box, probes, check=False) if moves else next(found) for box, moves in zip(boxes, dynamic, strict=True)
    ]
    matrix = np.array(zest.distance_matrix(signatures))
    signed = time.perf_counter()
    names = [entry.name for entry in index]
    rows = compared(index, matrix, names.index(options.victim))
    builds = [json.loads(line) for line in (options.out / BUILDS_FILE).read_text(encoding="utf-8").splitlines()]
    result: dict[str, Any] = {
        "benchmark": "zoo/small",
        "command": command("benchmarks.zoo.small"),
        "environment": environment("flax", "optax"),
        "options": {**dataclasses.asdict(options), "config": options.config.name, "out": None},
        "builds": builds,
        "seconds": {"build in this run": round(built - began, 1), "signing and distances": round(signed - built, 1)},
        "models": rows,
        "matrix": np.round(matrix, 5).tolist(),
    }
    folder = RESULTS / "zoo" / zoo.name
    write("zoo", result, folder / "distances.json")
    (folder / "index.json").write_text((options.out / "index.json").read_text(encoding="utf-8"), encoding="utf-8")
    text = table(rows)
    (folder / "table.md").write_text(text, encoding="utf-8")
    print(text)


def compared(index: list[IndexEntry], matrix: np.ndarray, victim: int) -> list[dict[str, Any]]:
    """For each model its accuracy, and its distance to the victim, plain and relative to independent models.

    Relative to those of the victim's architecture that were trained from random weights on labels, as in the paper's
    Appendix C: ensembles of independent models are nearer, since they are smoother.
    """
    # A model that learnt from the victim, or was made from it in any number of steps, has it among its ancestors.
    independent = [victim not in _ancestors(index, i) and i != victim for i in range(len(index))]
    others = [
        i
        for i, entry in enumerate(index)
        if independent[i] and not entry.parents and entry.model == index[victim].model
    ]
    if not others:
        raise ValueError("the zoo has no independent model of the victim's architecture to compare with")
    mean = float(matrix[victim, others].mean())
    return [
        {
            "model": entry.name,
            "kind": entry.kind,
            "parents": list(entry.parents),
            "accuracy": entry.accuracy,
            "distance": round(float(matrix[victim, i]), 5),
            "relative": round(float(matrix[victim, i]) / mean, 4),
            "independent": independent[i],
            "in the mean": i in others,
        }
        for i, entry in enumerate(index)
    ]


def _ancestors(index: list[IndexEntry], i: int) -> set[int]:
    names = [entry.name for entry in index]
    parents = {names.index(parent) for parent in index[i].parents}
    return parents.union(*(_ancestors(index, parent) for parent in parents))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, nearest first."""
    lines = [
        "| model | how it was made | accuracy | distance to the victim | relative |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row["distance"]):
        made = row["kind"]
        if row["independent"]:
            made = f"{row['kind']} of {row['parents'][0]}, independent" if row["parents"] else "independent"
        accuracy = "-" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        lines.append(f"| {row['model']} | {made} | {accuracy} | {row['distance']:.4f} | {row['relative']:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Options))
