"""Draw how far two models are apart at each reference."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from zest_jax.report.drawing import DPI, PAGE, write_figure

HEIGHT = 2.7
BAR, SHOWN, WHOLE = "#9db8d2", "#d55e00", "#222222"


def reference_figure(
    distances: Float[np.ndarray, " refs"],
    whole: float,
    *,
    shown: Sequence[int] = (),
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the distance of two models at every reference as a bar, nearest first.

    Args:
        distances: of each reference, see `zest_jax.evidence.reference_distances`; those without one are left out.
        whole: the distance over all references, drawn as a dashed line.
        shown: references that are drawn elsewhere, in another colour and with their numbers.
        path: where to write the picture as well; the ending decides the format.

    Raises:
        ValueError: no reference has a distance.

    >>> figure = reference_figure(np.array([0.5, 0.1, 0.3]), 0.25, shown=[1])
    >>> figure.axes[0].get_ylabel(), [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ('distance at the reference', ['1'])
    """
    order = np.argsort(distances, kind="stable")[: int((~np.isnan(distances)).sum())]
    if not len(order):
        raise ValueError("`distances` holds no distance; there is nothing to draw")
    figure = Figure(figsize=(PAGE, HEIGHT), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(order))
    among = np.isin(order, np.asarray(shown, int))
    width = 0.8 if len(order) <= 200 else 1.0
    axes.bar(places[~among], distances[order][~among], width=width, color=BAR)
    # Wide enough to be seen among a thousand.
    axes.bar(places[among], distances[order][among], width=max(width, len(order) / 250), color=SHOWN)
    axes.axhline(whole, color=WHOLE, linewidth=1.2, linestyle="--")
    axes.set(xlim=(-0.6, len(order) - 0.4), ylim=(0, max(float(distances[order[-1]]), whole) * 1.06 or 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("distance at the reference", fontsize=9)
    drawn = "orange: references drawn, by number; " if among.any() else ""
    axes.set_xlabel(
        f"{len(order)} references, nearest first ({drawn}dashed: {whole:.3g}, over all references)", fontsize=9
    )
    axes.set_xticks(places[among], [str(reference) for reference in order[among]])
    axes.tick_params(labelsize=8)
    if path is not None:
        write_figure(figure, path)
    return figure
