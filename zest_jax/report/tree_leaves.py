"""What stands at the leaves of a family tree: names of models or, where there are too many, of families; how high a row is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

from zest_jax.report.drawing import DPI, folded
from zest_jax.screening.families import FamilyTree, central, families

# More models than this are not named one by one, but their families are.
MOST_NAMED = 60
# Up to so many models the distances are written into the heat map.
MOST_NUMBERED = 12
MOST_FAMILIES = 60
# Inches of a row that holds a number, of a heat map at least, of one without names, and of a row at most.
NUMBERED_ROW, SMALLEST, UNNAMED, LARGEST_ROW = 0.42, 2.3, 6.5, 0.75
NAME_WIDTH, NAME_LINES = 30, 2
FONT, SMALL_FONT = 9.0, 8.0
# Inches of a line at the small font.
SMALL_LINE = 0.15
PLAIN = "#555555"
MARKED = "#a33b00"


class Leaves(NamedTuple):
    """What stands at the leaves.

    Attributes:
        names: of each, folded, in the order of the tree; none where there are too many.
        font: size of their letters.
        height: of a row, inches.
        width: of the widest name, inches.
        groups: families to be named instead: first row, last row, name.
    """

    names: list[str]
    font: float
    height: float
    width: float
    groups: list[tuple[int, int, str]]


def leaves_of(
    table: Float[np.ndarray, "models models"],
    labels: Sequence[str],
    tree: FamilyTree,
    threshold: float | None,
    marked: int | None,
    family_names: tuple[str, ...] | None,
    *,
    numbered: bool,
) -> Leaves:
    """Decide on the names at the leaves, and on how high a row is."""
    n = len(labels)
    if n > MOST_NAMED:
        groups = _groups(table, labels, tree, threshold, family_names)
        side = max(UNNAMED, len(groups) * (SMALL_LINE + 0.03))
        return Leaves([], SMALL_FONT, side / n, _widest([name for _, _, name in groups], SMALL_FONT) + 0.4, groups)
    font = FONT if n <= 30 else SMALL_FONT
    names = [folded(labels[i], width=NAME_WIDTH, lines=NAME_LINES) for i in tree.order]
    if numbered:
        names = [
            f"{rank}  {name}".replace("\n", f"\n{' ' * (2 + len(str(rank)))}") for rank, name in enumerate(names, 1)
        ]
    lines = max(1 + name.count("\n") for name in names)
    height = lines * font * 1.25 / 72 + 0.03
    if numbered:
        height = max(height, NUMBERED_ROW if n <= MOST_NUMBERED else 0.0, min(SMALLEST / n, 1.2))
    else:
        height = max(height, min(1.0 / n, LARGEST_ROW))
    bold = [] if marked is None else [names[list(tree.order).index(marked)]]
    return Leaves(names, font, height, max(_widest(names, font), _widest(bold, font, weight="bold")) + 0.06, [])


def _groups(
    table: Float[np.ndarray, "models models"],
    labels: Sequence[str],
    tree: FamilyTree,
    threshold: float | None,
    family_names: tuple[str, ...] | None,
) -> list[tuple[int, int, str]]:
    """First row, last row and name of the largest families, from top to bottom."""
    if threshold is None:
        return []
    found, row = [], 0
    for members in families(tree, threshold):
        if len(members) > 1:
            found.append((row, row + len(members) - 1, members))
        row += len(members)
    largest = sorted(found, key=lambda group: group[0] - group[1])[:MOST_FAMILIES]
    short = [folded(label, width=NAME_WIDTH, lines=1) for label in labels] if family_names is None else []
    return [
        (first, last, family_name(table, short, members) if family_names is None else family_names[members[0]])
        for first, last, members in sorted(largest)
    ]


def family_name(distances: ArrayLike, labels: Sequence[str], members: Sequence[int]) -> str:
    """Call a family after the model that is nearest to all of it.

    >>> family_name(np.array([[0.0, 0.1, 0.3], [0.1, 0.0, 0.2], [0.3, 0.2, 0.0]]), ["a", "b", "c"], [0, 1, 2])
    'b and 2 more'
    """
    name = labels[central(distances, members)]
    return name if len(members) == 1 else f"{name} and {len(members) - 1} more"


def _widest(names: Sequence[str], font: float, weight: str = "normal") -> float:
    """Width of the widest text in inches."""
    figure = Figure(dpi=DPI)
    texts = [figure.text(0, 0, name, fontsize=font, fontweight=weight, parse_math=False) for name in names]
    return max((text.get_window_extent().width for text in texts), default=0.0) / DPI


def name_leaves(axes: Axes, rows: Leaves, marked: int | None) -> None:
    """Write the names at the right, as labels of the rows."""
    axes.yaxis.tick_right()
    axes.set_yticks(range(len(rows.names)), rows.names, fontsize=rows.font, parse_math=False)
    axes.tick_params(axis="y", length=0)
    if marked is not None and rows.names:
        label: Text = axes.get_yticklabels()[marked]
        label.set(fontweight="bold", color=MARKED)


def name_families(figure: Figure, rows: Leaves, n: int, *, left: float, bottom: float, side: float) -> None:
    """Write the names of families at the right, each as near to its rows as its neighbours allow, with a line to them."""
    width, height = figure.get_size_inches()
    lead = figure.add_axes((left / width, bottom / height, 0.3 / width, side / height))
    lead.set(xlim=(0, 1), ylim=(n - 0.5, -0.5))
    lead.set_axis_off()
    middles = [(first + last) / 2 for first, last, _ in rows.groups]
    places = spread(middles, gap=(SMALL_LINE + 0.02) / rows.height, low=0.0, high=n - 1.0)
    lines = []
    for (first, last, name), middle, place in zip(rows.groups, middles, places, strict=True):
        lines += [[(0.1, first - 0.35), (0.1, last + 0.35)], [(0.1, middle), (0.4, middle), (0.8, place), (1.0, place)]]
        y = bottom + side * (1 - (place + 0.5) / n)
        x = (left + 0.34) / width
        figure.text(x, y / height, name, fontsize=SMALL_FONT, va="center", ha="left", parse_math=False)
    lead.add_collection(LineCollection(lines, colors=PLAIN, linewidths=0.8, clip_on=False), autolim=False)


def spread(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move ascending places apart to at least `gap`, within [low, high] if they fit, each as little as that needs.

    Neighbours that would be too near form a block, which lies so that its members are moved as little as possible together
    (pool adjacent violators).

    >>> spread([0.0, 5.0, 5.2, 9.0], gap=1.0, low=0.0, high=9.0)
    [0.0, 4.6, 5.6, 9.0]
    """
    blocks: list[tuple[float, int]] = []  # the mean of place - rank * gap, and how many there are
    for rank, place in enumerate(places):
        mean, count = place - rank * gap, 1
        while blocks and blocks[-1][0] >= mean:
            before, its = blocks.pop()
            mean, count = (before * its + mean * count) / (its + count), its + count
        blocks.append((mean, count))
    highest = high - gap * (len(places) - 1)
    moved = [max(low, min(mean, highest)) for mean, count in blocks for _ in range(count)]
    return [round(mean + rank * gap, 9) for rank, mean in enumerate(moved)]
