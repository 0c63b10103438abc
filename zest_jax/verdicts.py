"""Put a distance into words, given distances of pairs that are known to be unrelated."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from zest_jax.distances import relative_distance

__all__ = ["Verdict", "verdict"]

# Below this many unrelated pairs nothing can be said about how much their distances vary.
MIN_PAIRS = 2
# What is assumed about the spread of unrelated distances before any is seen, as a share of their mean, and how many pairs
# that assumption is worth. Without it two pairs that happen to agree would set a bound just below 1. The golden models'
# unrelated pairs spread by 16%, independent ImageNet networks by 2%.
PRIOR_SPREAD = 0.1
PRIOR_PAIRS = 2


class Verdict(NamedTuple):
    """What a distance says.

    Attributes:
        relative: distance over the mean unrelated distance (paper, Appendix C).
        bound: the relative distance below which a pair counts as related; NaN with fewer than 2 unrelated pairs.
        related: True below the bound, False above, None when there are too few unrelated pairs to tell.
        text: the same in words.

    >>> found = verdict(0.1, [0.58, 0.60, 0.62])
    >>> found.related, round(found.relative, 2), found.text
    (True, 0.17, 'related: nearer than unrelated models get (0.17 < 0.82)')
    """

    relative: float
    bound: float
    related: bool | None
    text: str


def verdict(distance: float, unrelated: Sequence[float] | np.ndarray, *, alpha: float = 0.05) -> Verdict:
    """Judge a pair against unrelated pairs, which must not contain the pair itself.

    The paper calls a pair related when its relative distance is below 1. As half of all unrelated pairs are, a margin is
    needed: the bound is the lower one-sided prediction limit for one more unrelated pair, mean - t * s * sqrt(1 + 1/n),
    assuming normal distances (Hahn and Meeker, Statistical Intervals, section 4.7). So that a few pairs which happen to agree
    do not set it, s^2 is pooled with a prior variance of (0.1 mean)^2 that counts as two pairs, and t has n + 1 degrees of
    freedom (the conjugate prior of a normal variance; Gelman et al., Bayesian Data Analysis, section 2.6). Pairs that share a
    model are not independent, so take the bound for a guide.

    Args:
        distance: of the pair to judge.
        unrelated: distances [pairs] of unrelated pairs on the same probe set and metric.
        alpha: chance to call an unrelated pair related, between 0 and 1.

    Raises:
        ValueError: `alpha` is not between 0 and 1, or `unrelated` is refused by `relative_distance`.

    >>> verdict(0.1, [0.58, 0.60, 0.62]).related, verdict(0.57, [0.58, 0.60, 0.62]).related, verdict(0.1, [0.6]).related
    (True, False, None)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"`alpha` is {alpha}; give a chance between 0 and 1")
    relative = float(relative_distance(distance, unrelated))
    calibration = np.asarray(unrelated, np.float64)
    n = len(calibration)
    if n < MIN_PAIRS:
        return Verdict(
            relative, float("nan"), None, f"can't tell: {n} unrelated pair is too few, give at least {MIN_PAIRS}"
        )
    squares = PRIOR_PAIRS * (PRIOR_SPREAD * calibration.mean()) ** 2 + (n - 1) * calibration.var(ddof=1)
    freedom = PRIOR_PAIRS + n - 1
    limit = calibration.mean() - stats.t.ppf(1 - alpha, freedom) * np.sqrt(squares / freedom * (1 + 1 / n))
    bound = float(max(limit, 0.0) / calibration.mean())
    if bound == 0.0:
        return Verdict(relative, bound, None, f"can't tell: the {n} unrelated pairs vary too much, give more")
    if relative < bound:
        return Verdict(
            relative, bound, True, f"related: nearer than unrelated models get ({relative:.2f} < {bound:.2f})"
        )
    return Verdict(relative, bound, False, f"no sign of a relation ({relative:.2f}, unrelated from {bound:.2f})")
