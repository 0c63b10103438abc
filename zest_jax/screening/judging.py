"""What the nearest distance of a search means, given distances of pairs that are known to be unrelated."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from zest_jax.distances import check_comparable, relative_distance
from zest_jax.intervals import Interval
from zest_jax.screening.exact import distances_among, distances_to
from zest_jax.screening.families import pair_distances
from zest_jax.screening.search import SearchAlign
from zest_jax.signature import Signature
from zest_jax.wording import counted

LEVEL = 0.95
ALPHA = 0.05


class Judgement(NamedTuple):
    """What a distance says after many models were compared.

    Attributes:
        relative: distance over the mean of unrelated pairs (paper, Appendix C).
        nearer: unrelated pairs that are as near or nearer.
        unrelated: unrelated pairs in all.
        false_positive_rate: share of unrelated pairs that would be called related if this distance were.
        rate_interval: Clopper and Pearson's (1934), of 95%.
        p_value: chance that one of as many unrelated models comes as near, at most; in (0, 1]. Pairs that share a model are
            counted as if they were independent, here and in the interval.
        alpha: chance to call an unrelated suspect related.
        related: True where the p-value is at most alpha; False where even the interval's lower end, times the number of models
            compared, is above alpha; None where the unrelated pairs are too few to tell.
        text: the same in words.

    >>> found = judge(0.1, [0.3, 0.4] * 120, compared=12)
    >>> found.related, found.nearer, found.unrelated, round(found.relative, 2), found.p_value <= found.alpha
    (True, 0, 240, 0.29, True)
    """

    relative: float
    nearer: int
    unrelated: int
    false_positive_rate: float
    rate_interval: Interval
    p_value: float
    alpha: float
    related: bool | None
    text: str


def judge(
    distance: float, unrelated: Sequence[float] | np.ndarray, *, compared: int, name: str = "it", alpha: float = ALPHA
) -> Judgement:
    """Judge the distance to the nearest of many models.

    Of n unrelated pairs k are as near or nearer. For a single comparison the p-value is (k + 1) / (n + 1) (Davison and Hinkley,
    Bootstrap Methods and their Application, section 4.2); for the smallest of m comparisons it is at most m times that
    (Bonferroni). So fewer than m / alpha - 1 pairs cannot tell a copy from chance at level alpha, however near it is. Pairs that
    share a model are not independent, so take the p-value for a guide. Pairs that are related after all make it larger, never
    smaller. That there is no sign of a relation is said with the same correction: where the lower end of the rate's interval
    is above alpha / m. Between the two the pairs cannot tell.

    All distances must come from one way of matching classes and from models of as many classes; see `common_alignment`.

    Args:
        distance: to the nearest model, in [0, 2].
        unrelated: distances [pairs] of pairs known to be unrelated, without the one to be judged.
        compared: models that the suspect was compared with.
        name: of the nearest model.
        alpha: chance to call an unrelated suspect related, in (0, 1).

    Raises:
        ValueError: an argument is out of its range.

    >>> print(judge(0.1, [0.3, 0.4] * 120, compared=12, name="resnet18-flowers-v3").text)
    nearest: resnet18-flowers-v3, relative distance 0.29; of 240 unrelated pairs none is as near (a rate of 0 to 0.015, 95%): p at
    most 0.050 for 12 models compared. Related.
    >>> judge(0.1, [0.3, 0.4, 0.35], compared=12).related is None
    True
    """
    if not 0 < alpha < 1:
        raise ValueError(f"`alpha` is {alpha}; give a chance between 0 and 1")
    if compared < 1:
        raise ValueError(f"`compared` is {compared}; give the number of models compared, at least 1")
    if not np.isfinite(distance) or distance < 0:
        raise ValueError(f"`distance` is {distance}; give a finite distance, at least 0")
    relative = float(relative_distance(distance, unrelated))
    calibration = np.asarray(unrelated, np.float64)
    n, nearer = len(calibration), int((calibration <= distance).sum())
    interval = rate_interval(nearer, n)
    p_value = min(1.0, compared * (nearer + 1) / (n + 1))
    needed = int(np.ceil(compared / alpha)) - 1
    models = f"{counted(compared, 'model')} compared"
    pairs = counted(n, "unrelated pair")
    start = f"nearest: {name}, relative distance {relative:.2f}; of {pairs} {nearer or 'none'}"
    start += (
        f" {'are' if nearer > 1 else 'is'} as near (a rate of {interval.low:.2g} to {interval.high:.2g}, {LEVEL:.0%})"
    )
    chance = f": p at most {_above(p_value)} for {models}"
    if p_value <= alpha:
        related, end = True, f"{chance}. Related."
    elif interval.low > alpha / compared:
        related, end = False, f"{chance}, no sign of a relation."
    elif n < needed:
        related = None
        need = "needs" if compared == 1 else "need"
        end = f", but {models} {need} {needed:,} unrelated pairs to tell that from chance: can't tell."
    else:
        related, end = None, f"{chance}; more unrelated pairs are needed: can't tell."
    return Judgement(relative, nearer, n, nearer / n, interval, p_value, alpha, related, start + end)


def common_alignment(
    suspect: Signature,
    unrelated: Sequence[Signature],
    compared: Iterable[tuple[str, ...] | None] = (),
    *,
    align: SearchAlign = "auto",
) -> SearchAlign:
    """The alignment with which a suspect can be searched for and judged: "auto" where all classes go by name, else "greedy".

    Greedy matching makes a pair nearer than matching by name does. So distances of pairs without class names, such as those to a
    remote suspect, must not be judged by distances of pairs that have them.

    Args:
        suspect: whose nearest model is looked for.
        unrelated: the yardstick.
        compared: class names of the models that the suspect is compared with, see `Entry.class_names`.
        align: "greedy" stays as it is.

    Returns:
        "auto" or "greedy".

    >>> from unittest.mock import Mock
    >>> named, remote = Mock(class_names=("cat", "dog")), Mock(class_names=None)
    >>> common_alignment(named, [named], [("dog", "cat")]), common_alignment(remote, [named], [("dog", "cat")])
    ('auto', 'greedy')
    """
    return one_alignment((suspect.class_names, *(each.class_names for each in unrelated), *compared), align=align)


def one_alignment(names: Iterable[tuple[str, ...] | None], *, align: SearchAlign = "auto") -> SearchAlign:
    """The alignment that all pairs of models can share: "auto" where all have the same class names, else "greedy".

    Args:
        names: class names of the models; None where a model has none.
        align: "greedy" stays as it is.

    Returns:
        "auto" or "greedy".

    >>> one_alignment([("cat", "dog"), ("dog", "cat")]), one_alignment([("cat", "dog"), None])
    ('auto', 'greedy')
    """
    known = set(names)
    if align != "auto" or any(each is None or len(set(each)) != len(each) for each in known):
        return "greedy"
    return "auto" if len({tuple(sorted(each)) for each in known if each is not None}) <= 1 else "greedy"


def check_unrelated(unrelated: Sequence[Signature], like: Signature) -> None:
    """Refuse unrelated models whose distances are no yardstick.

    Args:
        unrelated: which are known to be independent of each other.
        like: with which they must be comparable, and have as many classes as: the suspect, or one of them.

    Raises:
        ValueError: a model is named twice, two have the very same weights, or one has another number of classes.
        ProbeMismatchError, DegenerateSignatureError: as for `check_comparable`.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> check_unrelated([a, b], like=a)
    >>> check_unrelated([a, model("copy", a.weights)], like=a)
    Traceback (most recent call last):
    ValueError: copy has the very same weights as a; ...
    """
    weights: dict[bytes, str] = {}
    if len({each.label for each in unrelated}) < len(unrelated):
        raise ValueError("`unrelated` names a model twice; a model and its copy are not independent")
    for each in unrelated:
        check_comparable(like, each)
        if each.n_classes != like.n_classes:
            raise ValueError(
                f"{each.label} has {each.n_classes} classes and {like.label} {like.n_classes}, so that their distances are "
                f"no yardstick for one another; name unrelated models of as many classes as {like.label}"
            )
        same = weights.setdefault(hashlib.sha256(each.weights.tobytes()).digest(), each.label)
        if same != each.label:
            raise ValueError(
                f"{each.label} has the very same weights as {same}; `unrelated` takes models that are independent of each "
                "other: name one of the two"
            )


def unrelated_distances(
    suspect: Signature, unrelated: Sequence[Signature], *, apart: Sequence[str] = (), align: SearchAlign = "auto"
) -> Float[np.ndarray, " pairs"]:
    """Distances of the pairs among unrelated models, and of each of them to the suspect, all aligned in the same way.

    Args:
        suspect: unrelated to them too.
        unrelated: trained independently of each other; one that has the suspect's label is compared with the others only.
        apart: names of models that are to be judged, which are compared with the others only, too.
        align: as the suspect was searched for; "auto" goes by name only if it does for every pair, see `common_alignment`.

    Returns:
        float64 [pairs], first those among the unrelated models.

    Raises:
        ValueError, ProbeMismatchError, DegenerateSignatureError: as for `check_unrelated`.

    >>> rng = np.random.default_rng(0)
    >>> def model(label):
    ...     ones = np.ones((1, 2), np.float32)
    ...     return Signature(weights=rng.normal(size=(9, 2)).astype(np.float32), segment_counts=np.array([9]), r2=ones,
    ...                      variance=ones, probe_hash="0" * 64, label=label)
    >>> a, b, c = map(model, "abc")
    >>> len(unrelated_distances(a, [b, c])), len(unrelated_distances(a, [b, c], apart=["c"]))
    (3, 2)
    """
    check_unrelated(unrelated, suspect)
    align = common_alignment(suspect, unrelated, align=align)
    found = [pair_distances(distances_among(list(unrelated), align=align))] if unrelated else []
    others = [each for each in unrelated if each.label not in (suspect.label, *apart)]
    found.append(distances_to(suspect, others, align=align))
    return np.concatenate(found)


def rate_interval(k: int, n: int, level: float = LEVEL) -> Interval:
    """Clopper and Pearson's interval of a rate of which k of n cases are known.

    >>> low, high, _ = rate_interval(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    # Imported here: a search without a verdict does not need it.
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(low, high, level)


def _above(p_value: float) -> str:
    """A round number above a p-value."""
    digits = 3 if p_value > 0.001 else 4
    return f"{np.ceil(p_value * 10**digits) / 10**digits:.{digits}f}"
