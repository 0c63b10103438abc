"""`zest screen`: which models of a store is a suspect nearest to; which models of a store are near each other."""

import csv
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from zest_jax.cli.console import note, print_json, result_console
from zest_jax.cli.distance import number, warn_of_poor_fits
from zest_jax.cli.files import UsageError, check_model, kind_of, read_probes, read_signature
from zest_jax.cli.options import OFF, Common, ModelOptions, SolveOptions
from zest_jax.cli.store import FilterOptions, as_json

if TYPE_CHECKING:
    import numpy as np

    from zest_jax.screening import Entry, Screening, Store
    from zest_jax.signature import Signature

# A search opens every file of a store; more than these are worth a hint.
MANY_FILES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screen(Common):
    """Print the models of a store that are nearest to a suspect, nearest first; or, without a suspect, the nearest pairs in it.

    All models are compared by compact sketches, the most promising ones exactly, with their classes aligned.
    """

    suspect: Positional[
        Annotated[str | None, arg(metavar="SUSPECT", help_behavior_hint="(default: the models of the store)")]
    ] = None
    """A signature; or a model, which is signed first (with --probes)."""

    store: Annotated[str, arg(metavar="STORE")]
    """Folder or URL of the store, as `zest store add` made it."""

    top: Annotated[int, arg(metavar="N")] = 10
    """How many of the nearest are shown."""

    candidates: Annotated[int, arg(metavar="N")] = 200
    """Models to which exact distances are computed, the nearest by their sketches."""

    all: Annotated[bool, OFF] = False
    """Compute exact distances to all models, and show all."""

    align: Literal["auto", "greedy"] = "auto"
    """How classes are matched: auto by name when both models have the same class names, else greedy."""

    probes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(for a model as suspect)")] = None
    """Probe set of the store."""

    where: Annotated[FilterOptions, arg(name="filter")] = dataclasses.field(default_factory=FilterOptions)

    version: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the newest)")] = None
    """Search the store as it was at this version."""

    json: Annotated[bool, OFF] = False
    """Print JSON; without a suspect, with the whole matrix."""

    csv: Annotated[bool, OFF] = False
    """Print CSV; without a suspect, all pairs."""

    how: Annotated[ModelOptions, arg(name="model")] = dataclasses.field(default_factory=ModelOptions)
    solve: SolveOptions = dataclasses.field(default_factory=SolveOptions)

    def run(self) -> None:
        if self.json and self.csv:
            raise UsageError("--json and --csv contradict each other; choose one")
        if self.top < 1:
            raise UsageError(f"--top is {self.top}; give at least 1")
        from zest_jax.screening import Store

        store = Store.open(self.store, version=self.version)
        if store.n_files() > MANY_FILES:
            note(
                f"{self.store} consists of {store.n_files()} files, which slows the search; `zest store compact` helps"
            )
        if self.suspect is None:
            if self.probes is not None:
                raise UsageError("--probes is for a model as suspect, and none is given")
            self._among(store)
        else:
            self._one(self._signature(self.suspect, store), store)

    def _one(self, suspect: "Signature", store: "Store") -> None:
        from zest_jax.screening import SearchSettings, screen

        wanted = max(1, len(store)) if self.all else self.top
        settings = SearchSettings(
            top=wanted, candidates=None if self.all else max(self.candidates, wanted), align=self.align
        )
        found = screen(suspect, store, where=self.where.filter(), settings=settings)
        rows = [
            {**as_json(hit.entry), "distance": hit.distance, "sketched": hit.sketched, "rank": rank}
            for rank, hit in enumerate(found.hits, 1)
        ]
        if self.json:
            print_json(
                {
                    "suspect": suspect.label,
                    "store": self.store,
                    "version": store.version,
                    "filter": str(self.where.filter()),
                    "metric": "cosine",
                    "align": self.align,
                    "compared": found.compared,
                    "exact": found.exact,
                    "nearest": rows,
                }
            )
        elif self.csv:
            _print_csv(["rank", "name", "distance", "architecture", "data", "owner", "date", "classes"], rows)
        else:
            _print_hits(suspect.label, found)
        warn_of_poor_fits([suspect.label], [suspect])

    def _among(self, store: "Store") -> None:
        from zest_jax.screening import distance_table

        entries, matrix = distance_table(store, where=self.where.filter(), align=self.align)
        names = [entry.name for entry in entries]
        pairs = _pairs(names, matrix, None if self.all or self.csv else self.top)
        if self.json:
            models = [as_json(entry) for entry in entries]
            how = {"metric": "cosine", "align": self.align, "filter": str(self.where.filter())}
            print_json(
                {
                    "store": self.store,
                    "version": store.version,
                    **how,
                    "models": models,
                    "nearest": pairs,
                    "matrix": matrix,
                }
            )
        elif self.csv:
            _print_csv(["a", "b", "distance"], pairs)
        else:
            _print_pairs(pairs, entries)

    def _signature(self, suspect: str, store: "Store") -> "Signature":
        """Read the suspect, or sign it."""
        path = Path(suspect)
        if kind_of(path) == "signature" or self.probes is None:
            if self.probes is not None:
                raise UsageError(f"{suspect} is a signature already; leave --probes out")
            return read_signature(path)
        check_model(suspect)
        probes = read_probes(self.probes)
        if probes.hash != store.header.probe_hash:
            raise UsageError(
                f"--probes {self.probes} is probe set {probes.hash[:16]}, and {self.store} holds signatures of "
                f"{store.header.probe_hash[:16]}; give the probe set of the store"
            )
        from zest_jax.cli.sign import importable_from_here
        from zest_jax.signing import sign

        with importable_from_here():
            box = self.how.load(suspect)
        return sign(box, probes, progress=self.progress, **self.solve.arguments())


def _print_hits(label: str, found: "Screening") -> None:
    from rich import box
    from rich.table import Table

    table: Any = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("distance", justify="right", no_wrap=True)
    for name in ("architecture", "data", "owner"):
        table.add_column(name, overflow="fold")
    for rank, hit in enumerate(found.hits, 1):
        noted = hit.entry.metadata
        table.add_row(
            str(rank),
            hit.entry.name,
            number(hit.distance),
            *(value or "-" for value in (noted.architecture, noted.data, noted.owner)),
        )
    console = result_console()
    console.print(table)
    one = found.compared == 1
    console.print(
        f"cosine distances from {label}; {found.compared:,} model{'' if one else 's'} compared, {found.exact:,} exactly",
        soft_wrap=True,
    )
    if one:
        note("a single model was compared, so nothing tells whether this is near; add unrelated models to the store")


def _print_pairs(pairs: list[dict[str, Any]], entries: "list[Entry]") -> None:
    from rich import box
    from rich.table import Table

    table: Any = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("distance", justify="right", no_wrap=True)
    for pair in pairs:
        table.add_row(pair["a"], pair["b"], number(pair["distance"]))
    console = result_console()
    console.print(table)
    among = len(entries) * (len(entries) - 1) // 2
    console.print(f"cosine distances; nearest of {among:,} pairs among {len(entries):,} models", soft_wrap=True)


def _pairs(names: list[str], matrix: "np.ndarray", top: int | None) -> list[dict[str, Any]]:
    """Pairs, nearest first."""
    import numpy as np

    rows, columns = np.triu_indices(len(names), 1)
    distances = matrix[rows, columns]
    order = np.argsort(distances, kind="stable")[:top]
    return [
        {"a": names[i], "b": names[j], "distance": float(distance)}
        for i, j, distance in zip(rows[order], columns[order], distances[order], strict=True)
    ]


def _print_csv(columns: list[str], rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
