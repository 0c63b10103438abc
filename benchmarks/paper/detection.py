"""How well scores tell related pairs from unrelated ones."""

import numpy as np
from jaxtyping import Float


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
    allowed = int(false_positives * len(unrelated) + 1e-9)
    threshold = np.sort(unrelated)[::-1][allowed]
    return float((related > threshold).mean())


def interval(
    related: Float[np.ndarray, " r"],
    unrelated: Float[np.ndarray, " u"],
    false_positives: float,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The middle 95% of `rate` over samples of both kinds of pairs, drawn with replacement.

    >>> interval(np.array([3.0, 2.0]), np.array([1.0, 0.0]), 0.05)
    (1.0, 1.0)
    """
    rng = np.random.default_rng(seed)
    found = [
        rate(rng.choice(related, len(related)), rng.choice(unrelated, len(unrelated)), false_positives)
        for _ in range(draws)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
