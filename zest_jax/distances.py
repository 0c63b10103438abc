"""Phase 4c: distances between signatures, and the relative distance (paper, Algorithm 1, line 12; Appendix C and G)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from zest_jax.alignment import METRICS, Alignment, AlignMethod, Metric, align
from zest_jax.errors import ProbeMismatchError
from zest_jax.fit_quality import warn_of_poor_fits
from zest_jax.signature import Signature

__all__ = ["distance", "distance_matrix", "relative_distance"]

# Distances of models with equal weights differ from 0 by rounding.
EQUAL = 1e-9


def distance(
    a: Signature,
    b: Signature,
    *,
    metric: Metric = "cosine",
    align: AlignMethod | Alignment = "auto",
) -> float:
    """Distance between two models through their signatures.

    Args:
        a: signature of one model.
        b: of another, from the same probe set, fitted with the same settings.
        metric: "cosine", 1 - <S_a, S_b> / (|S_a| |S_b|), in [0, 2] (the paper's choice); "l1", "l2" or "linf" norm of S_a - S_b.
        align: how classes are matched first, see `zest_jax.alignment.align`, or an `Alignment` found before. When the models have
            different numbers of classes, the classes that stay unmatched are left out.

    Returns:
        the distance, at least 0.

    Raises:
        ProbeMismatchError: the signatures come from different probe sets or were fitted with different settings.
        DegenerateSignatureError: a signature carries no information.
        ValueError: an unknown metric, or `align="none"` for different numbers of classes.

    Warns:
        PoorFitWarning: linear explanations hardly fit one of the models; told once of each signature, by `sign` or here.

    >>> from zest_jax import from_jax, image_probes, sign
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 4, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> a = sign(from_jax(lambda x: x.mean((1, 2))), probes)
    >>> b = sign(from_jax(lambda x: x[..., ::-1].mean((1, 2))), probes)    # the same model, its classes permuted
    >>> bool(distance(a, b) < 1e-6), bool(distance(a, b, align="none") > 1e-3)
    (True, True)
    """
    check_comparable(a, b)
    warn_of_poor_fits((a, b))
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    found = _align(a, b, align, metric)
    x, y = a.weights[:, found.a_classes].astype(np.float64), b.weights[:, found.b_classes].astype(np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(x) * np.linalg.norm(y)
        if norms == 0:
            a.select_classes(found.a_classes).check_informative()
            b.select_classes(found.b_classes).check_informative()
        return float(max(0.0, 1 - np.vdot(x, y) / norms))
    difference = np.abs(x - y)
    return float(
        {"l1": difference.sum, "l2": lambda: np.sqrt(np.square(difference).sum()), "linf": difference.max}[metric]()
    )


def _align(a: Signature, b: Signature, how: AlignMethod | Alignment, metric: Metric) -> Alignment:
    if not isinstance(how, Alignment):
        return align(a, b, method=how, metric=metric)
    for signature, classes in ((a, how.a_classes), (b, how.b_classes)):
        unique = np.unique(classes)
        if len(unique) != len(classes) or len(unique) == 0 or unique[0] < 0 or unique[-1] >= signature.n_classes:
            raise ValueError(
                f"the alignment names classes {np.asarray(classes).tolist()[:10]} of {signature.label}; each must be one of its "
                f"{signature.n_classes} and be named once"
            )
    if len(how.a_classes) != len(how.b_classes):
        raise ValueError(
            f"the alignment matches {len(how.a_classes)} classes with {len(how.b_classes)}; the numbers must agree"
        )
    return how


def distance_matrix(
    signatures: Sequence[Signature], *, metric: Metric = "cosine", align: AlignMethod = "auto"
) -> Float[np.ndarray, "models models"]:
    """Distances between all pairs of models.

    Args:
        signatures: from the same probe set, fitted with the same settings.
        metric: as for `distance`.
        align: as for `distance`.

    Returns:
        float64 [models, models], symmetric, 0 on the diagonal.

    Raises:
        ProbeMismatchError, DegenerateSignatureError, ValueError: as for `distance`.

    >>> def model(weights):
    ...     ones = np.ones((1, 2), np.float32)
    ...     return Signature(weights=np.array(weights, np.float32), segment_counts=np.array([3]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label="m")
    >>> a, b = model([[1, 0], [0, 1], [2, 1]]), model([[0, 3], [1, 0], [1, 2]])
    >>> distance_matrix([a, b, a], metric="l1", align="none").tolist()
    [[0.0, 8.0, 0.0], [8.0, 0.0, 8.0], [0.0, 8.0, 0.0]]
    """
    n = len(signatures)
    distances = np.zeros((n, n))
    for signature in signatures:
        check_comparable(signature, signatures[0])
    warn_of_poor_fits(signatures)
    for i in range(n):
        for j in range(i + 1, n):
            distances[i, j] = distances[j, i] = distance(signatures[i], signatures[j], metric=metric, align=align)
    return distances


def check_comparable(a: Signature, b: Signature) -> None:
    """Refuse to compare what cannot be compared.

    Raises:
        ProbeMismatchError: different probe sets or settings.
        DegenerateSignatureError: a signature carries no information.
    """
    for value in (a, b):
        if not isinstance(value, Signature):
            raise TypeError(
                f"a Signature is needed, got {type(value).__name__}; make one with `sign`, or read it with `Signature.load`"
            )
    if a.probe_hash != b.probe_hash:
        raise ProbeMismatchError(
            f"{a.label} was signed with probe set {a.probe_hash[:16]}, {b.label} with {b.probe_hash[:16]}; "
            "signatures from different "
            "probe sets cannot be compared: sign both models with the same probes file"
        )
    ours, theirs = comparable_settings(a), comparable_settings(b)
    for name in ("solve", "targets"):
        left, right = ours[name], theirs[name]
        if left != right:
            raise ProbeMismatchError(
                f"{a.label} and {b.label} were fitted differently ({name}: {left} and {right}); sign both with the same settings"
            )
    if ours["outputs"] != theirs["outputs"]:
        raise ProbeMismatchError(
            f"{a.label} answers with {ours['outputs']}, {b.label} with {theirs['outputs']}; "
            "sign both with targets='probabilities' (or 'logits')"
        )
    a.check_informative()
    b.check_informative()


def comparable_settings(signature: Signature) -> dict[str, Any]:
    """How a model was asked and fitted: signatures compare only where this is equal.

    Returns:
        "solve", "targets" and, where these are the outputs as they are, "outputs": what kind those are.
    """
    solve, targets = signature.settings.get("solve"), signature.settings.get("targets")
    if isinstance(solve, dict):
        # The solvers agree to rounding, so which of them was used does not matter.
        solve = {name: value for name, value in solve.items() if name != "solver"}
    return {
        "solve": solve,
        "targets": targets,
        "outputs": signature.settings.get("outputs") if targets == "as-is" else None,
    }


def relative_distance(
    distance: Float[np.ndarray, " pairs"] | float, unrelated: Float[np.ndarray, " calibration"] | Sequence[float]
) -> np.ndarray:
    """Scale distances by the mean distance of unrelated models (paper, Appendix C, eq. 1).

    Below 1 the pair is closer than two independent trainings of the same task are on average.

    Args:
        distance: one distance, or [pairs].
        unrelated: distances of unrelated pairs, [calibration], better five or more.

    Returns:
        float64, as many as there are distances.

    Raises:
        ValueError: `unrelated` is empty, not finite, negative, or has a mean of 0.

    >>> relative_distance(0.3, [0.9, 1.1]).item()
    0.3
    """
    calibration = np.asarray(unrelated, np.float64)
    if calibration.size == 0:
        raise ValueError("`unrelated` is empty; pass the distances of at least one unrelated pair, better five or more")
    if not (np.isfinite(calibration).all() and calibration.min() >= 0 and calibration.mean() > 0):
        raise ValueError(f"`unrelated` must be finite distances with a mean above 0; got {calibration.tolist()[:5]}")
    return np.asarray(distance, np.float64) / calibration.mean()
