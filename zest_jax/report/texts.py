"""Draw texts: every word on a ground whose colour tells its weight, or just which segment it is."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from zest_jax.report.drawing import DPI, LINE, PAGE, WIDE_TITLE, WeightedReference, check_drawable, draw_weight_bar
from zest_jax.report.text_layout import FONT_SIZE, Run, TextLayout, column_width, font_file, lay_out
from zest_jax.wording import counted

if TYPE_CHECKING:  # drawing needs no JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

Colour = tuple[float, float, float]

# Inches: around all, of a line of text, between panels, and what the colour bar takes with its numbers and its caption.
MARGIN = 0.2
TEXT_LINE = 0.21
GAP = 0.12
BAR = 0.85
BAR_HEIGHT = 0.13
# Lines of text in a figure, shared by its panels: two pages of a book.
MOST_LINES = 60
FEWEST_LINES = 4
# Share of a line above and below a word's ground, and how far under the line's top its letters stand.
ABOVE, BELOW, BASELINE = 0.05, 0.04, 0.72
# In turns, so that neighbours differ; pale enough for black letters, and apart for every common kind of colour blindness.
PALE = ("#cfe3f5", "#fbdcb4", "#dedede")
EDGE = "#cccccc"
QUIET = "#666666"
# Letters drawn at once.
STRETCH = 10


class _Panel(NamedTuple):
    layout: TextLayout
    title: str
    colour: Callable[[Run], Colour]


def checked_text(content: str, segments: np.ndarray) -> tuple[str, Int[np.ndarray, " characters"]]:
    """A text and the label of each of its characters, -1 where none is ever masked.

    Raises:
        ValueError: there is not one label for each character, or it is too long.
    """
    check_drawable((len(content),), "characters")
    labels = segments[: len(content)]
    # A probe set fills the labels of its shorter texts up with -1.
    if segments.ndim != 1 or len(labels) != len(content) or (segments[len(content) :] != -1).any():
        raise ValueError(
            f"`segments` has shape {segments.shape} for a text of {len(content)} characters; give one label for each, and -1 "
            "after the end"
        )
    return content, labels.astype(np.int64)


def weighted_text(text: str, labels: Int[np.ndarray, " characters"], weighted: WeightedReference) -> Figure:
    """Draw a text once for each model, with the ground of every word in the colour of its weight."""
    layout = _lay_out(text, labels, len(weighted.weights))
    scale = weighted.scale()
    # Any character of a word has the word's weight.
    used, first = np.unique(labels, return_index=True)
    panels = []
    for i, weights in enumerate(weighted.weights):
        colours: list[Colour] = [(r, g, b) for r, g, b, _ in scale.to_rgba(weights[first]).tolist()]
        of_label = dict(zip(used.tolist(), colours, strict=True))
        panels.append(_Panel(layout, weighted.title(i, WIDE_TITLE), lambda run, of=of_label: of[run.label]))
    words = counted(int(labels.max()) + 1, "word")
    figure = _page(panels, heading=f"reference {weighted.index}: {words}", bottom=BAR)
    height = figure.get_figheight()
    place = (0.2, (BAR - GAP - BAR_HEIGHT) / height, 0.6, BAR_HEIGHT / height)
    draw_weight_bar(figure, scale, weighted.caption, cax=figure.add_axes(place))
    return figure


def probed_texts(probes: "ProbeSet", shown: range) -> Figure:
    """Draw references with every word on a ground of its own."""

    def colour(run: Run) -> Colour:
        return to_rgb(PALE[run.label % len(PALE)])

    panels = []
    for i in shown:
        text, labels = checked_text(probes.references[i], probes.segments[i])
        title = f"reference {i}: {counted(int(probes.n_segments[i]), 'word')}"
        panels.append(_Panel(_lay_out(text, labels, len(shown)), title, colour))
    return _page(panels)


def legible_on(ground: Colour) -> str:
    """Black or white, whichever stands out more from a colour (WCAG 2.2, relative luminance and contrast ratio).

    >>> legible_on((1.0, 1.0, 1.0)), legible_on((0.02, 0.19, 0.38))
    ('black', 'white')
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in ground]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Here both contrasts, 1.05 / (L + 0.05) and (L + 0.05) / 0.05, are the same.
    return "black" if luminance > 0.1791 else "white"


def _lay_out(text: str, labels: Int[np.ndarray, " characters"], panels: int) -> TextLayout:
    columns = int((PAGE - 2 * MARGIN) / column_width())
    return lay_out(text, labels, columns=columns, most_lines=max(FEWEST_LINES, MOST_LINES // panels))


def _page(panels: Sequence[_Panel], *, heading: str | None = None, bottom: float = 0.0) -> Figure:
    """Set panels under each other, at sizes in inches; `bottom` is left free."""
    heights = [
        LINE * (1 + panel.title.count("\n")) + 0.08 + TEXT_LINE * (panel.layout.lines + (panel.layout.left_out > 0))
        for panel in panels
    ]
    top = MARGIN + (LINE if heading else 0)
    height = top + sum(heights) + GAP * (len(panels) - 1) + MARGIN + bottom
    figure = Figure(figsize=(PAGE, height), dpi=DPI)
    if heading is not None:
        figure.text(0.5, 1 - MARGIN / height, heading, ha="center", va="top", fontsize=10)
    for panel, own in zip(panels, heights, strict=True):
        lines = panel.layout.lines + (panel.layout.left_out > 0)
        below = height - top - own
        place = (MARGIN / PAGE, below / height, 1 - 2 * MARGIN / PAGE, TEXT_LINE * lines / height)
        axes = figure.add_axes(place)
        axes.set_title(panel.title, fontsize=10, loc="left", pad=4, parse_math=False)
        _draw_text(axes, panel, lines)
        top += own + GAP
    return figure


def _draw_text(axes: Axes, panel: _Panel, lines: int) -> None:
    """Fill axes whose unit is one column in x and one line in y."""
    axes.set(xlim=(0, (PAGE - 2 * MARGIN) / column_width()), ylim=(lines, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    font = FontProperties(fname=font_file(), size=FONT_SIZE)
    for run in panel.layout.runs:
        ink = "black"
        if run.label >= 0:
            ground = panel.colour(run)
            ink = legible_on(ground)
            corner = (run.column, run.line + ABOVE)
            # The edge shows a word of weight 0.
            style = {"facecolor": ground, "edgecolor": EDGE, "linewidth": 0.4}
            axes.add_patch(Rectangle(corner, run.width, 1 - ABOVE - BELOW, **style))
        for column, piece in _stretches(run):
            place = (column, run.line + BASELINE)
            axes.text(*place, piece, fontproperties=font, color=ink, va="baseline", parse_math=False)
    if panel.layout.left_out:
        more = f"... {counted(panel.layout.left_out, 'character')} more"
        axes.text(0, lines - 1 + BASELINE, more, fontsize=9, fontstyle="italic", color=QUIET, va="baseline")


def _stretches(run: Run) -> Iterator[tuple[int, str]]:
    """Pieces of a run, and the columns they begin at: letters fitted to dots are up to 1% off, which a long word adds up."""
    step = STRETCH if len(run.text) == run.width else len(run.text)
    for at in range(0, len(run.text), step):
        if piece := run.text[at : at + step].rstrip():
            yield run.column + at, piece
