"""Find the models of a store that are nearest to a suspect, or all distances among them.

Two stages: the sketches of all models (`late_interaction`), then exact aligned distances to the most promising ones.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from zest_jax.errors import DegenerateSignatureError, NotInStoreError
from zest_jax.screening.entries import ANY, Entry, Filter
from zest_jax.screening.exact import Classes, distances_to, joined, table_of_blocks
from zest_jax.screening.layout import SketchBatch
from zest_jax.screening.sketch import Sketch, late_interaction, make_sketch
from zest_jax.screening.store import Store
from zest_jax.signature import Signature

SearchAlign = Literal["auto", "greedy"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How a store is searched.

    Attributes:
        top: how many of the nearest models are wanted, at least 1.
        candidates: models to which exact distances are computed, the nearest by their sketches; at least `top`. More find the
            nearest ones more surely and take longer; None looks at all models exactly.
        align: "auto", classes by name where both models name them alike, else greedy; or "greedy" always.

    Raises:
        ValueError: a setting is out of its range.

    >>> SearchSettings(top=3, candidates=50)
    SearchSettings(top=3, candidates=50, align='auto')
    >>> SearchSettings(top=300)
    Traceback (most recent call last):
    ValueError: `candidates` is 200; give at least as many as `top`, 300
    """

    top: int = 10
    candidates: int | None = 200
    align: SearchAlign = "auto"

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"`top` is {self.top}; give at least 1")
        if self.candidates is not None and self.candidates < self.top:
            raise ValueError(f"`candidates` is {self.candidates}; give at least as many as `top`, {self.top}")
        if self.align not in ("auto", "greedy"):
            raise ValueError(f"`align` is {self.align!r}; a store is searched with 'auto' or 'greedy'")


DEFAULT_SEARCH = SearchSettings()


class Hit(NamedTuple):
    """A model near the suspect.

    Attributes:
        entry: what is known of it.
        distance: exact, cosine after alignment, in [0, 2].
        sketched: as the sketches estimate it.

    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/models.store", like=a)
    ...     added = store.add([a, b])
    ...     hit = screen(model("suspect", 2 * b.weights), store).hits[0]
    >>> hit.entry.name, round(hit.distance, 4)
    ('b', 0.0)
    """

    entry: Entry
    distance: float
    sketched: float


class Screening(NamedTuple):
    """What a search found.

    Attributes:
        hits: nearest first; models at the same distance by name.
        compared: models of the store that met the filter.
        exact: to how many of them exact distances were computed.
        undefined: names of those of them that have none, as the classes that match carry no weights; they are no hits.

    >>> found = Screening(hits=(), compared=250, exact=200, undefined=("constant",))
    >>> f"{found.exact} of {found.compared} models were compared exactly; {len(found.undefined)} has no distance"
    '200 of 250 models were compared exactly; 1 has no distance'
    """

    hits: tuple[Hit, ...]
    compared: int
    exact: int
    undefined: tuple[str, ...] = ()


def screen(
    suspect: Signature, store: Store, *, where: Filter = ANY, settings: SearchSettings = DEFAULT_SEARCH
) -> Screening:
    """Find the models of a store that are nearest to a suspect.

    The suspect may have other classes than the models, and another number of them; see `zest_jax.align`. Memory does not grow
    with the store: only sketches are read of all models, some megabytes at a time.

    Args:
        suspect: signed with the probe set and the settings of the store.
        where: which models it is compared with.
        settings: how many are wanted, and how thoroughly they are looked for.
        store: of the models that it is compared with.

    Raises:
        ProbeMismatchError: the suspect was signed with another probe set or fitted differently.
        DegenerateSignatureError: the suspect carries no information, or the parts of all candidates that it is compared with.
        StoreError: no model meets the filter, or the store cannot be read.
        FileFormatError: the signature of a candidate is damaged.

    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> models = [model(f"model-{i}", rng.normal(size=(60, 3))) for i in range(5)]
    >>> suspect = model("suspect", models[3].weights[:, ::-1] + 0.1 * rng.normal(size=(60, 3)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/models.store", like=suspect)
    ...     added = store.add(models)
    ...     found = screen(suspect, store, settings=SearchSettings(top=2))
    >>> found.compared, found.hits[0].entry.name, found.hits[0].distance < 0.02
    (5, 'model-3', True)
    """
    store.header.check(suspect, store.uri)
    query = make_sketch(suspect.weights, store.header.sketch)
    wanted = settings.candidates
    rows, estimates, compared = np.zeros(0, np.uint64), np.zeros(0), 0
    for batch in store.sketches(where):
        compared += len(batch.rows)
        rows = np.concatenate([rows, batch.rows.astype(np.uint64)])
        estimates = np.concatenate(
            [estimates, estimated(query, suspect.class_names if settings.align == "auto" else None, batch)]
        )
        if wanted is not None and len(rows) > wanted:
            kept = np.sort(np.argpartition(estimates, wanted - 1)[:wanted])
            rows, estimates = rows[kept], estimates[kept]
    if not compared:
        raise NotInStoreError(_nothing(store, where))
    order = np.argsort(estimates, kind="stable")
    hits: list[Hit] = []
    undefined: list[str] = []
    sketched = iter(estimates[order].tolist())
    for part in store.load_rows(rows[order].tolist()):
        distances = distances_to(suspect, [signature for _, signature in part], align=settings.align)
        for (entry, _), distance in zip(part, distances.tolist(), strict=True):
            estimate = next(sketched)
            if np.isnan(distance):
                undefined.append(entry.name)
            else:
                hits.append(Hit(entry, distance, estimate))
        hits = sorted(hits, key=lambda hit: (hit.distance, hit.entry.name))[: settings.top]
    if not hits:
        raise _degenerate(suspect.label, undefined[0])
    return Screening(tuple(hits), compared, len(order), tuple(undefined))


def estimated(query: Sketch, names: tuple[str, ...] | None, batch: SketchBatch) -> Float[np.ndarray, " models"]:
    """Distances to the models of a batch as their sketches tell them; `names` are the query's, if classes go by name."""
    ends = np.cumsum(batch.classes)
    found = np.empty(len(batch.rows))
    kinds: dict[tuple[int, tuple[int, ...] | None], list[int]] = {}
    known: dict[tuple[str, ...] | None, tuple[int, ...] | None] = {}
    for i, (count, theirs) in enumerate(zip(batch.classes.tolist(), batch.class_names, strict=True)):
        if theirs not in known:
            known[theirs] = _same_classes(names, theirs)
        kinds.setdefault((count, known[theirs]), []).append(i)
    for (count, same), models in kinds.items():
        starts = ends[models] - count
        if len(models) == len(found):
            # All models alike, as in most stores: no copy.
            vectors, norms = batch.vectors.reshape(-1, count, batch.vectors.shape[1]), batch.norms.reshape(-1, count)
        else:
            places = starts[:, None] + np.arange(count)
            vectors, norms = batch.vectors[places], batch.norms[places]
        found[models] = late_interaction(query, vectors, norms, same=None if same is None else np.array(same))
    return found


def distance_table(
    store: Store, *, where: Filter = ANY, align: SearchAlign = "auto"
) -> tuple[list[Entry], Float[np.ndarray, "models models"]]:
    """Exact distances between all models of a store: where is something reused?

    Every pair is aligned; "auto" decides for each, so that some may be matched by name and others greedily (`compare_all` has one
    way for all). Distances below 0.001 are computed in float64, others are exact to about 1e-6. Two blocks of up to 128 models
    are in memory at a time, and the table.

    Args:
        store: of the models.
        where: which of them are meant.
        align: "auto", classes by name where both models name them alike, else greedy; or "greedy" always.

    Returns:
        the models in the order of their addition, and their distances, symmetric, 0 on the diagonal; NaN for a pair that has
        none, as the classes that match carry no weights.

    Raises:
        StoreError: fewer than two models meet the filter, or the store cannot be read.
        FileFormatError: a signature is damaged.

    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/models.store", like=a)
    ...     added = store.add([a, b, model("copy", 2 * a.weights)])
    ...     entries, distances = distance_table(store)
    >>> [entry.name for entry in entries], distances.shape, bool(distances[0, 2] < 1e-6 < distances[0, 1])
    (['a', 'b', 'copy'], (3, 3), True)
    """
    rows, classes = [], []
    for batch in store.scan(["classes"], where=where.sql(), rows=8192):
        rows += batch["_rowid"].to_pylist()
        classes += batch["classes"].to_pylist()
    if len(rows) < 2:
        raise NotInStoreError(
            f"{_nothing(store, where)}; distances among models need two"
            if not rows
            else f"{store.uri} holds one model that is meant ({where}); distances among models need two or more"
        )
    entries: list[Entry | None] = [None] * len(rows)

    def load(block: list[int]) -> Classes:
        signatures = []
        found = (pair for part in store.load_rows([rows[i] for i in block]) for pair in part)
        for i, (entry, signature) in zip(block, found, strict=True):
            entries[i] = entry
            signatures.append(signature)
        return joined(signatures)

    table = table_of_blocks(classes, load, align=align)
    return [entry for entry in entries if entry is not None], table


def distances_from(
    suspect: Signature, store: Store, *, where: Filter = ANY, align: SearchAlign = "auto"
) -> tuple[list[Entry], Float[np.ndarray, " models"]]:
    """Exact distances from one model to all of a store.

    NaN for a model that has none, as the classes that match carry no weights.

    Args:
        suspect: signed with the probe set and the settings of the store.
        store: of the models that it is compared with.
        where: which of them are meant.
        align: "auto", classes by name where both models name them alike, else greedy; or "greedy" always.

    Returns:
        the models in the order of their addition, and their distances, float64 [models]; NaN for one that has none, as the
        classes that match carry no weights.

    Raises:
        StoreError: no model meets the filter, or the store cannot be read.
        ProbeMismatchError, DegenerateSignatureError, FileFormatError: as for `screen`.

    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/models.store", like=a)
    ...     added = store.add([a, b])
    ...     entries, distances = distances_from(model("suspect", 2 * b.weights), store)
    >>> [entry.name for entry in entries], (distances < 1e-6).tolist()
    (['a', 'b'], [False, True])
    """
    store.header.check(suspect, store.uri)
    rows = [
        row for batch in store.scan(["classes"], where=where.sql(), rows=8192) for row in batch["_rowid"].to_pylist()
    ]
    if not rows:
        raise NotInStoreError(_nothing(store, where))
    entries, distances = [], []
    for part in store.load_rows(rows):
        entries += [entry for entry, _ in part]
        distances.append(distances_to(suspect, [signature for _, signature in part], align=align))
    return entries, np.concatenate(distances)


def _same_classes(ours: tuple[str, ...] | None, theirs: tuple[str, ...] | None) -> tuple[int, ...] | None:
    """Which of their classes each of ours is by name, or None where names do not tell."""
    if ours is None or theirs is None or len(set(ours)) != len(ours) or sorted(ours) != sorted(theirs):
        return None
    place = {name: i for i, name in enumerate(theirs)}
    return tuple(place[name] for name in ours)


def _nothing(store: Store, where: Filter) -> str:
    if where == ANY:
        return f"{store.uri} holds no models; add some with `zest store add`"
    return f"no model of {store.uri} meets the filter ({where}); `zest store list` shows what is known of them"


def _degenerate(a: str, b: str) -> DegenerateSignatureError:
    return DegenerateSignatureError(
        f"the classes of {a} and {b} that match carry no weights, so that their distance is not defined; leave {b} out"
    )
