"""Everything that is found out about a suspect, or about all models together: what tables, JSON and report pages print.

The models are a store, or a few signatures that are at hand.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from zest_jax.alignment import Alignment
from zest_jax.distances import check_comparable
from zest_jax.errors import DegenerateSignatureError
from zest_jax.intervals import Interval, distance_interval
from zest_jax.screening.entries import ANY, Entry, Filter
from zest_jax.screening.exact import alignment_of, distances_among, distances_to
from zest_jax.screening.families import models_of_pairs, pair_distances
from zest_jax.screening.itself import check_excluded, without_itself
from zest_jax.screening.judging import (
    Judgement,
    check_unrelated,
    common_alignment,
    judge,
    one_alignment,
    unrelated_distances,
)
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
from zest_jax.wording import without_a_distance

Models = Store | Sequence[Signature]
# Nearest models whose signatures are looked at; each interval takes a few milliseconds.
MOST_INTERVALS = 100


class Near(NamedTuple):
    """One of the models nearest to a suspect.

    Attributes:
        rank: from 1.
        entry: what is known of it.
        distance: exact, cosine after alignment, in [0, 2].
        interval: where the distance lies over the choice of references; None beyond the 100 nearest, and with one reference.
        sketched: the distance as the sketches estimate it.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> near = investigate(model("suspect", b.weights + 0.1), [a, b]).nearest[0]
    >>> near.rank, near.entry.name, near.distance < 0.05
    (1, 'b', True)
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
        entry: what is known of it.
        models: among which, a store or signatures.
        where: which of them were meant.
        align: how the classes of all pairs were matched.
        candidates: how many of them were to be compared exactly; None for all.
        nearest: the nearest models, nearest first.
        signatures: of the nearest models, up to 100.
        alignments: how their classes are matched with the suspect's.
        itself: names of models whose signature is the suspect's very own; they are neither compared nor judged, unless there
            is no other model.
        compared: models that met the filter.
        exact: to how many of them exact distances were computed.
        undefined: names of those of them that have none.
        judgement: of the nearest model, or None.
        no_judgement: why there is none, or None.
        unrelated: the models that were named as unrelated.
        yardstick: mean distance of the unrelated pairs, at which the relative distance is 1, or None.
        remarks: what is to be said of it besides.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> found = investigate(model("suspect", b.weights + 0.1), [a, b])
    >>> [near.entry.name for near in found.nearest], found.judgement, found.no_judgement
    (['b', 'a'], None, 'no unrelated models were given, so nothing tells what distance chance gives')
    """

    suspect: Signature
    entry: Entry
    models: Models
    where: Filter
    align: SearchAlign
    candidates: int | None
    nearest: tuple[Near, ...]
    signatures: tuple[Signature, ...]
    alignments: tuple[Alignment, ...]
    itself: tuple[str, ...]
    compared: int
    exact: int
    undefined: tuple[str, ...]
    judgement: Judgement | None
    no_judgement: str | None
    unrelated: tuple[Entry, ...]
    yardstick: float | None
    remarks: tuple[str, ...]

    def relative(self, near: Near) -> float | None:
        """Relative distance of one of the nearest models; None without a verdict, and for one with another number of classes.

        The yardstick is one for models of as many classes as the unrelated ones, which are the suspect's.
        """
        if self.judgement is None or self.yardstick is None or near.entry.classes != self.suspect.n_classes:
            return None
        return near.distance / self.yardstick


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
        models: a store, which is searched, or signatures, which are all compared exactly. A model whose signature is the
            suspect's very own is left out, so that the next one is judged, unless there is no other.
        where: which models of a store are meant.
        settings: how many are wanted, and how thoroughly they are looked for. Where not all models have the suspect's class names
            and a verdict is wanted, `settings.align` gives way to "greedy": see `common_alignment`.
        unrelated: models known to be independent of each other and of the suspect, for a verdict.

    Raises:
        ValueError: `unrelated` gives no pair besides the one to be judged, or is refused by `check_unrelated`; two signatures
            have the same name; a model to be left out is not in the store.
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
    align, remarks = settings.align, []
    check_excluded(models, where)
    entry = entry_of(suspect)
    others, meant, itself = without_itself(entry, models, where)
    if unrelated:
        check_unrelated(unrelated, suspect)
        names = {entry.class_names for entry in entries_among(others, meant)}
        align = common_alignment(suspect, unrelated, names, align=align)
        if align != settings.align and _some_go_by_name(suspect, unrelated, names):
            whose = "not all models have the suspect's class names"
            if suspect.class_names is None:
                whose = "the suspect has no class names"
            remarks.append(f"{whose}, so all are matched greedily: else no verdict would be fair")
    settings = SearchSettings(top=settings.top, candidates=settings.candidates, align=align)
    if isinstance(others, Store):
        found = screen(suspect, others, where=meant, settings=settings)
    else:
        found = _compared(suspect, others, meant, settings)
    if found.undefined:
        remarks.append(without_a_distance(len(found.undefined), "model", found.undefined))
    judgement, reason, yardstick = _judged(suspect, unrelated, found, align)
    near = load_models(models, [hit.entry.name for hit in found.hits[:MOST_INTERVALS]])
    alignments = tuple(alignment_of(suspect, each, align=align) for each in near)
    pairs = zip(near, alignments, strict=True) if len(suspect.segment_counts) > 1 else ()
    intervals = [distance_interval(suspect, each, align_by=matched) for each, matched in pairs]
    return Findings(
        suspect=suspect,
        entry=entry,
        models=models,
        where=where,
        align=align,
        candidates=settings.candidates if isinstance(models, Store) else None,
        nearest=tuple(
            Near(rank, hit.entry, hit.distance, interval, hit.sketched)
            for rank, (hit, interval) in enumerate(zip_longest(found.hits, intervals), 1)
        ),
        signatures=tuple(near),
        alignments=alignments,
        itself=itself,
        compared=found.compared,
        exact=found.exact,
        undefined=found.undefined,
        judgement=judgement,
        no_judgement=reason,
        unrelated=tuple(map(entry_of, unrelated)),
        yardstick=yardstick,
        remarks=tuple(remarks),
    )


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
    """The signatures of some of the models, in the order given.

    Args:
        models: a store, or signatures.
        names: of the wanted ones.

    Returns:
        a signature for each name.

    Raises:
        ValueError: a store has no model of a name.
        KeyError: none of the signatures has it.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> [each.label for each in load_models([a, b], ["b", "a"])]
    ['b', 'a']
    """
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


def _some_go_by_name(
    suspect: Signature, unrelated: Sequence[Signature], compared: Iterable[tuple[str, ...] | None]
) -> bool:
    """Whether any pair of a verdict would be matched by name: of the unrelated models, or of the suspect with any."""
    named = [tuple(sorted(each.class_names)) for each in unrelated if each.class_names is not None]
    if suspect.class_names is not None:
        others = {*named, *(tuple(sorted(names)) for names in compared if names is not None)}
        if tuple(sorted(suspect.class_names)) in others:
            return True
    return len(set(named)) < len(named)


def _judged(
    suspect: Signature, unrelated: Sequence[Signature], found: Screening, align: SearchAlign
) -> tuple[Judgement | None, str | None, float | None]:
    """The judgement of the nearest model, or why there is none, and the mean distance of unrelated models."""
    if not unrelated:
        if found.compared == 1:
            return None, "a single model was compared, and no unrelated models were given to tell what is near", None
        return None, "no unrelated models were given, so nothing tells what distance chance gives", None
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
