"""What all figures of photographs share: panels, outlines of super-pixels, and the file.

Figures are made without pyplot: nothing is opened, nothing global is changed, and no display is needed.
"""

import os

import numpy as np
from jaxtyping import Float, Integer, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skimage.segmentation import mark_boundaries

from zest_jax.atomic import atomic_write

MOST_COLUMNS = 4
# Inches and dots per inch: four panels are 1600 pixels wide, sharp where a page shows them at half of that.
PANEL = 2.6
DPI = 154
# Height of a line of a title, inches.
LINE = 0.18
OUTLINE = (1.0, 0.85, 0.0)
# Pixels of the shorter side from which outlines of two pixels leave enough of the photograph to see: Quickshift cuts an
# image of 224 x 224 into hundreds of super-pixels with specks of one pixel.
MIN_OUTLINED = 600


def plain_rgb(image: Num[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W 3"]:
    """Give a grey or RGB image, uint8 or float in [0, 1], as RGB in [0, 1].

    >>> plain_rgb(np.full((1, 1, 1), 51, np.uint8)).tolist()
    [[[0.2, 0.2, 0.2]]]
    """
    plain = image.astype(np.float64) / 255 if image.dtype == np.uint8 else image.astype(np.float64)
    return np.broadcast_to(plain, (*plain.shape[:2], 3)).clip(0, 1)


def outlined(image: Float[np.ndarray, "H W 3"], segments: Integer[np.ndarray, "H W"]) -> Float[np.ndarray, "EH EW 3"]:
    """Draw lines between the super-pixels of a photograph, which is enlarged so that the lines do not cover it."""
    times = -(-MIN_OUTLINED // min(segments.shape))
    large = np.kron(image, np.ones((times, times, 1)))
    lines = np.kron(segments, np.ones((times, times), int))
    # -1: every label is a super-pixel, none the background, which would get thinner lines.
    return np.asarray(mark_boundaries(large, lines, color=OUTLINE, mode="inner", background_label=-1))


def grid_shape(panels: int) -> tuple[int, int]:
    """Rows and columns that leave the fewest places empty, rows as few as `MOST_COLUMNS` allows.

    >>> grid_shape(5)
    (2, 3)
    """
    rows = -(-panels // MOST_COLUMNS)
    return rows, -(-panels // rows)


def photo_panels(figure: Figure, panels: int) -> list[Axes]:
    """Lay out panels without axes in a grid, row by row; returns all places of the grid, the empty ones last."""
    rows, columns = grid_shape(panels)
    every: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in every[:panels]:
        # Not `set_axis_off`: with it the layout forgets the titles.
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    for empty in every[panels:]:
        empty.set_axis_off()
    return every


def draw_photo(panel: Axes, image: Float[np.ndarray, "H W 3"], title: str) -> None:
    """Show an image in [0, 1] under its title."""
    panel.imshow(image)
    panel.set_title(title, fontsize=10)


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, all at once or not at all, in the format that the ending of `path` names.

    Raises:
        ValueError: the ending names no format that can be drawn.
    """
    ending = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise ValueError(
            f"{os.fspath(path)} does not end in a format that can be drawn; choose one of {', '.join(sorted(known))}"
        )
    with atomic_write(path) as file:
        figure.savefig(file, format=ending)
