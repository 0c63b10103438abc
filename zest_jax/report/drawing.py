"""What all figures share: sizes, colours, titles, the colour bar of weights, and the file.

Figures are made without pyplot: nothing is opened, nothing global is changed, and no display is needed. Names that come from
outside are drawn with `parse_math=False`: a `$` in one is a dollar, not the beginning of a formula.
"""

import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from zest_jax.atomic import atomic_write

MOST_COLUMNS = 4
# Inches and dots per inch: four panels are 1600 pixels wide, sharp where a page shows them at half of that.
PANEL = 2.6
DPI = 154
# Width of a figure whose panels stand on top of each other, inches.
PAGE = 8.0
# Height of a line of a title, inches.
LINE = 0.18
# Red against the class, blue for it: the two ends stay apart for every common kind of colour blindness.
DIVERGING = "RdBu"
# Characters of a title over a panel of a grid, of one as wide as the page, and of the caption under all.
NARROW_TITLE = 24
WIDE_TITLE = 90
CAPTION = 100
# Sharp at any size or without loss; others are for photographs.
FORMATS = ("png", "pdf", "svg")
# Pixels, characters, samples or cells of a reference that is drawn.
MOST_ELEMENTS = 2**23


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedReference:
    """What is known of one reference: a weight for each of its elements (pixels, characters, samples, cells) by each model.

    Attributes:
        index: of the reference in the probe set.
        weights: for each model, shaped like the reference's segments; NaN where nothing is ever masked.
        labels: of the models.
        distances: of each model to the first; None where there is nothing to say.
        limit: the weight at which the colours end, on both sides of 0.
        caption: of the colour bar.
    """

    index: int
    weights: Sequence[np.ndarray]
    labels: Sequence[str]
    distances: Sequence[float | None]
    limit: float
    caption: str

    def title(self, i: int, width: int) -> str:
        """Name of model i, in lines of `width` characters, and its distance; on a line of its own in narrow panels."""
        distance = self.distances[i]
        if distance is None:
            return textwrap.fill(self.labels[i], width)
        if width == NARROW_TITLE:
            return f"{textwrap.fill(self.labels[i], width)}\ndistance {distance:.3f}"
        return textwrap.fill(f"{self.labels[i]}, distance {distance:.3f}", width)

    def scale(self) -> ScalarMappable:
        """The colours of all weights."""
        return ScalarMappable(norm=Normalize(-self.limit, self.limit), cmap=DIVERGING)


def check_drawable(shape: tuple[int, ...], what: str) -> None:
    """Refuse a reference that is too large to be drawn: what a signature keeps may come from a stranger.

    Args:
        shape: of its elements.
        what: they are, in the plural.

    Raises:
        ValueError: it has more than `MOST_ELEMENTS`.

    >>> check_drawable((3000, 4000), "pixels")
    Traceback (most recent call last):
    ValueError: the reference has 3000 x 4000 pixels, and up to 8,388,608 can be drawn
    """
    if math.prod(shape) > MOST_ELEMENTS:
        raise ValueError(
            f"the reference has {' x '.join(map(str, shape))} {what}, and up to {MOST_ELEMENTS:,} can be drawn"
        )


def printable(text: str) -> str:
    """Put � in place of what cannot be seen: control characters, marks that turn the direction of writing, halves of pairs.

    >>> printable("a\\u202eb\\0c")
    'a�b�c'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def folded(label: str, *, width: int, lines: int) -> str:
    """Break a name into lines; of one too long for them the middle is left out, since names often differ at their ends.

    >>> folded("resnet18-flowers-v3", width=10, lines=2)
    'resnet18-\\nflowers-v3'
    >>> folded("a" * 30 + "-v3", width=10, lines=2)
    'aaaaaaaaaa\\n…aaaaaa-v3'
    """
    label = " ".join(printable(label).split()) or "(no name)"
    broken = textwrap.wrap(label, width)
    if len(broken) > lines:
        room = width * lines
        if len(label) > room:
            start = max(room // 2, width * (lines - 1))
            label = f"{label[:start]}…{label[start + 1 - room :]}"
        broken = [label[i : i + width] for i in range(0, room, width) if label[i:]]
    return "\n".join(broken)


def grid_shape(panels: int, most_columns: int = MOST_COLUMNS) -> tuple[int, int]:
    """Rows and columns that leave the fewest places empty, rows as few as `most_columns` allows.

    >>> grid_shape(5)
    (2, 3)
    """
    rows = -(-panels // most_columns)
    return rows, -(-panels // rows)


def draw_weight_bar(figure: Figure, shown: ScalarMappable, caption: str, **place: Any) -> None:
    """Draw the colour bar of weights under all panels (`ax`) or in axes of its own (`cax`)."""
    if "ax" in place:
        place = {"shrink": 0.55, "aspect": 45, "pad": 0.03, **place}
    bar = figure.colorbar(shown, orientation="horizontal", extend="both", **place)
    broken = caption if "\n" in caption else textwrap.fill(caption, CAPTION)
    bar.set_label(broken, fontsize=10, parse_math=False)
    bar.ax.tick_params(labelsize=9)


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, all at once or not at all, in the format that the ending of `path` names.

    Raises:
        ValueError: the ending names no format that can be drawn.
    """
    ending = format_of(path)
    with atomic_write(path) as file:
        figure.savefig(file, format=ending)


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that the ending of a path names.

    Raises:
        ValueError: it names none that can be drawn.

    >>> format_of("zoo.PNG")
    'png'
    """
    ending = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if ending not in FORMATS:
        raise ValueError(
            f"{os.fspath(path)} does not end in a format that can be drawn; choose one of {', '.join(FORMATS)}"
        )
    return ending
