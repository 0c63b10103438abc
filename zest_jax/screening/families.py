"""Families of models: the tree that a table of distances gives, and what hangs together in it below a distance.

Average linkage (Sokal and Michener 1958): the two nearest groups are joined again and again, and the distance between two groups
is the mean of the distances between their models. SciPy computes it.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from zest_jax.distances import EQUAL

Rule = Literal["given", "unrelated", "median"]
# Optimal orders of more models take longer than drawing them: 0.1 s for 500, 1.2 s for 1,000.
MOST_ORDERED = 500
# Halves of a table that was computed twice differ by rounding.
SYMMETRIC = 1e-6
# Numbers of a table that are looked at together, so that a large one needs no copies.
PIECE = 2**22


class FamilyTree(NamedTuple):
    """Which models are joined with which, at which distance.

    Attributes:
        merges: a row per join, nearest first, as SciPy has it, [models - 1, 4]: the two groups, their distance, and how many
            models they have together. Groups are numbered models first, then joins: join i makes group models + i.
        order: the models from one end of the tree to the other, so that no branches cross.
        undefined: pairs that have no distance.

    >>> tree = family_tree(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]))
    >>> tree.merges.tolist()[0], tree.undefined                                     # models 0 and 2 are joined first, at 0.1
    ([0.0, 2.0, 0.1, 2.0], 0)
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
    return _tree_of(pair_distances(distances))


class Families(NamedTuple):
    """Families of models, and how they were told apart.

    Attributes:
        threshold: the distance at which the tree was cut.
        rule: "given"; "unrelated", half the mean distance of unrelated models; "median", half the median, see `usual_threshold`.
        tree: of all models.
        groups: as `families` gives them.

    >>> found = find_families(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]), threshold=0.5)
    >>> found.rule, found.groups, found.large
    ('given', ((0, 2), (1,)), [(0, 2)])
    """

    threshold: float
    rule: Rule
    tree: FamilyTree
    groups: tuple[tuple[int, ...], ...]

    @property
    def large(self) -> list[tuple[int, ...]]:
        """Families of two models or more, the largest first."""
        return sorted((group for group in self.groups if len(group) > 1), key=lambda group: (-len(group), group))


def find_families(distances: ArrayLike, *, threshold: float | None = None, unrelated: float | None = None) -> Families:
    """Join models to families, with the best threshold that is known.

    Args:
        distances: [models, models], as for `family_tree`.
        threshold: where to cut, if that is given.
        unrelated: else the mean distance of models known to be unrelated. They are cut at half of it, a relative distance of 0.5.
            Without it at half the median, which tells families only where most pairs are unrelated.

    Raises:
        ValueError: as for `family_tree` and `families`.

    >>> table = np.array([[0.0, 0.12, 0.2], [0.12, 0.0, 0.2], [0.2, 0.2, 0.0]])
    >>> find_families(table).large, find_families(table, unrelated=0.9).large
    ([], [(0, 1, 2)])
    """
    pairs = pair_distances(distances)
    rule: Rule = "given" if threshold is not None else "median" if unrelated is None else "unrelated"
    if threshold is None:
        threshold = _half_median(pairs) if unrelated is None else unrelated / 2
    tree = _tree_of(pairs)
    return Families(threshold, rule, tree, families(tree, threshold))


def pruned(tree: FamilyTree, kept: Sequence[int], distances: ArrayLike) -> FamilyTree:
    """The tree of some of its models: who joins whom, and at which distance, stays as it was among all.

    Args:
        tree: of all models.
        kept: one or more of them; in the tree returned they are numbered by their places here.
        distances: [kept, kept], for the order of the leaves.

    >>> tree = family_tree(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]))
    >>> pruned(tree, [1, 2], [[0.0, 0.8], [0.8, 0.0]]).merges[:, 2].round(3).tolist()
    [0.85]
    """
    place = {model: i for i, model in enumerate(kept)}
    merges: list[list[float]] = []
    # What is left of each group of the whole tree: its number and its size.
    groups = [(place[model], 1) if model in place else None for model in range(len(tree.order))]
    for a, b, height, _ in tree.merges.tolist():
        left, right = groups[int(a)], groups[int(b)]
        if left is None or right is None:
            groups.append(left or right)
            continue
        size = left[1] + right[1]
        merges.append([left[0], right[0], height, size])
        groups.append((len(kept) + len(merges) - 1, size))
    pairs = pair_distances(distances)
    part = _ordered(np.array(merges).reshape(-1, 4), pairs)
    return part._replace(undefined=int(np.isnan(pairs).sum()))


def families(tree: FamilyTree, threshold: float) -> tuple[tuple[int, ...], ...]:
    """Groups of models that are joined at a distance of `threshold` or less; a model that is joined with none is a group of one.

    Args:
        tree: as `family_tree` makes it.
        threshold: the distance at which it is cut.

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
    `judge`. Where most pairs are related, as in a store of one model and its copies, it finds nothing or cuts families into
    parts. 0 where no pair has a distance, else at least 1e-9, by which equal models may differ.

    Args:
        distances: [models, models], symmetric, as for `family_tree`.

    Returns:
        the threshold, a distance, above 0 where a pair has one.

    >>> usual_threshold(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]))
    0.4
    """
    return _half_median(pair_distances(distances))


def central(distances: ArrayLike, members: Sequence[int]) -> int:
    """The model of a family that is nearest to all of it, after which the family may be called; of several the first.

    Args:
        distances: [models, models], symmetric, as for `family_tree`.
        members: indices of the models of the family, one or more.

    Returns:
        the index of one of the members.

    >>> central(np.array([[0.0, 0.1, 0.3], [0.1, 0.0, 0.2], [0.3, 0.2, 0.0]]), [0, 1, 2])
    1
    """
    table, places = np.asarray(distances), np.asarray(members)
    sums = [np.nan_to_num(table[np.ix_(part, places)], nan=2.0).sum(axis=1) for part in _pieces(places)]
    return int(places[int(np.concatenate(sums).round(12).argmin())])


class Extent(NamedTuple):
    """How large a family is, and how far from the others.

    Attributes:
        widest: the largest distance within it.
        nearest: the model outside that is nearest to one of its models, or None where there is none with a distance.
        distance: of these two, or NaN.

    >>> found = extent(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]), [0, 2])
    >>> found.widest, found.nearest, found.distance
    (0.1, 1, 0.8)
    """

    widest: float
    nearest: int | None
    distance: float


def extent(distances: ArrayLike, members: Sequence[int]) -> Extent:
    """How far the models of a family are apart, and which model outside is nearest to it.

    Args:
        distances: [models, models], symmetric, as for `family_tree`.
        members: indices of the models of the family, one or more.

    >>> extent(np.array([[0.0, 0.1, 0.3], [0.1, 0.0, 0.2], [0.3, 0.2, 0.0]]), [0, 1])
    Extent(widest=0.1, nearest=2, distance=0.2)
    """
    table, places = np.asarray(distances), np.asarray(members)
    inside = np.zeros(len(table), bool)
    inside[places] = True
    widest, to = 0.0, np.full(len(table), np.inf)
    for part in _pieces(places, len(table)):
        rows = table[part]
        widest = max(widest, float(np.nan_to_num(rows[:, inside], nan=0.0).max(initial=0.0)))
        to = np.minimum(to, np.nan_to_num(rows, nan=np.inf).min(axis=0))
    to[inside] = np.inf
    nearest = int(to.argmin())
    return Extent(widest, nearest, float(to[nearest])) if np.isfinite(to[nearest]) else Extent(widest, None, np.nan)


def closest(distances: ArrayLike, most: int) -> list[int]:
    """At most so many models, in their order: those that have the nearest neighbours, where there are more.

    Args:
        distances: [models, models], symmetric, as for `family_tree`.
        most: how many models are wanted at most.

    Returns:
        indices of the models, ascending.

    >>> closest(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]), 2)
    [0, 2]
    """
    table = np.asarray(distances)
    if len(table) <= most:
        return list(range(len(table)))
    nearest = []
    for part in _pieces(np.arange(len(table))):
        rows = np.nan_to_num(table[part], nan=np.inf)
        rows[np.arange(len(part)), part] = np.inf
        nearest.append(rows.min(axis=1))
    return sorted(np.argsort(np.concatenate(nearest), kind="stable")[:most].tolist())


def pair_distances(distances: ArrayLike) -> Float[np.ndarray, " pairs"]:
    """The distances of all pairs of a table, once each: those of model 0 to the others, then of model 1 to later ones, ...

    Args:
        distances: [models, models], symmetric, as for `family_tree`.

    Returns:
        float64 [models * (models - 1) / 2]; NaN for pairs that have none.

    Raises:
        ValueError: as for `family_tree`.

    >>> pair_distances([[0, 0.9, 0.1], [0.9, 0, 0.8], [0.1, 0.8, 0]])
    array([0.9, 0.1, 0.8])
    """
    table = np.asarray(distances)
    n = len(table) if table.ndim else 0
    if table.shape != (n, n) or n == 0:
        raise ValueError(
            f"`distances` has shape {table.shape}; give one row and one column for each of one model or more"
        )
    pairs, done = np.empty(n * (n - 1) // 2), 0
    for part in _pieces(np.arange(n)):
        later = np.arange(n) > part[:, None]
        one = table[part].astype(np.float64)[later]
        other = table[:, part].T.astype(np.float64)[later]
        if any(np.isinf(half).any() or (half < 0).any() for half in (one, other)):
            raise ValueError(
                "`distances` holds negative or infinite values; give distances, and NaN for pairs that have none"
            )
        if not np.allclose(one, other, rtol=0, atol=SYMMETRIC, equal_nan=True):
            raise ValueError("`distances` is not symmetric; give the distance of a pair the same in both places")
        pairs[done : done + len(one)] = (one + other) / 2
        done += len(one)
    return pairs


def models_of_pairs(
    pairs: Int[np.ndarray, " wanted"], models: int
) -> tuple[Int[np.ndarray, " wanted"], Int[np.ndarray, " wanted"]]:
    """Which two of so many models places in `pair_distances` are of.

    >>> [each.tolist() for each in models_of_pairs(np.array([0, 1, 2]), 3)]
    [[0, 0, 1], [1, 2, 2]]
    """
    starts = np.concatenate([[0], np.cumsum(np.arange(models - 1, 0, -1))])
    first = np.searchsorted(starts, pairs, side="right") - 1
    return first, pairs - starts[first] + first + 1


def _half_median(pairs: Float[np.ndarray, " pairs"]) -> float:
    known = pairs[~np.isnan(pairs)]
    return max(float(np.median(known, overwrite_input=True)) / 2, EQUAL) if len(known) else 0.0


def _tree_of(pairs: Float[np.ndarray, " pairs"]) -> FamilyTree:
    """The tree of models whose pairs have these distances, which it overwrites where there are none."""
    if not len(pairs):
        return FamilyTree(np.zeros((0, 4)), (0,), 0)
    # Imported here: a search for a suspect needs no tree, and should not wait for SciPy.
    from scipy.cluster.hierarchy import linkage

    missing = np.isnan(pairs)
    if missing.any():
        pairs[missing] = pairs[~missing].max(initial=1.0)
    return _ordered(linkage(pairs, method="average"), pairs)._replace(undefined=int(missing.sum()))


def _ordered(merges: Float[np.ndarray, "joins 4"], pairs: Float[np.ndarray, " pairs"]) -> FamilyTree:
    """Put neighbours beside each other."""
    if not len(merges):
        return FamilyTree(merges, (0,), 0)
    from scipy.cluster.hierarchy import leaves_list, optimal_leaf_ordering

    if len(merges) < MOST_ORDERED:
        missing = np.isnan(pairs)
        merges = optimal_leaf_ordering(merges, np.where(missing, pairs[~missing].max(initial=1.0), pairs))
    order = leaves_list(merges).tolist()
    if order[0] > order[-1]:
        # Either end may come first; so it does not depend on SciPy's version which does.
        merges, order = merges[:, [1, 0, 2, 3]], order[::-1]
    return FamilyTree(merges, tuple(order), 0)


def _pieces(rows: np.ndarray, columns: int | None = None) -> Iterator[np.ndarray]:
    """Rows of a table that are looked at together."""
    step = max(1, PIECE // max(1, len(rows) if columns is None else columns))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
