"""`zest screen`: which models of a store is a suspect nearest to; which models of a store are near each other."""

import csv
import dataclasses
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from zest_jax.cli.console import Column, escaped, note, print_json, print_rows, result_console
from zest_jax.cli.distance import number, warn_of_poor_fits
from zest_jax.cli.entries import FilterOptions, as_json, noted_of
from zest_jax.cli.files import UsageError, check_model, check_output, kind_of, read_probes, read_signature
from zest_jax.cli.options import OFF, Common, ModelOptions, SolveOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zest_jax.report.mapped import Mapped
    from zest_jax.screening import Among, Filter, Findings, Store
    from zest_jax.signature import Signature

# A search opens every file of a store; more than these are worth a hint.
MANY_FILES = 200
CANDIDATES = 200


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

    candidates: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 200, or --top where that is more)")
    ] = None
    """Models to which exact distances are computed, the nearest by their sketches."""

    all: Annotated[bool, OFF] = False
    """Compute exact distances to all models, and show all."""

    align: Literal["auto", "greedy"] = "auto"
    """How classes are matched: auto by name when both models have the same class names, else greedy."""

    probes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(for a model as suspect)")] = None
    """Probe set of the store."""

    where: Annotated[FilterOptions, arg(name="filter")] = dataclasses.field(default_factory=FilterOptions)

    exclude: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: none)")] = ()
    """Models of the store to leave out, such as those the suspect is known to come from. A model that is the suspect's very own
    signature is left out by itself, and the next one judged."""

    unrelated: Annotated[tuple[str, ...], arg(metavar="NAME|U.sig ...", help_behavior_hint="(default: none)")] = ()
    """Models known to be trained independently of each other and of the suspect: names in the store, or signatures. Their
    distances, among themselves and to the suspect, are the yardstick of a verdict on the nearest model; twenty such models
    are enough for a store of ten, ninety for two hundred. Without a suspect: models known to be independent of each other; a
    --figure of all models has its families at half their mean distance."""

    figure: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Draw the heat map and the family tree of the suspect and its nearest models, or of all models, to a file
    (.png, .pdf or .svg)."""

    threshold: Annotated[
        float | None,
        arg(metavar="DISTANCE", help_behavior_hint="(default: half the mean of --unrelated, or half the median)"),
    ] = None
    """Distance at which models, or nearer ones, are drawn as a family, in a figure of all models."""

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
        if self.threshold is not None and (self.figure is None or self.suspect is not None):
            raise UsageError("--threshold goes with a --figure of all models; leave the threshold out, or the suspect")
        if self.suspect is None and self.unrelated and self.figure is None:
            raise UsageError("--unrelated goes with a suspect or a --figure of all models; give one of these")
        check_threshold(self.threshold, self.unrelated)
        check_candidates(self.candidates, self.top, useless="--all" if self.all else None)
        if self.suspect is None and self.candidates is not None:
            raise UsageError("--candidates goes with a suspect, and none is given")
        if self.figure is not None:
            check_output(self.figure)
            from zest_jax.report.drawing import format_of

            format_of(self.figure)
        from zest_jax.screening import Store

        store = Store.open(self.store, version=self.version)
        if store.n_files() > MANY_FILES:
            note(
                f"{self.store} consists of {store.n_files()} files, which slows the search; `zest store compact` helps"
            )
        if self.suspect is None:
            if self.probes:
                raise UsageError("--probes goes with a suspect, and none is given")
            self._among(store)
        else:
            self._one(self._signature(self.suspect, store), store)

    def _one(self, suspect: "Signature", store: "Store") -> None:
        from zest_jax import intervals
        from zest_jax.screening import SearchSettings, investigate, itself_told, same_as

        known = read_unrelated(self.unrelated, store)
        wanted = max(1, len(store)) if self.all else self.top
        settings = SearchSettings(
            top=wanted, candidates=None if self.all else candidates_of(self.candidates, wanted), align=self.align
        )
        found = investigate(suspect, store, where=self._where(), settings=settings, unrelated=known)
        note_remarks(found)
        if self.figure is not None:
            from zest_jax.report.mapped import map_nearest

            draw(map_nearest(found), self.figure)
        if (itself := itself_told(found)) is not None and not self.json:
            (note if self.csv else _tell)(itself)
        same = same_as(found)
        if same is not None and not self.json:
            # Before any statistics.
            (note if self.csv else _tell)(same.text)
        rows = [
            {
                **as_json(near.entry),
                "distance": near.distance,
                "relative": found.relative(near),
                "interval": None if near.interval is None else [near.interval.low, near.interval.high],
                "sketched": near.sketched,
                "rank": near.rank,
            }
            for near in found.nearest
        ]
        as_same = None if same is None else {"kind": same.kind, "names": same.names}
        if self.json:
            print_json(
                {
                    "suspect": suspect.label,
                    "digest": found.entry.digest,
                    "store": self.store,
                    "version": store.version,
                    "filter": str(found.where),
                    "metric": "cosine",
                    "align": found.align,
                    "candidates": found.candidates,
                    "compared": found.compared,
                    "exact": found.exact,
                    "undefined": found.undefined,
                    "itself": found.itself,
                    "same": {"kind": "signature", "names": found.itself} if found.itself and same is None else as_same,
                    "intervals": {"level": intervals.LEVEL, "resamples": intervals.RESAMPLES, "seed": intervals.SEED},
                    "nearest": rows,
                    "unrelated": [as_json(entry) for entry in found.unrelated],
                    "yardstick": found.yardstick,
                    "verdict": None if found.judgement is None else found.judgement._asdict(),
                    "no_verdict": found.no_judgement,
                }
            )
        elif self.csv:
            for row in rows:
                row["low"], row["high"] = row["interval"] or (None, None)
            noted = ("architecture", "data", "owner", "date", "classes")
            _print_csv(["rank", "name", "distance", "low", "high", "relative", *noted], rows)
        else:
            _print_nearest(found)
        if found.judgement is not None and not self.json:
            by_distance = "by the distance alone: " if same is not None and same.decides else ""
            (note if self.csv else _tell)(by_distance + found.judgement.text)
        warn_of_poor_fits([suspect.label], [suspect])

    def _among(self, store: "Store") -> None:
        from zest_jax.screening import compare_all, find_families

        top = None if self.all or self.csv else self.top
        known = read_unrelated(self.unrelated, store)
        found = compare_all(store, where=self._where(), align=self.align, top=top, unrelated=known)
        for text in found.remarks:
            note(text)
        if self.figure is not None:
            from zest_jax.report.mapped import map_all, no_families

            grouped = find_families(found.distances, threshold=self.threshold, unrelated=found.yardstick)
            draw(map_all(found, grouped), self.figure)
            if not grouped.large:
                note(no_families(grouped))
        pairs = [pair._asdict() for pair in found.pairs]
        if self.json:
            models = [as_json(entry) for entry in found.entries]
            how = {"metric": "cosine", "align": found.align, "filter": str(found.where)}
            print_json(
                {
                    "store": self.store,
                    "version": store.version,
                    **how,
                    "models": models,
                    "unrelated": [as_json(entry) for entry in found.unrelated],
                    "yardstick": found.yardstick,
                    "nearest": pairs,
                    "matrix": found.distances,
                }
            )
        elif self.csv:
            _print_csv(["a", "b", "distance"], pairs)
        else:
            _print_pairs(found)

    def _where(self) -> "Filter":
        return dataclasses.replace(self.where.filter(), exclude=self.exclude)

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
        from zest_jax.signing import sign

        box = self.how.load(suspect)
        return sign(box, probes, progress=self.progress, **self.solve.arguments())


def _tell(text: str) -> None:
    """Print a sentence of the result, which is not cut where a pipe has 80 columns."""
    result_console().print(text, soft_wrap=True)


def read_unrelated(names: "Sequence[str]", store: "Store | None") -> "list[Signature]":
    """The models of the yardstick: names in the store, or files of signatures."""
    files = [name for name in names if store is None or kind_of(name) == "signature"]
    known = [] if store is None else store.load([name for name in names if name not in files])
    known += [read_signature(Path(file)) for file in files]
    if len({each.label for each in known}) < len(known):
        raise UsageError("--unrelated names a model twice; a model and its copy are not independent")
    return known


def check_threshold(threshold: float | None, unrelated: "Sequence[str]") -> None:
    """Refuse what cannot be a distance, and two ways to say where families end."""
    if threshold is None:
        return
    if not 0 <= threshold < math.inf:
        raise UsageError(f"--threshold is {threshold}; give a finite distance, at least 0")
    if unrelated:
        raise UsageError("--threshold and --unrelated both say where families end; choose one")


def check_candidates(candidates: int | None, top: int, *, useless: str | None) -> None:
    """Refuse too few candidates, or any where `useless` has all models compared exactly."""
    if candidates is None:
        return
    if useless is not None:
        raise UsageError(f"with {useless} all models are compared exactly; leave --candidates out")
    if candidates < top:
        raise UsageError(f"--candidates is {candidates}; give at least as many as --top, {top}")


def candidates_of(candidates: int | None, top: int) -> int:
    """How many models are compared exactly."""
    return max(CANDIDATES, top) if candidates is None else candidates


def note_remarks(found: "Findings") -> None:
    """Say what is to be said of a search besides its result."""
    for text in found.remarks:
        note(text)
    if found.yardstick is not None and found.judgement is None:
        note(f"no verdict: {found.no_judgement}")


def draw(mapped: "Mapped", path: Path) -> None:
    """Draw heat map and family tree, and say so."""
    from zest_jax.report import clustered_figure

    clustered_figure(mapped.distances, mapped.labels, **mapped.style, path=path)
    note(f"drew {path}")
    for text in mapped.remarks:
        note(text)


def _print_nearest(found: "Findings") -> None:
    noted = noted_of(near.entry for near in found.nearest)
    columns = [
        Column("", "number"),
        Column("model"),
        Column("distance", "number"),
        Column("95%", "number"),
        *(Column(name, "noted") for name in noted),
    ]
    rows = [
        (
            str(near.rank),
            near.entry.name,
            number(near.distance),
            "-" if near.interval is None else f"{number(near.interval.low)} to {number(near.interval.high)}",
            *(getattr(near.entry.metadata, name) or "-" for name in noted),
        )
        for near in found.nearest
    ]
    print_rows(columns, rows)
    one = found.compared == 1
    result_console().print(
        f"cosine distances from {escaped(found.suspect.label, keep='')}; {found.compared:,} model{'' if one else 's'} "
        f"compared, {found.exact:,} exactly",
        soft_wrap=True,
    )
    if one and found.yardstick is None:
        note(
            "a single model was compared, so nothing tells whether this is near; name unrelated models with --unrelated"
        )


def _print_pairs(found: "Among") -> None:
    columns = [Column("model"), Column("model"), Column("distance", "number")]
    print_rows(columns, [(pair.a, pair.b, number(pair.distance)) for pair in found.pairs])
    console = result_console()
    models = len(found.entries)
    among = models * (models - 1) // 2
    console.print(f"cosine distances; nearest of {among:,} pairs among {models:,} models", soft_wrap=True)


def _print_csv(columns: list[str], rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
