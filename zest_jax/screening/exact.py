"""Distances between many signatures at once, aligned, equal to `zest_jax.distances.distance` for the cosine.

All dot products of class vectors are one matrix product; alignments are found in them, and distances put together from them.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from zest_jax.alignment import Alignment, AlignMethod, by_name, match_classes
from zest_jax.distances import distance
from zest_jax.signature import Signature

# Products of more multiplications than this go to JAX, whatever device it has. Below, starting JAX and compiling take longer
# than NumPy does.
FOR_JAX = 2e9
# A distance between float32 products is rounded by about this much; nearer pairs are computed again in float64.
NEAR = 1e-3
# With more classes than this, one pair after the other is faster: its greedy needs a few rounds, and not one for each class.
MANY_CLASSES = 64
# Numbers of an array [pairs, classes, classes] that is aligned at once.
PIECE = 2**23
# Models, and classes of all of them, that are multiplied with as many others at a time.
BLOCK, BLOCK_CLASSES = 128, 8192


class Classes(NamedTuple):
    """Models of the same number of classes, ready to be multiplied.

    Attributes:
        weights: float32 [features, models * classes], model after model, classes in the order of their names where these are
            distinct, so that models of the same names have the same order.
        names: of the classes of each model in that order, or None.
        per_model: classes of each.
        order: the order, for each model.
    """

    weights: np.ndarray
    names: tuple[tuple[str, ...] | None, ...]
    per_model: int
    order: tuple[np.ndarray, ...]


def joined(signatures: list[Signature]) -> Classes:
    """Put signatures of the same number of classes side by side."""
    orders, names = [], []
    for signature in signatures:
        known = signature.class_names
        distinct = known is not None and len(set(known)) == len(known)
        order = np.argsort(np.array(known), kind="stable") if distinct else np.arange(signature.n_classes)
        orders.append(order)
        names.append(tuple(known[i] for i in order) if distinct and known is not None else None)
    weights = np.concatenate([s.weights[:, order] for s, order in zip(signatures, orders, strict=True)], axis=1)
    return Classes(weights, tuple(names), signatures[0].n_classes, tuple(orders))


def aligned_distances(
    a: Classes, b: Classes, *, align: AlignMethod = "auto", later_only: bool = False
) -> Float[np.ndarray, "a b"]:
    """Cosine distances between each model of `a` and each of `b`; see `zest_jax.distances.distance`.

    In float64 where the product is small, else to about 1e-6.

    Args:
        a: models.
        b: models.
        align: how classes are matched, see `zest_jax.align`.
        later_only: where both are the same models, only the pairs of one and a later one are wanted; others may be 0.

    Raises:
        ValueError: `align` is "none" and the numbers of classes differ.

    >>> rng = np.random.default_rng(0)
    >>> def model(weights):
    ...     n = weights.shape[1]
    ...     return Signature(weights=weights, segment_counts=np.array([len(weights)]), r2=np.ones((1, n), np.float32),
    ...                      variance=np.ones((1, n), np.float32), probe_hash="0" * 64, label="m")
    >>> x = model(rng.normal(size=(50, 3)).astype(np.float32))
    >>> aligned_distances(joined([x]), joined([x.select_classes([2, 0, 1])]), align="greedy").round(6) + 0
    array([[0.]])
    """
    if align == "none" and a.per_model != b.per_model:
        raise ValueError(
            f"models of {a.per_model} and {b.per_model} classes cannot correspond by index; "
            "align with 'greedy', 'rowwise' or 'optimal'"
        )
    # In the order that `align="none"` and rules for ties go by.
    x, y = (_in_own_order(side) if align != "auto" else side.weights for side in (a, b))
    large = x.size * y.shape[1] > FOR_JAX
    x_norms, y_norms = (np.linalg.norm(side.astype(np.float64), axis=0) for side in (x, y))
    products = _by_jax(x, y) if large else x.T.astype(np.float64) @ y.astype(np.float64)
    n, m = len(a.names), len(b.names)
    gram = products.reshape(n, a.per_model, m, b.per_model)
    found = np.zeros((n, m))
    step = max(1, PIECE // (m * a.per_model * b.per_model))
    if later_only:
        step = min(step, -(-n // 8))
    for start in range(0, n, step):
        some, first = slice(start, start + step), start if later_only else 0
        part = np.ascontiguousarray(gram[some, :, first:].transpose(0, 2, 1, 3)).reshape(-1, a.per_model, b.per_model)
        ours = np.repeat(x_norms.reshape(n, -1)[some], m - first, axis=0)
        theirs = np.tile(y_norms.reshape(m, -1)[first:], (min(step, n - start), 1))
        rows, columns = _matched(part, ours, theirs, align)
        if align == "auto":
            named = _same_names(a.names[some], b.names[first:])
            rows[named] = columns[named] = np.arange(rows.shape[1])
        found[some, first:] = _distances(part, ours, theirs, rows, columns).reshape(-1, m - first)
        if large:
            for i, j in zip(*np.nonzero(found[some, first:] < NEAR), strict=True):
                pair = i * (m - first) + j
                u = x.reshape(len(x), n, -1)[:, start + i, rows[pair]].astype(np.float64)
                v = y.reshape(len(y), m, -1)[:, first + j, columns[pair]].astype(np.float64)
                found[start + i, first + j] = 1 - np.vdot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v))
    return np.maximum(found, 0)


def distances_to(
    suspect: Signature, others: list[Signature], *, align: AlignMethod = "auto"
) -> Float[np.ndarray, " others"]:
    """Cosine distances from one model to many, of any numbers of classes; arguments and errors as for `distance`."""
    if align not in ("auto", "greedy"):
        return np.array([distance(suspect, other, align=align) for other in others])
    one, found = joined([suspect]), np.empty(len(others))
    counts = np.array([other.n_classes for other in others])
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        found[rows] = aligned_distances(one, joined([others[i] for i in rows]), align=align)[0]
    return found


def distances_among(signatures: list[Signature], *, align: AlignMethod = "auto") -> Float[np.ndarray, "models models"]:
    """Cosine distances of all pairs of a few models, symmetric, 0 on the diagonal; NaN and errors as for `aligned_distances`.

    "auto" decides for each pair, so that some may be matched by name and others greedily; see `compare_all` for one way for
    all. All signatures are in memory; see `zest_jax.screening.distance_table` for a whole store.

    >>> rng = np.random.default_rng(0)
    >>> def model(weights):
    ...     n = weights.shape[1]
    ...     return Signature(weights=weights, segment_counts=np.array([len(weights)]), r2=np.ones((1, n), np.float32),
    ...                      variance=np.ones((1, n), np.float32), probe_hash="0" * 64, label="m")
    >>> x = model(rng.normal(size=(50, 3)).astype(np.float32))
    >>> distances_among([x, x.select_classes([2, 0, 1])]).round(6) + 0
    array([[0., 0.],
           [0., 0.]])
    """

    def load(block: list[int]) -> Classes:
        return joined([signatures[i] for i in block])

    return table_of_blocks([each.n_classes for each in signatures], load, align=align)


def table_of_blocks(
    classes: Sequence[int], load: Callable[[list[int]], Classes], *, align: AlignMethod = "auto"
) -> Float[np.ndarray, "models models"]:
    """Cosine distances of all pairs of models that are loaded block by block, two blocks at a time.

    Args:
        classes: how many each model has; those of a block have as many.
        load: gives the models of a block, by their places in `classes`.
        align: as for `aligned_distances`.

    Returns:
        symmetric, 0 on the diagonal; of each pair that from the model that comes first to the other.
    """
    found = np.zeros((len(classes), len(classes)))
    blocks = blocks_of(classes)
    for i, block in enumerate(blocks):
        mine = load(block)
        upper = np.triu(aligned_distances(mine, mine, align=align, later_only=True), 1)
        found[np.ix_(block, block)] = upper + upper.T
        for other in blocks[i + 1 :]:
            distances = aligned_distances(mine, load(other), align=align)
            found[np.ix_(block, other)] = distances
            found[np.ix_(other, block)] = distances.T
    return found


def blocks_of(classes: Sequence[int]) -> list[list[int]]:
    """Models of the same number of classes together, as many as are multiplied at a time.

    >>> blocks_of([2, 3, 2, 5000, 5000])
    [[0, 2], [1], [3], [4]]
    """
    blocks: list[list[int]] = []
    for i in sorted(range(len(classes)), key=lambda i: (classes[i], i)):
        most = max(1, min(BLOCK, BLOCK_CLASSES // classes[i]))
        if blocks and classes[blocks[-1][0]] == classes[i] and len(blocks[-1]) < most:
            blocks[-1].append(i)
        else:
            blocks.append([i])
    return blocks


def alignment_of(a: Signature, b: Signature, *, align: Literal["auto", "greedy"] = "auto") -> Alignment:
    """How the classes of two models are matched for their distance; like `zest_jax.align`, without JAX."""
    if align == "auto" and (named := by_name(a, b)) is not None:
        return named
    x, y = (each.weights.astype(np.float64) for each in (a, b))
    lengths = np.linalg.norm(x, axis=0)[:, None] * np.linalg.norm(y, axis=0)
    cosines = np.divide(x.T @ y, lengths, out=np.zeros(lengths.shape), where=lengths > 0)
    return Alignment(*match_classes(1 - cosines, method="greedy"), "greedy")


def greedy_matches(cosines: Float[np.ndarray, "pairs a b"]) -> Int[np.ndarray, "pairs a"]:
    """The column that greedy alignment gives each row of many matrices, -1 for rows that get none; see `match_classes`.

    >>> greedy_matches(-np.array([[[2.0, 1.0], [9.0, 0.0]]])).tolist()
    [[0, 1]]
    """
    pairs, a, b = cosines.shape
    left, each = cosines.copy(), np.arange(pairs)
    match = np.full((pairs, a), -1)
    for _ in range(min(a, b)):
        best = left.reshape(pairs, -1).argmax(axis=1)
        row, column = best // b, best % b
        match[each, row] = column
        left[each, row] = -np.inf
        left[each, :, column] = -np.inf
    return match


def _in_own_order(side: Classes) -> np.ndarray:
    back = np.concatenate([np.argsort(order) + i * side.per_model for i, order in enumerate(side.order)])
    return side.weights[:, back]


def _by_jax(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import jax
    import jax.numpy as jnp

    return np.asarray(jnp.matmul(x.T, y, precision=jax.lax.Precision.HIGHEST))


def _matched(
    part: np.ndarray, ours: np.ndarray, theirs: np.ndarray, align: AlignMethod
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns matched, [pairs, matched] each."""
    pairs, a, b = part.shape
    matched = min(a, b)
    if align == "none":
        each = np.tile(np.arange(matched), (pairs, 1))
        return each, each.copy()
    lengths = ours[:, :, None] * theirs[:, None, :]
    cosines = np.divide(part, lengths, out=np.zeros(part.shape), where=lengths > 0)
    method = "greedy" if align in ("auto", "greedy") else align
    if method != "greedy" or matched > MANY_CLASSES:
        found = [match_classes(1 - each, method=method) for each in cosines]
        return np.stack([rows for rows, _ in found]), np.stack([columns for _, columns in found])
    match = greedy_matches(cosines)
    # As many rows are matched in each pair, and `nonzero` gives them in order.
    rows = np.nonzero(match >= 0)[1].reshape(pairs, matched)
    return rows, np.take_along_axis(match, rows, axis=1)


def _same_names(ours: tuple[tuple[str, ...] | None, ...], theirs: tuple[tuple[str, ...] | None, ...]) -> np.ndarray:
    """Which pairs have the same class names, [pairs]."""
    numbers: dict[tuple[str, ...] | None, int] = {}
    left, right = (
        np.array([-1 if names is None else numbers.setdefault(names, len(numbers)) for names in side])
        for side in (ours, theirs)
    )
    return ((left[:, None] == right[None]) & (left[:, None] >= 0)).ravel()


def _distances(
    part: np.ndarray, ours: np.ndarray, theirs: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    each = np.arange(len(part))[:, None]
    product = part[each, rows, columns].astype(np.float64).sum(axis=1)
    squares = np.square(ours[each, rows]).sum(axis=1) * np.square(theirs[each, columns]).sum(axis=1)
    # A pair of which only classes without weights match has no angle; `distance` refuses it, and so does whoever asks.
    return 1 - np.divide(product, np.sqrt(squares), out=np.full(len(part), np.nan), where=squares > 0)
