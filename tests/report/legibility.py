"""What a reader needs of any figure, measured with the renderer."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

# The layout is found by iteration, to a fraction of a pixel.
TOLERANCE = 1.5


def boxes_of(figure: Figure, *, of_words: bool = False) -> Iterator[tuple[str, Bbox]]:
    """Texts that are seen, and where, in pixels: the words of texts, or everything else."""
    figure.draw_without_rendering()
    unseen = {label for axes in figure.findobj(Axes) for axis in (axes.xaxis, axes.yaxis) for label in _outside(axis)}
    for text in figure.findobj(Text):
        is_word = text.axes is not None and text in text.axes.texts
        if is_word == of_words and text not in unseen and text.get_visible() and text.get_text().strip():
            yield text.get_text(), text.get_window_extent()


def _outside(axis: Axis) -> list[Text]:
    """Numbers past the end of an axis, which are made but not drawn."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-6 * (high - low)
    beyond = [tick for tick in axis.get_major_ticks() if not low - slack <= tick.get_loc() <= high + slack]
    return [label for tick in beyond for label in (tick.label1, tick.label2)]


def check_legible(figure: Figure) -> None:
    """No title, label or number leaves the picture, lies over another, or over a picture or words."""
    boxes = list(boxes_of(figure))
    panels = [axes.get_window_extent() for axes in figure.axes if axes.images or axes.texts]
    for i, (name, box) in enumerate(boxes):
        inside = min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1)
        assert inside > -TOLERANCE, f"{name!r} leaves the picture by {-inside:.1f} pixels"
        for other, its in boxes[i + 1 :]:
            assert not _overlap(box, its), f"{name!r} lies over {other!r}"
        assert not any(_overlap(box, panel) for panel in panels), f"{name!r} lies over a panel"


def _overlap(a: Bbox, b: Bbox) -> bool:
    across = min(a.x1, b.x1) - max(a.x0, b.x0)
    along = min(a.y1, b.y1) - max(a.y0, b.y0)
    return across > TOLERANCE and along > TOLERANCE
