"""Each model compared with each, of a store or of signatures at hand: the nearest pairs, and all distances."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zest_jax.distances import check_comparable
from zest_jax.screening.entries import ANY, Entry, Filter
from zest_jax.screening.exact import distances_among
from zest_jax.screening.families import models_of_pairs, pair_distances
from zest_jax.screening.judging import check_unrelated, one_alignment
from zest_jax.screening.layout import entry_of
from zest_jax.screening.left_out import check_excluded
from zest_jax.screening.models import Models, entries_among
from zest_jax.screening.search import SearchAlign, distance_table
from zest_jax.screening.store import Store
from zest_jax.signature import Signature
from zest_jax.wording import without_a_distance


class Pair(NamedTuple):
    """Two models and their distance.

    Attributes:
        a: name of the one.
        b: name of the other.
        distance: exact, cosine after alignment, in [0, 2].

    >>> sorted([Pair("a", "b", 0.4), Pair("a", "c", 0.1)], key=lambda pair: pair.distance)[0].b
    'c'
    """

    a: str
    b: str
    distance: float


class Among(NamedTuple):
    """What is known of models after each was compared with each.

    Attributes:
        models: a store, or signatures.
        where: which of them were meant.
        align: how classes were matched, the same way for all pairs.
        entries: what is known of each.
        distances: [models, models]; NaN for pairs that have none.
        pairs: nearest first, those without a distance left out.
        undefined: how many these are.
        unrelated: the models that were named as unrelated to each other.
        yardstick: mean distance of these, or None.
        remarks: what is to be said of it besides.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> found = compare_all([a, b, model("copy", a.weights + 0.1)])
    >>> [entry.name for entry in found.entries], found.distances.shape, len(found.pairs), found.pairs[0].b
    (['a', 'b', 'copy'], (3, 3), 3, 'copy')
    """

    models: Models
    where: Filter
    align: SearchAlign
    entries: tuple[Entry, ...]
    distances: np.ndarray
    pairs: tuple[Pair, ...]
    undefined: int
    unrelated: tuple[Entry, ...]
    yardstick: float | None
    remarks: tuple[str, ...]


def compare_all(
    models: Models,
    *,
    where: Filter = ANY,
    align: SearchAlign = "auto",
    top: int | None = None,
    unrelated: Sequence[Signature] = (),
) -> Among:
    """Compare each of the models with each: where in a zoo is something reused?

    Args:
        models: a store, or signatures.
        where: which models of a store are meant.
        align: how classes are matched. "auto" gives way to "greedy" unless all models, the unrelated ones too, have the same
            class names: greedy matching makes a pair nearer than matching by name, so that both in one table would make
            families of models without names.
        top: how many of the nearest pairs are wanted; None for all.
        unrelated: two models or more that are known to be independent of each other, for `find_families`; they may be among the
            models.

    Raises:
        ValueError: fewer than two signatures are given, or two have the same name; a single unrelated model is named, or they are
            refused by `check_unrelated`.
        StoreError, FileFormatError, ProbeMismatchError, DegenerateSignatureError: as for `distance_table` and `distance`.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> found = compare_all([a, b, model("copy", a.weights + 0.1)], top=1)
    >>> found.pairs[0].a, found.pairs[0].b, found.align
    ('a', 'copy', 'greedy')
    """
    if not isinstance(models, Store) and len(models) < 2:
        raise ValueError(f"{len(models)} signature was given; distances among models need two or more")
    check_excluded(models, where)
    entries = entries_among(models, where)
    if len(unrelated) == 1:
        raise ValueError(f"`unrelated` names {unrelated[0].label} alone; a distance needs two models or more")
    if unrelated:
        check_unrelated(unrelated, unrelated[0])
    wanted, remarks = align, []
    align = one_alignment([each.class_names for each in (*entries, *unrelated)], align=wanted)
    named = [tuple(sorted(each.class_names)) for each in entries if each.class_names is not None]
    # Else no pair would have gone by name.
    if align != wanted and len(set(named)) < len(named):
        remarks.append(
            "not all models have the same class names, so all are matched greedily: else pairs with names would be farther than "
            "others"
        )
    if isinstance(models, Store):
        if unrelated:
            models.header.check(unrelated[0], models.uri)
        entries, distances = distance_table(models, where=where, align=align)
    else:
        for each in (*models[1:], *unrelated):
            check_comparable(models[0], each)
        distances = distances_among(list(models), align=align)
    yardstick = None
    if unrelated:
        apart = pair_distances(distances_among(list(unrelated), align=align))
        if np.isnan(apart).any():
            raise ValueError("`unrelated` has a pair without a distance, as the classes that match carry no weights")
        yardstick = float(apart.mean())
    pairs, undefined = _nearest_pairs(entries, distances, top)
    if undefined:
        remarks.append(without_a_distance(undefined, "pair"))
    return Among(
        models=models,
        where=where,
        align=align,
        entries=tuple(entries),
        distances=distances,
        pairs=pairs,
        undefined=undefined,
        unrelated=tuple(map(entry_of, unrelated)),
        yardstick=yardstick,
        remarks=tuple(remarks),
    )


def _nearest_pairs(entries: Sequence[Entry], distances: np.ndarray, top: int | None) -> tuple[tuple[Pair, ...], int]:
    """The nearest pairs, and how many have no distance; of pairs at the same distance those of earlier models come first."""
    values = pair_distances(distances)
    undefined = int(np.isnan(values).sum())
    wanted = len(values) - undefined if top is None else min(top, len(values) - undefined)
    if not wanted:
        return (), undefined
    # Those without a distance are sorted to the end.
    places = np.flatnonzero(values <= np.partition(values, wanted - 1)[wanted - 1])
    places = places[np.argsort(values[places], kind="stable")[:wanted]]
    rows, columns = models_of_pairs(places, len(entries))
    pairs = zip(rows.tolist(), columns.tolist(), values[places].tolist(), strict=True)
    return tuple(Pair(entries[i].name, entries[j].name, value) for i, j, value in pairs), undefined
