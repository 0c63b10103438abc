"""Everything that is found out about a suspect among models: what tables, JSON and report pages print."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from zest_jax.alignment import Alignment
from zest_jax.distances import check_comparable
from zest_jax.errors import DegenerateSignatureError
from zest_jax.fit_quality import other_inputs
from zest_jax.intervals import Interval, distance_interval
from zest_jax.screening.entries import ANY, Entry, Filter
from zest_jax.screening.exact import alignment_of, distances_to
from zest_jax.screening.judging import (
    Judgement,
    check_unrelated,
    common_alignment,
    judge,
    unrelated_distances,
)
from zest_jax.screening.layout import entry_of
from zest_jax.screening.left_out import check_excluded, without_itself
from zest_jax.screening.models import Models, entries_among, load_models
from zest_jax.screening.search import (
    DEFAULT_SEARCH,
    Hit,
    Screening,
    SearchAlign,
    SearchSettings,
    screen,
)
from zest_jax.screening.store import Store
from zest_jax.signature import Signature
from zest_jax.wording import without_a_distance

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
    if text := other_inputs([suspect, *near[:1], *unrelated]):
        remarks.append(text)
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
