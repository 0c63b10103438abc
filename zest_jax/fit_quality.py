"""Which models the linear explanations hardly fit, and how that is told: once of each signature."""

import sys
import warnings
import weakref
from collections.abc import Iterable, Sequence

import numpy as np

from zest_jax.errors import PoorFitWarning
from zest_jax.signature import POOR_R2, Signature
from zest_jax.wording import listed

# Of which it was told: signing and every distance would repeat it.
_told: "weakref.WeakSet[Signature]" = weakref.WeakSet()


def hardly_fitted(signatures: Iterable[Signature], names: Sequence[str] | None = None) -> str | None:
    """Say which models the linear explanations hardly fit, with their R2; None if there are none.

    Args:
        signatures: of the models; one whose outputs never vary has no R2, and is not meant.
        names: what they are called; their labels by default.

    >>> def model(label, r2):
    ...     return Signature(weights=np.ones((2, 1), np.float32), segment_counts=np.array([2]), r2=np.array([[r2]]),
    ...                      variance=np.ones((1, 1)), probe_hash="0" * 64, label=label)
    >>> hardly_fitted([model("a", 0.9), model("b", 0.04)])
    'linear explanations hardly fit b (0.04): R2 below 0.1, so distances say little'
    >>> hardly_fitted([model("a", 0.04), model("a", 0.9)])     # of one name
    'linear explanations hardly fit a (0.04): R2 below 0.1, so distances say little'
    >>> hardly_fitted([model("a", 0.9)]) is None
    True
    """
    signatures = list(signatures)
    called = [each.label for each in signatures] if names is None else names
    fits = zip(called, (each.mean_r2() for each in signatures), strict=True)
    poor = [f"{name} ({r2:.2f})" for name, r2 in fits if r2 < POOR_R2]
    if not poor:
        return None
    return f"linear explanations hardly fit {', '.join(poor)}: R2 below {POOR_R2}, so distances say little"


def inputs_told(signature: Signature) -> str | None:
    """Say in what form a model of images was given its inputs, as its adapter was told; None if it is not noted.

    >>> def model(**settings):
    ...     return Signature(weights=np.ones((2, 1), np.float32), segment_counts=np.array([2]), r2=np.ones((1, 1)),
    ...                      variance=np.ones((1, 1)), probe_hash="0" * 64, label="a", settings={"model": settings})
    >>> inputs_told(model(mean=[0.5], std=[0.25], value_range=[0.0, 1.0]))
    'mean 0.5, std 0.25'
    >>> inputs_told(model(mean=None, std=None, value_range=[0, 255]))
    'values 0 to 255'
    >>> inputs_told(model(mean=None, std=None, value_range=[0, 1])), inputs_told(model(name="texts"))
    ('as they are', None)
    """
    model = signature.settings.get("model")
    if (
        not isinstance(model, dict)
        or "value_range" not in model
        or signature.settings.get("modality", "image") != "image"
    ):
        return None
    low, high = model.get("value_range") or (0, 1)
    found = [] if (low, high) == (0, 1) else [f"values {low:g} to {high:g}"]
    for name in ("mean", "std"):
        values = model.get(name)
        if values is not None:
            found.append(f"{name} {', '.join(f'{value:.4g}' for value in np.atleast_1d(values))}")
    return ", ".join(found) or "as they are"


def other_inputs(signatures: Sequence[Signature], names: Sequence[str] | None = None) -> str | None:
    """Say which models were given their inputs in another form than others; None if there are none.

    That may be right, as models are trained in different ways; where it is not, distances mean nothing.

    Args:
        signatures: of the models; those that do not note it are not meant.
        names: what they are called; their labels by default.

    >>> def model(label, high):
    ...     return Signature(weights=np.ones((2, 1), np.float32), segment_counts=np.array([2]), r2=np.ones((1, 1)),
    ...                      variance=np.ones((1, 1)), probe_hash="0" * 64, label=label,
    ...                      settings={"model": {"value_range": [0, high]}})
    >>> other_inputs([model("a", 1), model("b", 255)])
    'inputs were given in different forms, which is right only if the models were trained so: a: as they are; b: values 0 to 255'
    >>> other_inputs([model("a", 1), model("b", 1)]) is None
    True
    """
    told: dict[str, list[str]] = {}
    for name, signature in zip(names or [each.label for each in signatures], signatures, strict=True):
        if (text := inputs_told(signature)) is not None and name not in told.setdefault(text, []):
            told[text].append(name)
    if len(told) < 2:
        return None
    groups = "; ".join(f"{listed(models, 5)}: {text}" for text, models in told.items())
    return f"inputs were given in different forms, which is right only if the models were trained so: {groups}"


def warn_of_poor_fits(signatures: Iterable[Signature]) -> None:
    """Warn of the models that the linear explanations hardly fit, once of each signature.

    Warns:
        PoorFitWarning: names the models with their R2, what is likely the matter, and what to do.
    """
    new = [each for each in signatures if each not in _told]
    text = hardly_fitted(new)
    _told.update(new)
    if text is not None:
        warnings.warn(f"{text}. {_CAUSES}", PoorFitWarning, stacklevel=_outside())


_CAUSES = (
    "Likely the model does not get its inputs as it was trained (`mean`, `std` and `value_range` of its adapter), its "
    "probabilities are saturated (sign with `targets='logits'`), its outputs have an offset (sign with `intercept=True`), or "
    "there are too few masks for the segments (raise `n_samples`, or make fewer segments)"
)


def _outside() -> int:
    """The stack level, for the caller of this, of the line that called this package."""
    level, frame = 0, sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "zest_jax":
        level, frame = level + 1, frame.f_back
    return level + 1
