"""Draw the family tree of models, alone or beside the heat map of their distances, whose rows stand in the order of the tree.

Sizes are in inches, and what names take is measured, so that nothing lies over anything, from two models to hundreds.
"""

import os
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from zest_jax.report.drawing import DPI, write_figure
from zest_jax.report.texts import legible_on
from zest_jax.report.tree_leaves import (
    FONT,
    MOST_FAMILIES,
    MOST_NAMED,
    MOST_NUMBERED,
    PLAIN,
    SMALL_FONT,
    SMALL_LINE,
    Leaves,
    leaves_of,
    name_families,
    name_leaves,
)
from zest_jax.screening.families import FamilyTree, families, family_tree

# More than this leave less than two dots for a row of the heat map.
MOST_DRAWN = 500
# Inches: around all; a tree beside a heat map, and alone; between parts; a colour bar.
MARGIN = 0.2
TREE, TREE_ALONE = 2.1, 4.6
GAP = 0.09
BAR_HEIGHT, BAR_WIDTH = 0.12, 2.4
# How far the bar of a family is from its leaves.
BESIDE = 0.035
# Inches of what stands under a tree besides its caption.
UNDER = 0.32
# Near is dark, so that families are dark squares.
NEAR_IS_DARK = "Blues_r"
NOT_DEFINED = "#d8d2c4"
# Apart for every common kind of colour blindness (Okabe and Ito 2008).
BRANCHES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BESIDE_LEAVES: Any = {"linewidth": 3, "solid_capstyle": "butt", "clip_on": False}


class KnownTree(NamedTuple):
    """A tree that was made of more models than are drawn, so that it is not made again of these.

    Attributes:
        tree: of the models drawn, see `zest_jax.screening.pruned`.
        families: the name of each one's family among all models.

    >>> from zest_jax.screening import pruned
    >>> table = np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]])
    >>> drawn = [0, 2]                                                              # of three models
    >>> known = KnownTree(pruned(family_tree(table), drawn, table[np.ix_(drawn, drawn)]), families=("a", "a"))
    >>> len(tree_figure(table[np.ix_(drawn, drawn)], ["a", "c"], known=known).axes)
    1
    """

    tree: FamilyTree
    families: tuple[str, ...]


def clustered_figure(
    distances: ArrayLike,
    labels: Sequence[str],
    *,
    threshold: float | None = None,
    marked: int | None = None,
    line: tuple[float, str] | None = None,
    known: KnownTree | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw a heat map of distances, near ones dark, with the family tree at its side; rows and columns follow the tree.

    Up to 60 models are named, and numbered along both sides; of more, their families are, with `threshold`. See
    `zest_jax.screening.family_tree` for how the tree is made.

    Args:
        distances: [models, models], of 2 to 500 models; NaN for pairs without a distance, which are drawn in grey.
        labels: one for each model.
        threshold: distance at which models, or nearer ones, are a family: their branches get a colour, and a dashed line shows
            the cut.
        marked: a model whose name stands out, such as the suspect.
        line: another distance to be shown by a dotted line, and what it is.
        known: the tree, where it is not to be made of these distances.
        path: where to write the picture as well; the ending decides the format.

    Returns:
        the figure; nothing is shown on a screen.

    Raises:
        ValueError: the number of models or labels does not fit, or the distances are none (see `family_tree`).

    >>> figure = clustered_figure(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]), ["a", "b", "c"])
    >>> [label.get_text() for label in figure.axes[1].get_yticklabels()]
    ['1  a', '2  c', '3  b']
    """
    table = _checked(distances, labels)
    tree, named = (family_tree(table), None) if known is None else known
    rows = leaves_of(table, labels, tree, threshold, marked, named, numbered=True)
    n, side = len(labels), len(labels) * rows.height
    top = MARGIN + (0.22 if rows.names else 0.0)
    caption = _caption(threshold, line, rows, width=TREE)
    bar_caption = "cosine distance" + (" (grey: none)" if tree.undefined else "")
    bottom = MARGIN + max(UNDER + SMALL_LINE * (1 + caption.count("\n")), 0.78)
    heat_left = MARGIN + TREE + GAP
    width, height = heat_left + side + GAP + rows.width + MARGIN, top + side + bottom
    figure = Figure(figsize=(width, height), dpi=DPI)

    def axes(left: float, low: float, wide: float, high: float) -> Axes:
        return figure.add_axes((left / width, low / height, wide / width, high / height))

    branches = axes(MARGIN, bottom, TREE, side)
    _draw_tree(branches, tree, threshold, line, caption)
    heat = axes(heat_left, bottom, side, side)
    order = list(tree.order)
    _draw_heat(figure, heat, table[np.ix_(order, order)], rows)
    name_leaves(heat, rows, None if marked is None else order.index(marked))
    if rows.groups:
        name_families(figure, rows, n, left=heat_left + side + GAP, bottom=bottom, side=side)
    wide = min(side - 0.3, BAR_WIDTH)
    bar_axes = axes(heat_left + max(0.3, (side - wide) / 2), bottom - 0.3, min(wide, side - 0.3), BAR_HEIGHT)
    bar = figure.colorbar(heat.images[0], cax=bar_axes, orientation="horizontal")
    bar.locator = MaxNLocator(3)
    bar.set_label(bar_caption, fontsize=SMALL_FONT)
    bar.ax.tick_params(labelsize=SMALL_FONT)
    if path is not None:
        write_figure(figure, path)
    return figure


def tree_figure(
    distances: ArrayLike,
    labels: Sequence[str],
    *,
    threshold: float | None = None,
    marked: int | None = None,
    line: tuple[float, str] | None = None,
    known: KnownTree | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the family tree alone.

    Args:
        distances: [models, models], as for `clustered_figure`.
        labels: one for each model.

    The other arguments and errors are those of `clustered_figure`.

    Returns:
        the figure; nothing is shown on a screen.

    >>> figure = tree_figure(np.array([[0.0, 0.9, 0.1], [0.9, 0.0, 0.8], [0.1, 0.8, 0.0]]), ["a", "b", "c"], threshold=0.4)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['a', 'c', 'b']
    """
    table = _checked(distances, labels)
    tree, named = (family_tree(table), None) if known is None else known
    rows = leaves_of(table, labels, tree, threshold, marked, named, numbered=False)
    side = len(labels) * rows.height
    caption = _caption(threshold, line, rows, width=TREE_ALONE)
    bottom = MARGIN + UNDER + SMALL_LINE * (1 + caption.count("\n"))
    width, height = 2 * MARGIN + TREE_ALONE + GAP + rows.width, MARGIN + side + bottom
    figure = Figure(figsize=(width, height), dpi=DPI)
    branches = figure.add_axes((MARGIN / width, bottom / height, TREE_ALONE / width, side / height))
    _draw_tree(branches, tree, threshold, line, caption)
    branches.tick_params(axis="y", pad=7)
    name_leaves(branches, rows, None if marked is None else list(tree.order).index(marked))
    if rows.groups:
        name_families(figure, rows, len(labels), left=MARGIN + TREE_ALONE + GAP, bottom=bottom, side=side)
    if path is not None:
        write_figure(figure, path)
    return figure


def _checked(distances: ArrayLike, labels: Sequence[str]) -> Float[np.ndarray, "models models"]:
    table = np.asarray(distances, np.float64)
    n = len(labels)
    if table.shape != (n, n):
        raise ValueError(f"`distances` has shape {table.shape} for {n} labels; give one row and one column per label")
    if not 2 <= n <= MOST_DRAWN:
        raise ValueError(f"{n} models cannot be drawn as a tree; give 2 to {MOST_DRAWN} (`closest` chooses)")
    return table


def _caption(threshold: float | None, line: tuple[float, str] | None, rows: Leaves, *, width: float) -> str:
    """What stands under the tree."""
    parts = ["distance at which groups join"]
    if threshold is not None:
        parts.append(f"families: at {threshold:.3g} or nearer (dashed)")
    if line is not None:
        parts.append(f"dotted: {line[0]:.3g}, {line[1]}")
    if len(rows.groups) == MOST_FAMILIES:
        parts.append(f"the {MOST_FAMILIES} largest families are named")
    return "\n".join(textwrap.fill(part, int(width * 18)) for part in parts)


def _draw_tree(
    axes: Axes, tree: FamilyTree, threshold: float | None, line: tuple[float, str] | None, caption: str
) -> None:
    """Draw the branches, the root at the left, a leaf per row."""
    n = len(tree.order)
    row = {model: rank for rank, model in enumerate(tree.order)}
    colour_of = dict.fromkeys(tree.order, PLAIN)
    if threshold is not None:
        large = [members for members in families(tree, threshold) if len(members) > 1]
        beside = 1 + BESIDE / _inches(axes)
        for i, members in enumerate(large):
            colour = BRANCHES[i % len(BRANCHES)]
            colour_of.update(dict.fromkeys(members, colour))
            # Beside the leaves, since the branches of copies are too short to be seen.
            ends = row[members[0]] - 0.38, row[members[-1]] + 0.38
            axes.plot([beside] * 2, ends, transform=axes.get_yaxis_transform(), color=colour, **BESIDE_LEAVES)
    # Of each group: where it lies, at which distance it was joined, and one of its models.
    groups = [(float(row[model]), 0.0, model) for model in range(n)]
    branches, colours = [], []
    for a, b, joined, _ in tree.merges.tolist():
        (ya, xa, model), (yb, xb, _) = groups[int(a)], groups[int(b)]
        branches.append([(xa, ya), (joined, ya), (joined, yb), (xb, yb)])
        colours.append(colour_of[model] if threshold is not None and joined <= threshold else PLAIN)
        groups.append(((ya + yb) / 2, joined, model))
    width = 1.4 if n <= MOST_NAMED else 0.8
    # Not clipped: a join at distance 0 lies on the border.
    axes.add_collection(LineCollection(branches, colors=colours, linewidths=width, clip_on=False), autolim=False)
    shown = [
        float(tree.merges[-1, 2]),
        *([] if threshold is None else [threshold]),
        *([] if line is None else [line[0]]),
    ]
    axes.set(xlim=((max(shown) or 1.0) * 1.06, 0), ylim=(n - 0.5, -0.5), yticks=[])
    if threshold is not None:
        axes.axvline(threshold, color=PLAIN, linewidth=1.0, linestyle="--", zorder=0)
    if line is not None:
        axes.axvline(line[0], color=PLAIN, linewidth=1.2, linestyle=":", zorder=0)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=SMALL_FONT)
    axes.set_xlabel(caption, fontsize=SMALL_FONT, parse_math=False)


def _inches(axes: Axes) -> float:
    """Width of axes."""
    return axes.get_window_extent().width / DPI


def _draw_heat(figure: Figure, axes: Axes, table: Float[np.ndarray, "models models"], rows: Leaves) -> None:
    n = len(table)
    farthest = float(np.nanmax(table, initial=0.0)) or 1.0
    colours: Colormap = colormaps[NEAR_IS_DARK].with_extremes(bad=NOT_DEFINED)
    shown = axes.imshow(np.ma.masked_invalid(table), cmap=colours, vmin=0, vmax=farthest, interpolation="nearest")
    axes.spines[:].set_visible(False)
    numbers = [str(i + 1) for i in range(n)] if rows.names else []
    axes.set_xticks(range(len(numbers)), numbers, fontsize=FONT if n <= 30 else 7.0)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    if n > MOST_NUMBERED:
        return
    digits = 2 if farthest >= 1 else 3
    for i, j in np.ndindex(n, n):
        if np.isnan(table[i, j]):
            continue
        red, green, blue, _ = shown.to_rgba(table[i, j])
        ink = legible_on((float(red), float(green), float(blue)))
        axes.text(j, i, f"{table[i, j]:.{digits}f}", ha="center", va="center", fontsize=7.5, color=ink)
