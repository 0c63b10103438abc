"""What a distance consists of: how far two models are apart at each reference, and which references show that."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from zest_jax.alignment import Alignment
from zest_jax.distances import EQUAL, distance
from zest_jax.signature import Signature

__all__ = ["ReferenceDistances", "ShownClass", "reference_distances", "shown_class", "spread_over"]


class ReferenceDistances(NamedTuple):
    """How far two models are apart at each reference.

    Attributes:
        distances: d_i = 1 - <x_i, y_i> / (|x_i| |y_i|), in [0, 2], of the weights x_i and y_i of the two models for all matched
            classes; NaN where one of them has no weights. float64 [refs].
        shares: what each reference adds to the distance d over all, as a share of d, adding up to 1; NaN where d is below
            1e-9, by which equal models may differ. float64 [refs].

    >>> found = ReferenceDistances(distances=np.array([0.2, 0.6, 0.1]), shares=np.array([0.3, 0.6, 0.1]))
    >>> int(found.shares.argmax())                                                  # the reference at which most of it shows
    1
    """

    distances: np.ndarray
    shares: np.ndarray


def reference_distances(a: Signature, b: Signature, matched: Alignment) -> ReferenceDistances:
    """Take the cosine distance of two models apart, reference by reference.

    With x and y the weights of all references, d = 1 - <x, y> / (|x| |y|) is half of |x / |x| - y / |y||^2, a sum over
    references of what is never negative: that is their share. One at which both models have large weights adds more than one
    at which both have small ones, however far apart they are there.

    Args:
        a: signature of one model.
        b: of another, from the same probe set, fitted with the same settings.
        matched: how their classes are matched.

    Raises:
        ProbeMismatchError, DegenerateSignatureError: as for `distance`.

    >>> def model(weights):
    ...     ones = np.ones((2, 1), np.float32)
    ...     return Signature(weights=np.array(weights, np.float32)[:, None], segment_counts=np.array([2, 1]), r2=ones,
    ...                      variance=ones, probe_hash="0" * 64, label="m")
    >>> matched = Alignment(np.array([0]), np.array([0]), "none")
    >>> found = reference_distances(model([3, 0, 4]), model([0, 3, 4]), matched)
    >>> found.distances.round(6).tolist(), found.shares.tolist()
    ([1.0, 0.0], [1.0, 0.0])
    """
    # Which checks that the two can be compared.
    whole = distance(a, b, align=matched)
    x, y = a.weights[:, matched.a_classes].astype(np.float64), b.weights[:, matched.b_classes].astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(a.segment_counts)[:-1]])

    def summed(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values.sum(axis=1), starts)

    products, lengths = summed(x * y), np.sqrt(summed(x * x) * summed(y * y))
    distances = 1 - np.divide(products, lengths, out=np.full(len(products), np.nan), where=lengths > 0)
    apart = summed((x / np.linalg.norm(x) - y / np.linalg.norm(y)) ** 2) / 2
    shares = apart / apart.sum() if whole >= EQUAL else np.full(len(apart), np.nan)
    return ReferenceDistances(np.maximum(distances, 0), shares)


def spread_over(distances: Float[np.ndarray, " refs"], n: int) -> list[int]:
    """Choose references from where two models agree most to where they agree least, at even ranks.

    So they show neither the best nor the worst alone. References without a distance are left out.

    Args:
        distances: of two models at each reference; NaN where there is none.
        n: how many are wanted, at least 1.

    Returns:
        indices of at most `n` references, nearest first.

    Raises:
        ValueError: `n` is below 1.

    >>> spread_over(np.array([0.5, 0.1, np.nan, 0.9, 0.3]), 3)
    [1, 0, 3]
    """
    if n < 1:
        raise ValueError(f"`n` is {n}; give at least 1")
    order = np.argsort(distances, kind="stable")[: int((~np.isnan(distances)).sum())]
    if len(order) <= n:
        return order.tolist()
    # A single one is the one in the middle.
    ranks = np.linspace(0, len(order) - 1, n).round().astype(int) if n > 1 else np.array([len(order) // 2])
    return order[ranks].tolist()


class ShownClass(NamedTuple):
    """The class to draw at a reference.

    Attributes:
        a: of the matched classes of the first model that which it answers there.
        b: its match.
        answered: what the first model answers there; another than `a` where that is matched with no class.

    >>> shown = ShownClass(a=2, b=0, answered=1)
    >>> shown.answered == shown.a                                                   # is its own answer among the matched classes?
    False
    """

    a: int
    b: int
    answered: int


def shown_class(a: Signature, matched: Alignment, reference: int) -> ShownClass:
    """The class to draw at a reference, of either model.

    A model's answer is the class whose weights (and intercept) add up highest: that to the whole reference, as the linear fit
    sees it.

    Args:
        a: signature of the first model.
        matched: how its classes are matched with the second's.
        reference: index of the reference.

    >>> ones = np.ones((1, 3), np.float32)
    >>> model = Signature(weights=np.array([[1, 3, 2]], np.float32), segment_counts=np.array([1]), r2=ones, variance=ones,
    ...                   probe_hash="0" * 64, label="m")
    >>> shown_class(model, Alignment(np.array([0, 2]), np.array([1, 0]), "given"), 0)
    ShownClass(a=2, b=0, answered=1)
    """
    score = a.of_reference(reference).sum(axis=0)
    if a.intercept is not None:
        score = score + a.intercept[reference]
    best = int(score[matched.a_classes].argmax())
    return ShownClass(int(matched.a_classes[best]), int(matched.b_classes[best]), int(score.argmax()))
