"""How well scores tell related pairs from unrelated ones."""

import numpy as np
from jaxtyping import Float
from scipy.stats import binomtest


def area(related: Float[np.ndarray, " r"], unrelated: Float[np.ndarray, " u"]) -> float:
    """Area under the ROC curve: how often a related pair has the higher score; equal ones count half.

    >>> area(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    order = np.sort(unrelated)
    below, up_to = (np.searchsorted(order, related, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(unrelated)))


def rate(related: Float[np.ndarray, " r"], unrelated: Float[np.ndarray, " u"], false_positives: float) -> float:
    """Share of the related pairs above a threshold that at most a share of the unrelated ones exceed, in [0, 1].

    >>> related, unrelated = np.array([3.0, 2.0, 0.5, 0.0]), np.array([1.0, 2.0])
    >>> rate(related, unrelated, 0.05), rate(related, unrelated, 0.5)
    (0.25, 0.5)
    """
    return float((related > _threshold(unrelated, false_positives)).mean())


def interval(
    related: Float[np.ndarray, " r"],
    unrelated: Float[np.ndarray, " u"],
    false_positives: float,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The middle 95% of `rate` over samples of both kinds of pairs, drawn with replacement.

    Where all samples agree, as they do when every pair is detected, the side that is open is Wilson's. Pairs that share a model
    are drawn as if they did not.

    >>> low, high = interval(np.array([3.0, 2.0, 4.0]), np.array([1.0, 0.0]), 0.05)
    >>> round(low, 2), high
    (0.44, 1.0)
    """
    rng = np.random.default_rng(seed)
    drawn, others = (scores[rng.integers(len(scores), size=(draws, len(scores)))] for scores in (related, unrelated))
    found = (drawn > _threshold(others, false_positives)[:, None]).mean(axis=1)
    low, high = np.percentile(found, [2.5, 97.5])
    if low == high:
        known = binomtest(round(low * len(related)), len(related)).proportion_ci(method="wilson")
        low, high = known.low, known.high
    return float(low), float(high)


def _threshold(unrelated: Float[np.ndarray, "*draws u"], false_positives: float) -> np.ndarray:
    """What at most that share of the scores exceed."""
    allowed = int(false_positives * unrelated.shape[-1] + 1e-9)
    return np.sort(unrelated, axis=-1)[..., ::-1][..., allowed]
