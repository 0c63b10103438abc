"""Draw photographs: their super-pixels, and every model's weights over them."""

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Integer, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage.segmentation import mark_boundaries

from zest_jax.report.drawing import (
    CAPTION,
    DIVERGING,
    DPI,
    LINE,
    MOST_COLUMNS,
    NARROW_TITLE,
    PANEL,
    WeightedReference,
    check_drawable,
    draw_weight_bar,
    grid_shape,
)
from zest_jax.wording import counted

if TYPE_CHECKING:  # drawing needs no JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

# How much of the colour and of the grey photograph under it is seen.
COLOUR_ALPHA = 0.72
PHOTO_ALPHA = 0.55
OUTLINE = (1.0, 0.85, 0.0)
# Pixels of the shorter side from which outlines of two pixels leave enough of the photograph to see: Quickshift cuts an
# image of 224 x 224 into hundreds of super-pixels with specks of one pixel.
MIN_OUTLINED = 600
# Pixels of what is enlarged for that, at most.
MOST_OUTLINED = 2**22
# How much longer one side of a photograph may be than the other: what is longer is a line on any page.
MOST_STRETCHED = 32


def checked_photograph(
    content: np.ndarray, segments: np.ndarray
) -> tuple[Float[np.ndarray, "H W 3"], Int[np.ndarray, "H W"]]:
    """An image as RGB in [0, 1], and its segments.

    Raises:
        ValueError: it is no grey or RGB image, too large or too narrow to be drawn, or the segments have another shape.
    """
    image = content[..., None] if content.ndim == 2 else content
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or image.shape[:2] != segments.shape:
        raise ValueError(
            f"`content` has shape {image.shape} and `segments` {segments.shape}; give an image [H, W, C] with C 1 or 3, and "
            "[H, W]"
        )
    check_drawable(segments.shape, "pixels")
    short, long = sorted(segments.shape)
    if long > MOST_STRETCHED * short:
        raise ValueError(
            f"the reference has {segments.shape[0]} x {segments.shape[1]} pixels; one side can be drawn up to {MOST_STRETCHED} "
            "times as long as the other"
        )
    return plain_rgb(image), segments.astype(np.int64)


def plain_rgb(image: Num[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W 3"]:
    """Give a grey or RGB image, uint8 or float in [0, 1], as RGB in [0, 1].

    >>> plain_rgb(np.full((1, 1, 1), 51, np.uint8)).tolist()
    [[[0.2, 0.2, 0.2]]]
    """
    plain = image.astype(np.float64) / 255 if image.dtype == np.uint8 else image.astype(np.float64)
    return np.broadcast_to(plain, (*plain.shape[:2], 3)).clip(0, 1)


def outlined(image: Float[np.ndarray, "H W 3"], segments: Integer[np.ndarray, "H W"]) -> Float[np.ndarray, "EH EW 3"]:
    """Draw lines between the super-pixels of a photograph, which is enlarged so that the lines do not cover it."""
    times = max(1, min(-(-MIN_OUTLINED // min(segments.shape)), math.isqrt(MOST_OUTLINED // segments.size)))
    large = np.kron(image, np.ones((times, times, 1)))
    lines = np.kron(segments, np.ones((times, times), int))
    # -1: every label is a super-pixel, none the background, which would get thinner lines.
    return np.asarray(mark_boundaries(large, lines, color=OUTLINE, mode="inner", background_label=-1))


def weighted_photograph(
    image: Float[np.ndarray, "H W 3"],
    segments: Int[np.ndarray, "H W"],
    weighted: WeightedReference,
    most_columns: int = MOST_COLUMNS,
) -> Figure:
    """Draw a photograph, its super-pixels, and each model's weights as colours over the photograph in grey."""
    n_panels = len(weighted.weights) + 2
    rows, columns = grid_shape(n_panels, most_columns)
    titles = [weighted.title(i, NARROW_TITLE) for i in range(len(weighted.weights))]
    title_height = LINE * (1 + max(title.count("\n") for title in titles)) + 0.2
    height = rows * (PANEL * image.shape[0] / image.shape[1] + title_height) + 0.75
    figure = Figure(figsize=(PANEL * columns, height), dpi=DPI, layout="constrained")
    panels = _photo_panels(figure, n_panels, most_columns)
    _draw_photo(panels[0], image, f"reference {weighted.index}")
    _draw_photo(panels[1], outlined(image, segments), counted(int(segments.max()) + 1, "super-pixel"))
    grey = image.mean(axis=-1)
    shown = None
    for panel, title, weights in zip(panels[2:], titles, weighted.weights, strict=False):
        panel.imshow(grey, cmap="gray", vmin=0, vmax=1, alpha=PHOTO_ALPHA)
        shown = panel.imshow(weights, cmap=DIVERGING, alpha=COLOUR_ALPHA, interpolation="nearest")
        shown.set_clim(-weighted.limit, weighted.limit)
        panel.set_title(title, fontsize=10, parse_math=False)
    assert shown is not None
    letters = CAPTION if columns > 2 else CAPTION // 2
    draw_weight_bar(figure, shown, textwrap.fill(weighted.caption, letters), ax=panels)
    return figure


def probed_photographs(probes: "ProbeSet", shown: range) -> Figure:
    """Draw references with the outlines of their super-pixels."""
    rows, columns = grid_shape(len(shown))
    height, width = probes.references.shape[1:3]
    size = (PANEL * columns, rows * (PANEL * height / width + LINE + 0.2))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    for panel, i in zip(_photo_panels(figure, len(shown)), shown, strict=False):
        picture = outlined(plain_rgb(probes.references[i]), probes.segments[i])
        _draw_photo(panel, picture, f"reference {i}: {counted(int(probes.n_segments[i]), 'super-pixel')}")
    return figure


def _photo_panels(figure: Figure, panels: int, most_columns: int = MOST_COLUMNS) -> list[Axes]:
    """Lay out panels without axes in a grid, row by row; returns all places of the grid, the empty ones last."""
    rows, columns = grid_shape(panels, most_columns)
    every: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in every[:panels]:
        # Not `set_axis_off`: with it the layout forgets the titles.
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    for empty in every[panels:]:
        empty.set_axis_off()
    return every


def _draw_photo(panel: Axes, image: Float[np.ndarray, "H W 3"], title: str) -> None:
    panel.imshow(image)
    panel.set_title(title, fontsize=10)
