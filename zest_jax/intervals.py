"""How sure a distance is: the bootstrap over references, which asks the models nothing more."""

from typing import NamedTuple

import numpy as np

from zest_jax.alignment import Alignment, AlignMethod, align
from zest_jax.distances import distance
from zest_jax.signature import Signature

__all__ = ["Interval", "distance_interval"]

LEVEL, RESAMPLES, SEED = 0.95, 1000, 0


class Interval(NamedTuple):
    """Where a value lies, as far as can be told.

    Attributes:
        low: lower end of the interval.
        high: upper end.
        level: how often such an interval holds the value, in (0, 1).

    >>> interval = Interval(low=0.12, high=0.18, level=0.95)
    >>> interval.low <= 0.15 <= interval.high
    True
    """

    low: float
    high: float
    level: float


def distance_interval(
    a: Signature,
    b: Signature,
    *,
    align_by: AlignMethod | Alignment = "auto",
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Interval of the cosine distance over the choice of references (percentile bootstrap; Efron 1979).

    References are drawn with replacement, as many as there are, and the distance taken of the local signatures of those drawn;
    the classes stay matched as all references match them. It tells how much the distance owes to the references that happened to
    be chosen, and nothing of what other masks or another training of a model would change.

    Args:
        a: signature of one model.
        b: of another, from the same probe set, fitted with the same settings.
        align_by: how classes are matched, see `zest_jax.align`, or an `Alignment`.
        level: between 0 and 1.
        resamples: draws of references, at least 100.
        seed: of the draws.

    Raises:
        ValueError: fewer than two references, or an argument is out of its range.
        ProbeMismatchError, DegenerateSignatureError: as for `distance`.

    >>> rng = np.random.default_rng(0)
    >>> def model(weights):
    ...     ones = np.ones((30, 2), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.full(30, 5), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label="m")
    >>> x = rng.normal(size=(150, 2))
    >>> a, b = model(x), model(x + 0.5 * rng.normal(size=x.shape))
    >>> interval = distance_interval(a, b)
    >>> interval.low < distance(a, b) < interval.high < 0.2
    True
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` is {level}; give a share between 0 and 1")
    if resamples < 100:
        raise ValueError(f"`resamples` is {resamples}; give at least 100")
    counts = a.segment_counts
    if len(counts) < 2:
        raise ValueError(f"{a.label} has {len(counts)} reference; an interval over references needs two or more")
    found = align_by if isinstance(align_by, Alignment) else align(a, b, method=align_by)
    distance(a, b, align=found)  # which checks that the two can be compared
    x, y = a.weights[:, found.a_classes].astype(np.float64), b.weights[:, found.b_classes].astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    # What each reference adds to the product and to both lengths: a draw is then a sum of such rows.
    parts = np.stack([np.add.reduceat((u * v).sum(axis=1), starts) for u, v in ((x, y), (x, x), (y, y))], axis=1)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=resamples) @ parts
    lengths = np.sqrt(drawn[:, 1] * drawn[:, 2])
    distances = 1 - drawn[:, 0][lengths > 0] / lengths[lengths > 0]
    low, high = np.quantile(np.maximum(distances, 0), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)
