"""The part of a report that shows references: both models' weights over the same photograph, text or sound."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zest_jax.alignment import Alignment
from zest_jax.errors import ProbeMismatchError
from zest_jax.evidence import ReferenceDistances, shown_class, spread_over
from zest_jax.report.drawing import folded
from zest_jax.report.figures import signature_figure
from zest_jax.report.page import Picture, Section, png_of
from zest_jax.signature import POOR_R2, Signature

if TYPE_CHECKING:  # probe sets need JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

NOUNS: dict[str, str] = {"image": "photograph", "text": "text", "audio": "sound"}
# Letters of a name over a panel, and of a class.
LONGEST_NAME, LONGEST_CLASS = 60, 40


class Content(NamedTuple):
    """A reference that can be drawn: see `signature_figure`."""

    reference: int
    content: np.ndarray | str
    segments: np.ndarray
    rate: int | None


class Shown(NamedTuple):
    """References chosen to be drawn.

    Attributes:
        references: what they are.
        choice: how they were chosen, in words.
    """

    references: list[Content]
    choice: str


def choose(a: Signature, b: Signature, apart: ReferenceDistances, probes: "ProbeSet | None", references: int) -> Shown:
    """Choose the references to draw: with the probe set at even ranks, else those that the signatures keep.

    Raises:
        ProbeMismatchError: `probes` is another probe set than the models were signed with.
    """
    total = len(a.segment_counts)
    if probes is None:
        kept = {each.preview.reference_index: each.preview for each in (b, a) if each.preview is not None}
        found = [Content(i, p.content, p.segments, p.rate) for i, p in sorted(kept.items()) if 0 <= i < total]
        if not found:
            return Shown([], "The signatures keep no reference to draw; the probe set (--probes) has them all.")
        what = "the reference that each model's linear fit explains best" if len(found) > 1 else "one reference"
        choice = (
            f"Without the probe set only what the signatures keep can be drawn: {what}. With it (--probes) any can."
        )
        return Shown(found, choice)
    if probes.hash != a.probe_hash:
        raise ProbeMismatchError(
            f"{a.label} was signed with probe set {a.probe_hash[:16]}, and {probes.hash[:16]} was given; pass the probe set that "
            "the model was signed with"
        )
    fitted = np.array([min(local_r2(a, i), local_r2(b, i)) >= POOR_R2 for i in range(total)])
    # Weights that explain nothing show nothing, however well they agree.
    enough = int((fitted & ~np.isnan(apart.distances)).sum()) >= references
    chosen = spread_over(np.where(fitted, apart.distances, np.nan) if enough else apart.distances, references)
    found = [Content(i, probes.references[i], probes.segments[i], probes.rate) for i in chosen]
    ranks = "from the one where the two models agree most to the one where they agree least, at even ranks between"
    few = {1: "the one where the two models agree as well as at half of the others"}
    of = f"Of {total} references"
    if enough and not fitted.all():
        few_fitted = f"Of {total} references {int(fitted.sum())} are explained by the linear fits of both models"
        of = f"{few_fitted} (R² of {POOR_R2} or more). Of these"
    drawn = "1 is" if len(found) == 1 else f"{len(found)} are"
    return Shown(found, f"{of} {drawn} drawn: {few.get(len(found), ranks)}.")


def reference_part(
    a: Signature, b: Signature, matched: Alignment, apart: ReferenceDistances, shown: Content
) -> Section:
    """Draw one reference with the weights of both models for the class that `a` answers, and tell what is known of it."""
    i = shown.reference
    class_a, class_b = shown_class(a, b, matched, i)
    name_a, name_b = class_name(a, class_a), class_name(b, class_b)
    local = float(apart.distances[i])
    both = [dataclasses.replace(each, label=_short(each.label, LONGEST_NAME)) for each in (a, b)]
    heading = f"Reference {i}"
    try:
        figure = signature_figure(
            both,
            content=shown.content,
            segments=shown.segments,
            rate=shown.rate,
            reference=i,
            class_index=[class_a, class_b],
            class_names=[name_a] * a.n_classes,
            distances=[None, None if np.isnan(local) else local],
        )
    except ValueError as error:
        # What a signature keeps may be damaged, or forged; the page shows the rest.
        return Section(name=f"reference-{i}", heading=heading, warnings=(f"it cannot be drawn: {error}",))
    rank = int((apart.distances < local).sum()) + 1
    defined = int((~np.isnan(apart.distances)).sum())
    parts = [
        (
            f"Weights for the class “{name_a}” of {both[0].label}, which the linear fit takes this reference for, and for its "
            f"match “{name_b}” of {both[1].label}: blue speaks for the class, red against it."
        )
    ]
    if np.isnan(local):
        parts.append("One of the models has no weights here, so there is no distance.")
    else:
        parts.append(f"Over all classes the distance here is {local:.4f}, the {_ordinal(rank)} smallest of {defined}.")
    parts.append(f"R² of the fits: {_r2(a, i)} and {_r2(b, i)}.")
    noun = NOUNS.get(str(a.settings.get("modality", "image")), "reference")
    picture = Picture(
        name=f"reference-{i}",
        png=png_of(figure),
        alt=f"Reference {i}, a {noun}, with the weights of {both[0].label} and of {both[1].label} for the class “{name_a}” "
        "in colours",
        caption=" ".join(parts),
    )
    return Section(name=f"reference-{i}", heading=heading, pictures=(picture,))


def class_name(signature: Signature, index: int) -> str:
    """What a class is called, or its number."""
    names = signature.class_names
    return f"class {index}" if names is None else _short(names[index], LONGEST_CLASS)


def local_r2(signature: Signature, reference: int) -> float:
    """R² of the local fit around one reference, over all classes, weighted by their variance; NaN where nothing varies."""
    variance = signature.variance[reference].astype(np.float64)
    if not variance.sum() > 0:
        return float("nan")
    return float((variance * np.nan_to_num(signature.r2[reference])).sum() / variance.sum())


def _r2(signature: Signature, reference: int) -> str:
    value = local_r2(signature, reference)
    return "none, as nothing varies" if np.isnan(value) else f"{value:.2f}".replace("-", "−")


def _short(name: str, most: int) -> str:
    return folded(name, width=most, lines=1)


def _ordinal(n: int) -> str:
    """A rank in words.

    >>> [_ordinal(n) for n in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
