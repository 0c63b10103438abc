"""Everything that is found out about a suspect, or about all models together: what tables, JSON and report pages print.

The models are a store, or a few signatures that are at hand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zest_jax.distances import check_comparable
from zest_jax.errors import DegenerateSignatureError
from zest_jax.intervals import Interval, distance_interval
from zest_jax.screening.entries import ANY, Entry, Filter
from zest_jax.screening.exact import alignment_of, distances_among, distances_to
from zest_jax.screening.judging import Judgement, common_alignment, judge, unrelated_distances
from zest_jax.screening.layout import entry_of
from zest_jax.screening.search import (
    DEFAULT_SEARCH,
    Hit,
    Screening,
    SearchAlign,
    SearchSettings,
    distance_table,
    screen,
)
from zest_jax.screening.store import Store
from zest_jax.signature import Signature

Models = Store | Sequence[Signature]
# Each interval takes a few milliseconds.
MOST_INTERVALS = 100


class Near(NamedTuple):
    """One of the models nearest to a suspect.

    Attributes:
        rank: from 1.
        entry: what is known of it.
        distance: exact, cosine after alignment, in [0, 2].
        interval: where the distance lies over the choice of references, or None where that is not computed.
        sketched: the distance as the sketches estimate it.
    """

    rank: int
    entry: Entry
    distance: float
    interval: Interval | None
    sketched: float


class Findings(NamedTuple):
    """What is known of a suspect after a search.

    Attributes:
        suspect: whose nearest models were looked for.
        models: among which, a store or signatures.
        where: which of them were meant.
        align: how the classes of all pairs were matched.
        nearest: the nearest models, nearest first.
        compared, exact, undefined: see `Screening`.
        judgement: of the nearest model, or None.
        no_judgement: why there is none, or None.
        yardstick: mean distance of the unrelated pairs, at which the relative distance is 1, or None.
    """

    suspect: Signature
    models: Models
    where: Filter
    align: SearchAlign
    nearest: tuple[Near, ...]
    compared: int
    exact: int
    undefined: tuple[str, ...]
    judgement: Judgement | None
    no_judgement: str | None
    yardstick: float | None


class Pair(NamedTuple):
    """Two models and their distance."""

    a: str
    b: str
    distance: float


class Among(NamedTuple):
    """What is known of models after each was compared with each.

    Attributes:
        models: a store, or signatures.
        where: which of them were meant.
        align: how classes were matched.
        entries: what is known of each.
        distances: [models, models]; NaN for pairs that have none.
        pairs: nearest first, those without a distance left out.
        undefined: how many these are.
    """

    models: Models
    where: Filter
    align: SearchAlign
    entries: tuple[Entry, ...]
    distances: np.ndarray
    pairs: tuple[Pair, ...]
    undefined: int


def investigate(
    suspect: Signature,
    models: Models,
    *,
    where: Filter = ANY,
    settings: SearchSettings = DEFAULT_SEARCH,
    unrelated: Sequence[Signature] = (),
) -> Findings:
    """Find the models nearest to a suspect, how sure their distances are, and what the nearest one means.

    Args:
        suspect: comparable with the models.
        models: a store, which is searched, or signatures, which are all compared exactly.
        where: which models of a store are meant.
        settings: how many are wanted, and how thoroughly they are looked for. Where not all models have the suspect's class names
            and a verdict is wanted, `settings.align` gives way to "greedy": see `common_alignment`.
        unrelated: models known to be independent of each other and of the suspect, for a verdict.

    Raises:
        ValueError: `unrelated` gives no pair besides the one to be judged, has other numbers of classes, or names a model twice;
            two signatures have the same name.
        ProbeMismatchError, DegenerateSignatureError, StoreError, FileFormatError: as for `screen`.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((30, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.full(30, 2), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> models = [model(f"model-{i}", rng.normal(size=(60, 3))) for i in range(3)]
    >>> others = [model(f"other-{i}", rng.normal(size=(60, 3))) for i in range(12)]
    >>> suspect = model("suspect", models[1].weights[:, ::-1] + 0.1 * rng.normal(size=(60, 3)))
    >>> found = investigate(suspect, models, unrelated=others)
    >>> found.nearest[0].entry.name, found.judgement.related
    ('model-1', True)
    """
    align = settings.align
    if unrelated:
        for each in unrelated:
            check_comparable(suspect, each)
        names = {entry.class_names for entry in entries_among(models, where)}
        align = common_alignment(suspect, unrelated, names, align=align)
    settings = SearchSettings(top=settings.top, candidates=settings.candidates, align=align)
    if isinstance(models, Store):
        found = screen(suspect, models, where=where, settings=settings)
    else:
        found = _compared(suspect, models, where, settings)
    nearest = [
        Near(rank, hit.entry, hit.distance, interval, hit.sketched)
        for rank, (hit, interval) in enumerate(zip(found.hits, _intervals(suspect, found, models, align)), 1)
    ]
    judgement, reason, yardstick = _judged(suspect, unrelated, found, align)
    return Findings(
        suspect,
        models,
        where,
        align,
        tuple(nearest),
        found.compared,
        found.exact,
        found.undefined,
        judgement,
        reason,
        yardstick,
    )


def compare_all(models: Models, *, where: Filter = ANY, align: SearchAlign = "auto", top: int | None = None) -> Among:
    """Compare each of the models with each: where in a zoo is something reused?

    Args:
        models: a store, or signatures.
        where: which models of a store are meant.
        align: how classes are matched.
        top: how many of the nearest pairs are wanted; None for all.

    Raises:
        ValueError: fewer than two signatures are given, or two have the same name.
        StoreError, FileFormatError, ProbeMismatchError, DegenerateSignatureError: as for `distance_table` and `distance`.
    """
    if isinstance(models, Store):
        entries, distances = distance_table(models, where=where, align=align)
    else:
        if len(models) < 2:
            raise ValueError(f"{len(models)} signature was given; distances among models need two or more")
        entries = entries_among(models, where)
        for each in models[1:]:
            check_comparable(models[0], each)
        distances = distances_among(list(models), align=align)
    rows, columns = np.triu_indices(len(entries), 1)
    values = distances[rows, columns]
    undefined = int(np.isnan(values).sum())
    # Those without a distance are sorted to the end.
    order = np.argsort(values, kind="stable")[: len(values) - undefined][:top]
    pairs = tuple(
        Pair(entries[i].name, entries[j].name, float(value))
        for i, j, value in zip(rows[order], columns[order], values[order], strict=True)
    )
    return Among(models, where, align, tuple(entries), distances, pairs, undefined)


def entries_among(models: Models, where: Filter = ANY) -> list[Entry]:
    """What is known of the models that are meant.

    Raises:
        ValueError: a filter is given for signatures, of which nothing is noted, or two of them have the same name.
    """
    if isinstance(models, Store):
        return models.entries(where)
    if where != ANY:
        raise ValueError(f"signatures at hand are not filtered ({where}); leave out those that are not meant")
    names = [each.label for each in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two of the signatures are called {name!r}; give each its own label")
    return [entry_of(each) for each in models]


def load_models(models: Models, names: Sequence[str]) -> list[Signature]:
    """The signatures of some of the models, in the order given."""
    if isinstance(models, Store):
        return models.load(names)
    by_name = {each.label: each for each in models}
    return [by_name[name] for name in names]


def _compared(suspect: Signature, models: Sequence[Signature], where: Filter, settings: SearchSettings) -> Screening:
    """Do what `screen` does with signatures that are at hand."""
    if not models:
        raise ValueError("no signatures were given to compare the suspect with; pass at least one")
    entries = entries_among(models, where)
    for each in models:
        check_comparable(suspect, each)
    distances = distances_to(suspect, list(models), align=settings.align).tolist()
    undefined = tuple(entry.name for entry, distance in zip(entries, distances, strict=True) if np.isnan(distance))
    hits = [Hit(e, d, d) for e, d in zip(entries, distances, strict=True) if not np.isnan(d)]
    if not hits:
        raise DegenerateSignatureError(
            f"the classes of {suspect.label} and {undefined[0]} that match carry no weights, so that their distance is not "
            f"defined; leave {undefined[0]} out"
        )
    hits = sorted(hits, key=lambda hit: (hit.distance, hit.entry.name))[: settings.top]
    return Screening(tuple(hits), len(entries), len(entries), undefined)


def _intervals(suspect: Signature, found: Screening, models: Models, align: SearchAlign) -> list[Interval | None]:
    """How sure each distance is, for signatures around two references or more."""
    if len(suspect.segment_counts) < 2 or len(found.hits) > MOST_INTERVALS:
        return [None] * len(found.hits)
    near = load_models(models, [hit.entry.name for hit in found.hits])
    return [distance_interval(suspect, each, align_by=alignment_of(suspect, each, align=align)) for each in near]


def _judged(
    suspect: Signature, unrelated: Sequence[Signature], found: Screening, align: SearchAlign
) -> tuple[Judgement | None, str | None, float | None]:
    """The judgement of the nearest model, or why there is none, and the mean distance of unrelated models."""
    if not unrelated:
        if found.compared == 1:
            return None, "a single model was compared, and no unrelated models were given to tell what is near", None
        return None, "no unrelated models were given, so nothing tells what distance chance gives", None
    if len({each.label for each in unrelated}) < len(unrelated):
        raise ValueError("`unrelated` names a model twice; a model and its copy are not independent")
    nearest = found.hits[0]
    distances = unrelated_distances(suspect, unrelated, apart=[nearest.entry.name], align=align)
    if not len(distances):
        raise ValueError("`unrelated` gives no pair besides the one to be judged; name more models")
    yardstick = float(distances.mean())
    if nearest.entry.classes != suspect.n_classes:
        reason = (
            f"{nearest.entry.name} has {nearest.entry.classes} classes, and the unrelated models have {suspect.n_classes}, so "
            "their distances are no yardstick for this one"
        )
        return None, reason, yardstick
    judgement = judge(nearest.distance, distances, compared=found.compared, name=nearest.entry.name)
    return judgement, None, yardstick
