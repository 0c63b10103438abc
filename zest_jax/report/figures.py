"""Draw what signatures hold: a class's weights over the parts of a reference, and a matrix of distances."""

import os
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer, Num
from matplotlib.figure import Figure

from zest_jax.report.drawing import DPI, MOST_COLUMNS, NARROW_TITLE, WeightedReference, write_figure
from zest_jax.report.photographs import checked_photograph, weighted_photograph
from zest_jax.report.sounds import checked_sound, weighted_sound
from zest_jax.report.texts import checked_text, weighted_text
from zest_jax.signature import Preview, Signature

SEQUENTIAL = "Blues"
# The share of elements (pixels, samples, ...) whose weights may lie beyond the colour scale.
BEYOND = 0.02


def element_weights(
    signature: Signature, reference: int, class_index: int, segments: Integer[np.ndarray, "*elements"]
) -> Float[np.ndarray, "*elements"]:
    """Give every element the weight of its segment for one class: w[e] = W_i[segments[e], class].

    Elements are what `segments` labels: pixels of an image, samples of a sound or cells of its transform, characters of a
    text. Where the label is -1, which is never masked, the weight is NaN.

    Args:
        signature: of the model.
        reference: the index i of the reference, from 0.
        class_index: the class, from 0.
        segments: labels of that reference, 0 to K_i - 1, or -1.

    Returns:
        weights shaped like `segments`.

    Raises:
        ValueError: the class does not exist, or `segments` has another number of segments than the reference was signed
            with.

    >>> signature = Signature(weights=np.array([[1.0], [-2.0]], np.float32), segment_counts=np.array([2]),
    ...                       r2=np.ones((1, 1)), variance=np.ones((1, 1)), probe_hash="", label="victim")
    >>> element_weights(signature, 0, 0, np.array([[0, 0], [1, 1]])).tolist()
    [[1.0, 1.0], [-2.0, -2.0]]
    >>> element_weights(signature, 0, 0, np.array([0, -1, 1])).tolist()
    [1.0, nan, -2.0]
    """
    weights = signature.of_reference(reference)
    if not 0 <= class_index < signature.n_classes:
        raise ValueError(
            f"`class_index` is {class_index}; {signature.label} has classes 0 to {signature.n_classes - 1}"
        )
    lowest, found = int(segments.min(initial=0)), int(segments.max(initial=-1)) + 1
    if found != len(weights) or lowest < -1:
        raise ValueError(
            f"`segments` has labels {max(lowest, 0) if lowest >= -1 else lowest} to {found - 1}, but {signature.label} was "
            f"signed with {len(weights)} segments of reference {reference}; pass the segments of that reference "
            f"(`probes.segments[{reference}]`)"
        )
    # -1 takes what is put at the end.
    return np.append(weights[:, class_index], np.float32(np.nan))[segments]


def signature_figure(
    signatures: Signature | Sequence[Signature],
    *,
    content: np.ndarray | str | None = None,
    segments: Integer[np.ndarray, "..."] | None = None,
    rate: int | None = None,
    reference: int | None = None,
    class_index: int | Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    distances: Sequence[float | None] | None = None,
    most_columns: int = MOST_COLUMNS,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw one reference, an image, a text or a sound, and each model's weights over its segments for one class.

    All models share one colour scale, symmetric around 0: blue segments speak for the class, red ones against it. An image is
    drawn with its super-pixels, and once for each model in grey under the colours. A text is drawn once for each model, every
    word on the colour of its weight, and what is never masked on none; of a long text the beginning. A sound is drawn as its
    waveform before the colours of its windows, a long one by its envelope; or, where cells of a transform are masked, as a
    spectrogram above the coloured cells of each model.

    Args:
        signatures: one to about eight, from the same probe set.
        content: the reference: an image [H, W, C] or [H, W], uint8, or float in [0, 1]; a text; a sound [samples], int16,
            or float in [-1, 1]. By default that which a signature keeps (`Signature.preview`).
        segments: labels of its elements: of pixels [H, W]; of characters, -1 where one is never masked; of samples
            [samples] or of cells [bins, frames].
        rate: samples per second, of a sound given as `content`.
        reference: which reference of the probe set that is. By default the one that the first signature keeps.
        class_index: the class to draw, the same for all models or one for each. By default the one that the first model's
            weights add up highest for: its answer to the whole reference, as the linear fit sees it.
        class_names: names of the first model's outputs, where its signature does not know them.
        distances: of each model to the first, written over its panel; None leaves one out.
        most_columns: panels of an image side by side, at most.
        path: where to write the picture as well; the ending decides the format (.png, .pdf or .svg).

    Returns:
        the figure; nothing is shown on a screen.

    Raises:
        ValueError: there is no signature or nothing to draw, the parts do not fit, or the format is unknown.

    >>> segments = np.array([[0, 0], [1, 1]], np.int32)
    >>> signature = Signature(weights=np.array([[1.0], [-2.0]], np.float32), segment_counts=np.array([2]),
    ...                       r2=np.ones((1, 1)), variance=np.ones((1, 1)), probe_hash="", label="victim")
    >>> figure = signature_figure(signature, content=np.zeros((2, 2, 3), np.uint8), segments=segments, reference=0)
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['reference 0', '2 super-pixels', 'victim']
    >>> figure = signature_figure(signature, content="a b", segments=np.array([0, -1, 1]), reference=0)
    >>> [word.get_text() for word in figure.axes[0].texts]
    ['a', 'b']
    """
    signatures = [signatures] if isinstance(signatures, Signature) else list(signatures)
    if not signatures:
        raise ValueError("no signatures were given; pass at least one")
    _check_same_probes(signatures)
    drawn = _drawn_reference(signatures, reference, content, segments, rate)
    classes = _classes(signatures, drawn.reference_index, class_index)
    if distances is not None and len(distances) != len(signatures):
        raise ValueError(
            f"`distances` has {len(distances)} entries for {len(signatures)} signatures; give one for each"
        )

    def weighted(labels: Integer[np.ndarray, "*elements"], unit: str) -> WeightedReference:
        i = drawn.reference_index
        weights = [element_weights(s, i, c, labels) for s, c in zip(signatures, classes, strict=True)]
        name = _class_name(signatures[0], classes[0], class_names)
        return WeightedReference(
            index=i,
            weights=weights,
            labels=[signature.label for signature in signatures],
            distances=[None] * len(signatures) if distances is None else list(distances),
            limit=_limit(weights),
            caption=f"weight of a {unit} for “{name}” (blue: for it, red: against it)",
        )

    if isinstance(drawn.content, str):
        text, labels = checked_text(drawn.content, drawn.segments)
        figure = weighted_text(text, labels, weighted(labels, "word"))
    elif drawn.rate is not None or drawn.content.ndim == 1:
        sound, labels = checked_sound(drawn.content, drawn.segments, drawn.rate)
        figure = weighted_sound(sound, labels, weighted(labels, "time window" if labels.ndim == 1 else "cell"))
    else:
        image, labels = checked_photograph(drawn.content, drawn.segments)
        figure = weighted_photograph(image, labels, weighted(labels, "super-pixel"), most_columns)
    if path is not None:
        write_figure(figure, path)
    return figure


def distance_figure(
    distances: Num[np.ndarray, "models models"],
    labels: Sequence[str],
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw a matrix of distances, with its numbers.

    Args:
        distances: [models, models], as `distance_matrix` returns it.
        labels: one for each model.
        path: where to write the picture as well; the ending decides the format.
        title: over the matrix.

    Returns:
        the figure; nothing is shown on a screen.

    Raises:
        ValueError: the matrix is not square, or has another size than `labels`.

    >>> figure = distance_figure(np.array([[0, 0.5], [0.5, 0]]), ["victim", "suspect"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.000', '0.500', '0.500', '0.000']
    """
    matrix = np.asarray(distances, np.float64)
    n = len(labels)
    if matrix.shape != (n, n) or n == 0:
        raise ValueError(f"`distances` has shape {matrix.shape} for {n} labels; give one row and one column per label")
    size = 1.6 + 0.8 * n
    figure = Figure(figsize=(size + 0.8, size), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(matrix, cmap=SEQUENTIAL, vmin=0)
    names = [textwrap.fill(label, NARROW_TITLE) for label in labels]
    axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=9, parse_math=False)
    axes.set_yticks(range(n), names, fontsize=9, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    middle = float(np.nanmax(matrix, initial=0)) / 2
    for i, j in np.ndindex(n, n):
        value = matrix[i, j]
        axes.text(
            j, i, f"{value:.3f}", ha="center", va="center", fontsize=9, color="white" if value > middle else "black"
        )
    if title is not None:
        axes.set_title(title, fontsize=10, parse_math=False)
    figure.colorbar(shown, ax=axes, shrink=0.8).set_label("distance", fontsize=10)
    if path is not None:
        write_figure(figure, path)
    return figure


def _check_same_probes(signatures: Sequence[Signature]) -> None:
    first = signatures[0]
    for other in signatures[1:]:
        if other.probe_hash != first.probe_hash:
            raise ValueError(
                f"{first.label} was signed with probe set {first.probe_hash[:16]}, {other.label} with "
                f"{other.probe_hash[:16]}; signatures from different probe sets do not share segments: draw them apart"
            )


def _drawn_reference(
    signatures: Sequence[Signature],
    reference: int | None,
    content: np.ndarray | str | None,
    segments: np.ndarray | None,
    rate: int | None,
) -> Preview:
    """The reference to draw: as given, or as a signature keeps it."""
    if (content is None) != (segments is None):
        raise ValueError("`content` and `segments` belong together; give both or neither")
    if content is None or segments is None:
        if rate is not None:
            raise ValueError("`rate` belongs to a sound given as `content`; leave it out, a signature keeps it")
        kept = [s.preview for s in signatures if s.preview is not None]
        chosen = next((p for p in kept if reference is None or p.reference_index == reference), None)
        if chosen is None:
            which = "a reference" if reference is None else f"reference {reference}"
            raise ValueError(
                f"no signature keeps {which} to draw (kept: {sorted({p.reference_index for p in kept})}); pass `content` "
                "and `segments` from the probe set, and `reference`"
            )
        return chosen
    if reference is None:
        raise ValueError("say with `reference` which reference of the probe set `content` is")
    if isinstance(content, str):
        if rate is not None:
            raise ValueError(f"`content` is a text and `rate` is {rate}; leave `rate` out: only sounds have one")
        return Preview(reference, content, np.asarray(segments))
    array = np.asarray(content)
    if array.dtype.kind not in "buif":
        raise ValueError(f"`content` holds {array.dtype} values; give one text, image or sound")
    return Preview(reference, array, np.asarray(segments), rate)


def _limit(weights: Sequence[np.ndarray]) -> float:
    """Where the colours end: above all but the 2% of elements with the largest weights, so that one of them cannot pale all."""
    magnitude = np.abs(np.stack(weights))
    # A signature of zeros still needs a scale.
    return float(np.nanquantile(magnitude, 1 - BEYOND)) or float(np.nanmax(magnitude)) or 1.0


def _classes(
    signatures: Sequence[Signature], reference: int, class_index: int | Sequence[int] | np.ndarray | None
) -> list[int]:
    if class_index is None:
        first = signatures[0]
        score = first.of_reference(reference).sum(axis=0)
        if first.intercept is not None:
            score = score + first.intercept[reference]
        class_index = int(score.argmax())
    if isinstance(class_index, int | np.integer):
        return [int(class_index)] * len(signatures)
    if len(class_index) != len(signatures):
        raise ValueError(
            f"`class_index` has {len(class_index)} entries for {len(signatures)} signatures; give one for each, or one for all"
        )
    return [int(c) for c in class_index]


def _class_name(signature: Signature, class_index: int, class_names: Sequence[str] | None) -> str:
    names = signature.class_names if class_names is None else class_names
    if names is None:
        return f"class {class_index}"
    if len(names) != signature.n_classes:
        raise ValueError(
            f"`class_names` has {len(names)} names for {signature.n_classes} classes; give one name for each"
        )
    return names[class_index]
