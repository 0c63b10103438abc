"""The part of a report that shows references: both models' weights over the same photograph, text or sound."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zest_jax.alignment import Alignment
from zest_jax.errors import ProbeMismatchError
from zest_jax.evidence import ReferenceDistances, ShownClass, shown_class, spread_over
from zest_jax.report.drawing import folded
from zest_jax.report.figures import signature_figure
from zest_jax.report.page import Picture, Section, png_of
from zest_jax.signature import POOR_R2, Preview, Signature
from zest_jax.wording import decimals, ordinal

if TYPE_CHECKING:  # probe sets need JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

NOUNS: dict[str, str] = {"image": "photograph", "text": "text", "audio": "sound"}
# Letters of a name over a panel, and of a class.
LONGEST_NAME, LONGEST_CLASS = 60, 40
# Panels of a photograph side by side: two above two are seen together on a phone.
COLUMNS = 2


class Content(NamedTuple):
    """A reference that can be drawn, see `signature_figure`; `kept_by` is the model whose signature has it, if one has."""

    reference: int
    content: np.ndarray | str
    segments: np.ndarray
    rate: int | None
    kept_by: str | None = None


class Shown(NamedTuple):
    """References chosen to be drawn.

    Attributes:
        references: what they are.
        choice: how they were chosen, in words.
        warnings: what is odd about them.
    """

    references: list[Content]
    choice: str
    warnings: tuple[str, ...] = ()


def choose(
    suspect: Signature, model: Signature, apart: ReferenceDistances, probes: "ProbeSet | None", references: int
) -> Shown:
    """Choose the references to draw: with the probe set at even ranks, else those that the signatures keep.

    Raises:
        ProbeMismatchError: `probes` is another probe set than the models were signed with.
    """
    if probes is None:
        return _kept(suspect, model)
    total = len(suspect.segment_counts)
    if probes.hash != suspect.probe_hash:
        raise ProbeMismatchError(
            f"{suspect.label} was signed with probe set {suspect.probe_hash[:16]}, and {probes.hash[:16]} was given; pass the "
            "probe set that the model was signed with"
        )
    r2 = np.array([[local_r2(each, i) for i in range(total)] for each in (suspect, model)])
    # Where nothing varies there is no R², and nothing is explained.
    fitted = np.minimum(*r2) >= POOR_R2
    # Weights that explain nothing show nothing, however well they agree.
    usable = fitted & ~np.isnan(apart.distances)
    enough = int(usable.sum()) >= references
    chosen = spread_over(np.where(usable, apart.distances, np.nan) if enough else apart.distances, references)
    found = [Content(i, probes.references[i], probes.segments[i], probes.rate) for i in chosen]
    if not found:
        return Shown([], f"At none of {total} references do both models have weights, so none is drawn.")
    ranks = "from the one where the two models agree most to the one where they agree least, at even ranks between"
    few = {1: "the one where the two models agree as well as at half of the others"}
    of = f"Of {total} references"
    if enough and not usable.all():
        few_fitted = f"Of {total} references {int(usable.sum())} are explained by the linear fits of both models"
        of = f"{few_fitted} (R² of {POOR_R2} or more). Of these"
    drawn = "1 is" if len(found) == 1 else f"{len(found)} are"
    return Shown(found, f"{of} {drawn} drawn: {few.get(len(found), ranks)}.")


def _kept(suspect: Signature, model: Signature) -> Shown:
    """What the two signatures keep; of the same reference what the known model's does, since the suspect is a stranger's."""
    total = len(suspect.segment_counts)
    kept, warnings = {}, []
    for each in (suspect, model):
        if (preview := each.preview) is None:
            continue
        i = preview.reference_index
        if not 0 <= i < total:
            warnings.append(
                f"the signature of {each.label} keeps reference {i}, and there are {total}; it is left out."
            )
            continue
        if i in kept and not _same(kept[i], preview):
            warnings.append(
                f"the signatures of {suspect.label} and {model.label} keep different contents of reference {i}, so one of them "
                f"is not what the models were asked about. What {model.label} keeps is drawn; the probe set (--probes) tells."
            )
        kept[i] = Content(i, preview.content, preview.segments, preview.rate, each.label)
    found = [kept[i] for i in sorted(kept)]
    if not found:
        choice = "The signatures keep no reference to draw; the probe set (--probes) has them all."
        return Shown([], choice, tuple(warnings))
    what = "the reference that each model's linear fit explains best" if len(found) > 1 else "one reference"
    choice = (
        f"Without the probe set only what the signatures keep can be drawn: {what}. With it (--probes) any can, and it is sure "
        "what the models were asked about."
    )
    return Shown(found, choice, tuple(warnings))


def _same(content: Content, preview: Preview) -> bool:
    """Whether two signatures keep the same."""
    if isinstance(content.content, str) or isinstance(preview.content, str):
        same = type(content.content) is type(preview.content) and content.content == preview.content
    else:
        same = content.content.dtype == preview.content.dtype and np.array_equal(content.content, preview.content)
    return bool(same) and content.rate == preview.rate and np.array_equal(content.segments, preview.segments)


def reference_part(
    a: Signature, b: Signature, matched: Alignment, apart: ReferenceDistances, shown: Content
) -> Section:
    """Draw one reference with the weights of both models for the class that `a` answers, and tell what is known of it."""
    i = shown.reference
    chosen = shown_class(a, matched, i)
    name = class_name(a, chosen.a)
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
            class_index=[chosen.a, chosen.b],
            class_names=[name] * a.n_classes,
            distances=[None, None if np.isnan(local) else local],
            most_columns=COLUMNS,
        )
        png = png_of(figure)
    except ValueError as error:
        # What a signature keeps may be damaged, or forged; the page shows the rest.
        return Section(name=f"reference-{i}", heading=heading, warnings=(f"it cannot be drawn: {error}",))
    rank = int((apart.distances < local).sum()) + 1
    defined = int((~np.isnan(apart.distances)).sum())
    parts = [_classes_in_words(both[0], both[1], chosen)]
    if np.isnan(local):
        parts.append("One of the models has no weights here, so there is no distance.")
    else:
        parts.append(f"Over all classes the distance here is {local:.4f}, the {ordinal(rank)} smallest of {defined}.")
    parts.append(f"R² of the fits: {_r2(a, i)} and {_r2(b, i)}.")
    if shown.kept_by is not None:
        parts.append(f"The reference is as the signature of {_short(shown.kept_by, LONGEST_NAME)} keeps it.")
    noun = NOUNS.get(str(a.settings.get("modality", "image")), "reference")
    picture = Picture(
        name=f"reference-{i}",
        png=png,
        alt=f"Reference {i}, a {noun}, with the weights of {both[0].label} and of {both[1].label} for the class “{name}” "
        "in colours",
        caption=" ".join(parts),
    )
    return Section(name=f"reference-{i}", heading=heading, pictures=(picture,))


def _classes_in_words(a: Signature, b: Signature, chosen: ShownClass) -> str:
    """Which class is drawn, and why."""
    names = f"“{class_name(a, chosen.a)}” of {a.label}", f"“{class_name(b, chosen.b)}” of {b.label}"
    colours = "blue speaks for the class, red against it."
    if chosen.answered == chosen.a:
        return f"Weights for the class {names[0]}, its answer here by the linear fit, and for its match {names[1]}: {colours}"
    return (
        f"By the linear fit {a.label} answers “{class_name(a, chosen.answered)}” here, which is matched with no class of "
        f"{b.label}. Of the matched classes it answers {names[0]}, whose weights are drawn, and those of its match "
        f"{names[1]}: {colours}"
    )


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
    return "none, as nothing varies" if np.isnan(value) else decimals(value, 2)


def _short(name: str, most: int) -> str:
    return folded(name, width=most, lines=1)
