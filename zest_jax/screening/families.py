"""Families of models: the tree that a table of distances gives, and what hangs together in it below a distance.

Average linkage (Sokal and Michener 1958): the two nearest groups are joined again and again, and the distance between two groups
is the mean of the distances between their models. SciPy computes it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

# Optimal orders of more models take longer than drawing them: 0.1 s for 500, 1.2 s for 1,000.
MOST_ORDERED = 500
# Halves of a table that was computed twice differ by rounding.
SYMMETRIC = 1e-6


class FamilyTree(NamedTuple):
    """Which models are joined with which, at which distance.

    Attributes:
        merges: a row per join, nearest first, as SciPy has it, [models - 1, 4]: the two groups, their distance, and how many
            models they have together. Groups are numbered models first, then joins: join i makes group models + i.
        order: the models from one end of the tree to the other, so that no branches cross.
        undefined: pairs that have no distance.
    """

    merges: np.ndarray
    order: tuple[int, ...]
    undefined: int


def family_tree(distances: ArrayLike) -> FamilyTree:
    """Join models to groups by average linkage.

    A pair without a distance (NaN: the classes that match carry no weights) counts as far apart as the farthest pair of the
    table, and at least as 1, which is the distance of models that have nothing in common. So it brings no models together. Up to
    500 models are put in the order in which neighbours are nearest to each other (Bar-Joseph, Gifford and Jaakkola 2001).

    Args:
        distances: [models, models], symmetric, at least 0, of one model or more; what is on the diagonal does not count.

    Raises:
        ValueError: there is no model, or the table is not square, not symmetric, or has negative or infinite distances.

    >>> tree = family_tree(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]))
    >>> tree.merges[:, 2].round(3).tolist(), tree.order
    ([0.1, 0.85], (0, 2, 1))
    """
    table = _checked(distances)
    n = len(table)
    if n == 1:
        return FamilyTree(np.zeros((0, 4)), (0,), 0)
    # Imported here: a search for a suspect needs no tree, and should not wait for SciPy.
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    pairs = table[np.triu_indices(n, 1)]
    missing = np.isnan(pairs)
    if missing.any():
        farthest = pairs[~missing].max(initial=1.0)
        pairs = np.where(missing, farthest, pairs)
    merges = linkage(pairs, method="average")
    if n <= MOST_ORDERED:
        merges = optimal_leaf_ordering(merges, pairs)
    order = leaves_list(merges).tolist()
    if order[0] > order[-1]:
        # Either end may come first; so it does not depend on SciPy's version which does.
        merges, order = merges[:, [1, 0, 2, 3]], order[::-1]
    return FamilyTree(merges, tuple(order), int(missing.sum()))


def families(tree: FamilyTree, threshold: float) -> tuple[tuple[int, ...], ...]:
    """Groups of models that are joined at a distance of `threshold` or less; a model that is joined with none is a group of one.

    Returns:
        the groups in the order of the tree, and in each its models in that order.

    Raises:
        ValueError: `threshold` is negative or not finite.

    >>> tree = family_tree(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]))
    >>> families(tree, 0.5), families(tree, 0.9)
    (((0, 2), (1,)), ((0, 2, 1),))
    """
    if not (np.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"`threshold` is {threshold}; give a finite distance, at least 0")
    n = len(tree.order)
    group = list(range(n))  # of each model and each join: the last join above it that is near enough
    for i, (a, b, height, _) in enumerate(tree.merges.tolist(), n):
        group.append(i)
        if height <= threshold:
            group[int(a)] = group[int(b)] = i
    found: dict[int, list[int]] = {}
    for model in tree.order:
        top = model
        while group[top] != top:
            top = group[top]
        found.setdefault(top, []).append(model)
    return tuple(tuple(members) for members in found.values())


def usual_threshold(distances: ArrayLike) -> float:
    """Half the median distance of all pairs: where families are cut if nothing else is known.

    In a zoo of two families or more of about the same size most pairs are unrelated, so that the median is a distance of
    unrelated models. It is a rule for looking, no test: distances of models that are known to be unrelated tell more, see
    `judge`. Where most pairs are related, it cuts families into parts. 0 where no pair has a distance.

    >>> usual_threshold(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]))
    0.4
    """
    table = _checked(distances)
    pairs = table[np.triu_indices(len(table), 1)]
    known = pairs[~np.isnan(pairs)]
    return float(np.median(known)) / 2 if len(known) else 0.0


def central(distances: ArrayLike, members: Sequence[int]) -> int:
    """The model of a family that is nearest to all of it, after which the family may be called; of several the first.

    >>> central(np.array([[0.0, 0.1, 0.3], [0.1, 0.0, 0.2], [0.3, 0.2, 0.0]]), [0, 1, 2])
    1
    """
    part = np.nan_to_num(np.asarray(distances, np.float64)[np.ix_(members, members)], nan=2.0)
    return int(members[int(part.sum(axis=1).round(12).argmin())])


def closest(distances: ArrayLike, most: int) -> list[int]:
    """At most so many models, in their order: those that have the nearest neighbours, where there are more.

    >>> closest(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]), 2)
    [0, 2]
    """
    table = np.array(distances, np.float64)
    if len(table) <= most:
        return list(range(len(table)))
    np.fill_diagonal(table, np.inf)
    nearest = np.where(np.isnan(table), np.inf, table).min(axis=1)
    return sorted(np.argsort(nearest, kind="stable")[:most].tolist())


def _checked(distances: ArrayLike) -> Float[np.ndarray, "models models"]:
    table = np.asarray(distances, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) == 0:
        raise ValueError(
            f"`distances` has shape {table.shape}; give one row and one column for each of one model or more"
        )
    apart = table[~np.eye(len(table), dtype=bool)]
    if np.isinf(apart).any() or (apart < 0).any():
        raise ValueError(
            "`distances` holds negative or infinite values; give distances, and NaN for pairs that have none"
        )
    if not np.allclose(table, table.T, rtol=0, atol=SYMMETRIC, equal_nan=True):
        raise ValueError("`distances` is not symmetric; give the distance of a pair the same in both places")
    return (table + table.T) / 2
