"""How well scores tell related pairs from unrelated ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
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
    scores: Float[np.ndarray, " pairs"],
    related: Bool[np.ndarray, " pairs"],
    models: Sequence[tuple[str, str]],
    false_positives: float,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The middle 95% of `rate` over draws of the victims and of the suspects, with replacement.

    Pairs that share a model do not vary by themselves, so that models are drawn and not pairs: a pair counts as often as its
    victim was drawn times as often as its suspect was (the pigeonhole bootstrap, Owen 2007). Where all draws agree, as they do
    when every pair is detected, the interval is Wilson's for as many trials as there are victims or suspects, whichever are
    fewer: pairs are no trials of their own.

    Args:
        scores: of all pairs, high where they look related.
        related: which of them are.
        models: names of victim and suspect of each pair.
        false_positives: share of the unrelated pairs that may exceed the threshold.
        draws, seed: of the bootstrap. Draws without a pair of either kind are left out.

    Raises:
        ValueError: no draw has pairs of both kinds.

    >>> pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("a", "e"), ("a", "f")]
    >>> related = np.array([True, True, True, False, False])
    >>> low, high = interval(np.array([3.0, 2.0, 4.0, 1.0, 0.0]), related, pairs, 0.05)
    >>> round(low, 2), high
    (0.21, 1.0)
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((draws, len(scores)))
    for side in zip(*models, strict=True):
        names, at = np.unique(side, return_inverse=True)
        weights *= rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)[:, at]
    weights = weights[(weights[:, related].sum(axis=1) > 0) & (weights[:, ~related].sum(axis=1) > 0)]
    if not len(weights):
        raise ValueError(
            f"none of {draws} draws of {len(scores)} pairs has related and unrelated ones; give more pairs"
        )
    order = np.argsort(-scores[~related], kind="stable")
    above = np.cumsum(weights[:, ~related][:, order], axis=1)
    # The first score that more than the share allowed would exceed, were it not the threshold itself.
    first = (above > false_positives * above[:, -1:] + 1e-9).argmax(axis=1)
    thresholds = scores[~related][order][first]
    of_related = weights[:, related]
    found = (of_related * (scores[related] > thresholds[:, None])).sum(axis=1) / of_related.sum(axis=1)
    low, high = np.percentile(found, [2.5, 97.5])
    if low == high:
        trials = min(len({pair[side] for pair, one in zip(models, related, strict=True) if one}) for side in (0, 1))
        known = binomtest(round(low * trials), trials).proportion_ci(method="wilson")
        low, high = known.low, known.high
    return float(low), float(high)


def _threshold(unrelated: Float[np.ndarray, " u"], false_positives: float) -> float:
    """What at most that share of the scores exceed."""
    allowed = int(false_positives * len(unrelated) + 1e-9)
    return float(np.sort(unrelated)[::-1][allowed])
