"""Phase 4b: class alignment, when it is not known which class of one model is which of the other (paper, Appendix B)."""

from typing import Literal, NamedTuple

import numpy as np

from zest_jax.signature import Signature

__all__ = ["Alignment", "align", "class_distances", "match_classes"]

Metric = Literal["cosine", "l1", "l2", "linf"]
AlignMethod = Literal["auto", "none", "greedy", "rowwise", "optimal"]
METRICS = ("cosine", "l1", "l2", "linf")


class Alignment(NamedTuple):
    """Which class of one model is matched with which of the other.

    Attributes:
        a_classes: class indices, int64 [matched].
        b_classes: class indices, [matched]; a_classes[i] of the one corresponds to b_classes[i] of the other. All classes
            of the model that has fewer are matched.
        method: how it was found.

    >>> found = Alignment(np.array([0, 1]), np.array([1, 0]), "greedy")
    >>> dict(zip(found.a_classes.tolist(), found.b_classes.tolist()))
    {0: 1, 1: 0}
    """

    a_classes: np.ndarray
    b_classes: np.ndarray
    method: str


def align(a: Signature, b: Signature, *, method: AlignMethod = "auto", metric: Metric = "cosine") -> Alignment:
    """Match the classes of two signatures.

    Args:
        a: one signature.
        b: another, from the same probe set.
        method: "none", classes correspond by index; "greedy", over all pairs of classes take the nearest, strike its row and
            column, repeat (the authors' code); "rowwise", each class of the smaller model in order takes the nearest class left
            (section 3); "optimal", the assignment of least total distance (Hungarian); "auto", by name when both signatures
            carry the same class names, else greedy.
        metric: distance between the signatures of two classes.

    Raises:
        ValueError: "none" for different numbers of classes, or an unknown method or metric.

    >>> def model(weights):
    ...     ones = np.ones((1, 2), np.float32)
    ...     return Signature(weights=np.array(weights, np.float32), segment_counts=np.array([3]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label="m")
    >>> a, b = model([[1, 0], [0, 1], [2, 1]]), model([[0, 1], [1, 0], [1, 2]])      # the classes of b are those of a, exchanged
    >>> align(a, b).b_classes.tolist(), align(a, b).method, align(a, b, method="none").b_classes.tolist()
    ([1, 0], 'greedy', [0, 1])
    """
    if method not in ("auto", "none", "greedy", "rowwise", "optimal"):
        raise ValueError(f"unknown alignment {method!r}; choose 'auto', 'none', 'greedy', 'rowwise' or 'optimal'")
    if method == "auto":
        named = by_name(a, b)
        if named is not None:
            return named
        method = "greedy"
    if method == "none":
        if a.n_classes != b.n_classes:
            raise ValueError(
                f"{a.label} has {a.n_classes} classes and {b.label} has {b.n_classes}, so they cannot correspond by index; "
                "align them with 'greedy', 'rowwise' or 'optimal'"
            )
        return Alignment(np.arange(a.n_classes), np.arange(b.n_classes), "none")
    rows, columns = match_classes(class_distances(a.weights, b.weights, metric=metric), method=method)
    return Alignment(rows, columns, method)


def by_name(a: Signature, b: Signature) -> Alignment | None:
    """Match classes of the same name, or return None where the models do not name theirs alike."""
    if a.class_names is None or b.class_names is None or len(set(a.class_names)) != len(a.class_names):
        return None
    if sorted(a.class_names) != sorted(b.class_names):
        return None
    if a.class_names == b.class_names:
        return Alignment(np.arange(a.n_classes), np.arange(b.n_classes), "none")
    place = {name: i for i, name in enumerate(b.class_names)}
    return Alignment(np.arange(a.n_classes), np.array([place[name] for name in a.class_names]), "names")


def match_classes(
    distances: np.ndarray, *, method: Literal["greedy", "rowwise", "optimal"]
) -> tuple[np.ndarray, np.ndarray]:
    """Match rows with columns of a distance matrix [A, B]; returns row and column indices, [min(A, B)] each, rows ascending.

    Args:
        distances: between classes of the one model and of the other, finite, [A, B].
        method: as for `align`.

    Returns:
        row and column indices, int64 [min(A, B)] each, rows ascending.

    Raises:
        ValueError: `distances` is no finite matrix, or `method` is unknown.

    >>> rows, columns = match_classes(np.array([[2.0, 1.0], [9.0, 0.0]]), method="greedy")
    >>> list(zip(rows.tolist(), columns.tolist()))
    [(0, 0), (1, 1)]
    """
    distances = np.asarray(distances)
    if distances.ndim != 2 or 0 in distances.shape or not np.isfinite(distances).all():
        raise ValueError(f"class distances must be a finite matrix [classes, classes]; got shape {distances.shape}")
    if method == "optimal":
        from scipy.optimize import linear_sum_assignment

        return linear_sum_assignment(distances)
    if method not in ("greedy", "rowwise"):
        raise ValueError(f"unknown matching {method!r}; choose 'greedy', 'rowwise' or 'optimal'")
    if method == "greedy":
        return _greedy(distances)
    if distances.shape[0] <= distances.shape[1]:
        return _rowwise(distances)
    columns, rows = _rowwise(distances.T)
    order = np.argsort(rows)
    return rows[order], columns[order]


def _greedy(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest pair first, all pairs that are each other's nearest at once.

    A pair that is nearest in both its row and its column is taken by the one-at-a-time greedy too, whatever it takes before:
    nothing it strikes can come nearer. Ties go to the lower row, then the lower column, in both.
    """
    rows, columns = np.arange(distances.shape[0]), np.arange(distances.shape[1])
    match = np.full(len(rows), -1)
    while distances.size:
        best_column, best_row = distances.argmin(axis=1), distances.argmin(axis=0)
        mutual = best_row[best_column] == np.arange(len(rows))
        match[rows[mutual]] = columns[best_column[mutual]]
        left = np.ones(len(columns), bool)
        left[best_column[mutual]] = False
        distances = distances[np.ix_(~mutual, left)]
        rows, columns = rows[~mutual], columns[left]
    matched = np.flatnonzero(match >= 0)
    return matched, match[matched]


def _rowwise(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    left = np.array(distances, np.float64)
    match = np.empty(len(left), np.int64)
    for i, row in enumerate(left):
        match[i] = row.argmin()
        left[i + 1 :, match[i]] = np.inf
    return np.arange(len(match)), match


def class_distances(a: np.ndarray, b: np.ndarray, *, metric: Metric = "cosine") -> np.ndarray:
    """Distances between every class of one signature and every class of another.

    Args:
        a: weights [features, A].
        b: weights [features, B] over the same features.
        metric: "cosine" (1 minus the cosine; 1 to a class whose weights are all 0), "l1", "l2" or "linf".

    Returns:
        float32 [A, B].

    Raises:
        ValueError: `metric` is unknown, or the numbers of features differ.

    >>> class_distances(np.eye(2, dtype=np.float32), np.array([[0.0, 3.0], [2.0, 0.0]], np.float32)).round(4).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    if a.shape[0] != b.shape[0]:
        raise ValueError(
            f"the signatures have {a.shape[0]} and {b.shape[0]} features; they come from different probe sets"
        )
    # Imported here: a search through a store aligns without JAX, and should not wait for it.
    from zest_jax.class_products import PIECE, by_differences, by_products

    if metric in ("cosine", "l2"):
        return np.asarray(by_products(a.T, b.T, metric == "cosine"))
    rows = max(1, PIECE // max(b.size, 1))
    a_rows, b_rows = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    return np.asarray(by_differences(a_rows, b_rows, metric == "l1", min(rows, len(a_rows))))
