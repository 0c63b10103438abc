"""Draw what signatures hold: a class's weights over the super-pixels of a photograph, and a matrix of distances."""

import os
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Integer, Num
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from zest_jax.report.drawing import (
    DPI,
    LINE,
    PANEL,
    draw_photo,
    grid_shape,
    outlined,
    photo_panels,
    plain_rgb,
    write_figure,
)
from zest_jax.signature import Signature

# Red against the class, blue for it: the two ends stay apart for every common kind of colour blindness.
DIVERGING = "RdBu"
SEQUENTIAL = "Blues"
# How much of the colour and of the grey photograph under it is seen.
COLOUR_ALPHA = 0.72
PHOTO_ALPHA = 0.55
LABEL_WIDTH = 24
# The share of pixels whose weights may lie beyond the colour scale.
BEYOND = 0.02


def pixel_weights(
    signature: Signature, reference: int, class_index: int, segments: Integer[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"]:
    """Give every pixel the weight of its super-pixel for one class: w[h, w] = W_i[segments[h, w], class].

    Raises:
        ValueError: the class does not exist, or `segments` has another number of segments than the reference was signed
            with.

    >>> signature = Signature(weights=np.array([[1.0], [-2.0]], np.float32), segment_counts=np.array([2]),
    ...                       r2=np.ones((1, 1)), variance=np.ones((1, 1)), probe_hash="", label="victim")
    >>> pixel_weights(signature, 0, 0, np.array([[0, 0], [1, 1]])).tolist()
    [[1.0, 1.0], [-2.0, -2.0]]
    """
    weights = signature.of_reference(reference)
    if not 0 <= class_index < signature.n_classes:
        raise ValueError(
            f"`class_index` is {class_index}; {signature.label} has classes 0 to {signature.n_classes - 1}"
        )
    found = int(segments.max(initial=-1)) + 1
    if found != len(weights) or segments.min(initial=0) < 0:
        raise ValueError(
            f"`segments` has labels 0 to {found - 1}, but {signature.label} was signed with {len(weights)} segments of "
            f"reference {reference}; pass the segments of that reference (`probes.segments[{reference}]`)"
        )
    return weights[segments, class_index]


def signature_figure(
    signatures: Signature | Sequence[Signature],
    *,
    image: Num[np.ndarray, "H W C"] | Num[np.ndarray, "H W"] | None = None,
    segments: Integer[np.ndarray, "H W"] | None = None,
    reference: int | None = None,
    class_index: int | Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    distances: Sequence[float | None] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw one reference, its super-pixels, and each model's weights over them for one class.

    All models share one colour scale, symmetric around 0: blue super-pixels speak for the class, red ones against it.

    Args:
        signatures: one to about eight, from the same probe set.
        image, segments: the reference and its super-pixels; uint8, or float in [0, 1]. By default those that a signature
            keeps (`Signature.preview`).
        reference: which reference of the probe set that is. By default the one that the first signature keeps.
        class_index: the class to draw, the same for all models or one for each. By default the one that the first model's
            weights add up highest for: its answer to the whole reference, as the linear fit sees it.
        class_names: names of the first model's outputs, where its signature does not know them.
        distances: of each model to the first, written over its panel; None leaves one out.
        path: where to write the picture as well; the ending decides the format (.png, .pdf, .svg, ...).

    Raises:
        ValueError: there is no signature or no picture to draw, the parts do not fit, or the format is unknown.

    >>> segments = np.array([[0, 0], [1, 1]], np.int32)
    >>> signature = Signature(weights=np.array([[1.0], [-2.0]], np.float32), segment_counts=np.array([2]),
    ...                       r2=np.ones((1, 1)), variance=np.ones((1, 1)), probe_hash="", label="victim")
    >>> figure = signature_figure(signature, image=np.zeros((2, 2, 3), np.uint8), segments=segments, reference=0)
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['reference 0', '2 super-pixels', 'victim']
    """
    signatures = [signatures] if isinstance(signatures, Signature) else list(signatures)
    if not signatures:
        raise ValueError("no signatures were given; pass at least one")
    _check_same_probes(signatures)
    reference, image, segments = _picture(signatures, reference, image, segments)
    classes = _classes(signatures, reference, class_index)
    if distances is not None and len(distances) != len(signatures):
        raise ValueError(
            f"`distances` has {len(distances)} entries for {len(signatures)} signatures; give one for each"
        )
    overlays = [pixel_weights(s, reference, c, segments) for s, c in zip(signatures, classes, strict=True)]
    limit = _limit(overlays)

    titles = [_title(signature, None if distances is None else distances[i]) for i, signature in enumerate(signatures)]

    n_panels = len(signatures) + 2
    rows, columns = grid_shape(n_panels)
    title_height = LINE * (1 + max(title.count("\n") for title in titles)) + 0.2
    height = rows * (PANEL * image.shape[0] / image.shape[1] + title_height) + 0.75
    figure = Figure(figsize=(PANEL * columns, height), dpi=DPI, layout="constrained")
    panels = photo_panels(figure, n_panels)
    draw_photo(panels[0], image, f"reference {reference}")
    draw_photo(panels[1], outlined(image, segments), f"{int(segments.max()) + 1} super-pixels")
    grey = image.mean(axis=-1)
    shown = None
    for panel, title, overlay in zip(panels[2:], titles, overlays, strict=False):
        panel.imshow(grey, cmap="gray", vmin=0, vmax=1, alpha=PHOTO_ALPHA)
        shown = panel.imshow(
            overlay, cmap=DIVERGING, vmin=-limit, vmax=limit, alpha=COLOUR_ALPHA, interpolation="nearest"
        )
        panel.set_title(title, fontsize=10)
    assert shown is not None
    name = _class_name(signatures[0], classes[0], class_names)
    bar = figure.colorbar(shown, ax=panels, orientation="horizontal", shrink=0.55, aspect=45, pad=0.03, extend="both")
    bar.set_label(f"weight of a super-pixel for “{name}” (blue: for it, red: against it)", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    if path is not None:
        write_figure(figure, path)
    return figure


def distance_figure(
    distances: Num[ArrayLike, "models models"],
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
    names = [textwrap.fill(label, LABEL_WIDTH) for label in labels]
    axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(n), names, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    middle = float(np.nanmax(matrix, initial=0)) / 2
    for i, j in np.ndindex(n, n):
        value = matrix[i, j]
        axes.text(
            j, i, f"{value:.3f}", ha="center", va="center", fontsize=9, color="white" if value > middle else "black"
        )
    if title is not None:
        axes.set_title(title, fontsize=10)
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
                f"{other.probe_hash[:16]}; signatures from different probe sets do not share super-pixels: draw them apart"
            )


def _picture(
    signatures: Sequence[Signature],
    reference: int | None,
    image: np.ndarray | None,
    segments: np.ndarray | None,
) -> tuple[int, Float[np.ndarray, "H W 3"], Int[np.ndarray, "H W"]]:
    """The reference to draw, its image as RGB in [0, 1] and its segments: as given, or as a signature keeps them."""
    if (image is None) != (segments is None):
        raise ValueError("`image` and `segments` belong together; give both or neither")
    if image is None or segments is None:
        kept = [s.preview for s in signatures if s.preview is not None]
        chosen = next((p for p in kept if reference is None or p.reference_index == reference), None)
        if chosen is None:
            which = "a reference" if reference is None else f"reference {reference}"
            raise ValueError(
                f"no signature keeps the picture of {which} (kept: {sorted({p.reference_index for p in kept})}); pass "
                "`image` and `segments` from the probe set, and `reference`"
            )
        reference, image, segments = chosen.reference_index, chosen.image, chosen.segments
    elif reference is None:
        raise ValueError("say with `reference` which reference of the probe set `image` is")
    image, segments = np.asarray(image), np.asarray(segments)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or image.shape[:2] != segments.shape:
        raise ValueError(
            f"`image` has shape {image.shape} and `segments` {segments.shape}; give [H, W, C] with C 1 or 3, and [H, W]"
        )
    return reference, plain_rgb(image), segments.astype(np.int64)


def _title(signature: Signature, distance: float | None) -> str:
    label = textwrap.fill(signature.label, LABEL_WIDTH)
    return label if distance is None else f"{label}\ndistance {distance:.3f}"


def _limit(overlays: Sequence[np.ndarray]) -> float:
    """Where the colours end: above all but the 2% of pixels with the largest weights, so that one of them cannot pale all."""
    magnitude = np.abs(np.stack(overlays))
    # A signature of zeros still needs a scale.
    return float(np.quantile(magnitude, 1 - BEYOND)) or float(magnitude.max()) or 1.0


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
