"""How far two models are apart at each reference: the figure, and the section of a page."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from zest_jax.distances import EQUAL
from zest_jax.evidence import ReferenceDistances
from zest_jax.report.drawing import DPI, PAGE, write_figure
from zest_jax.report.page import Column, Picture, Section, Table, png_of
from zest_jax.report.references import local_r2
from zest_jax.signature import Signature
from zest_jax.wording import decimals

HEIGHT = 2.7
# References that are listed because they add most to the distance.
LARGEST = 5
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

    Returns:
        the figure; nothing is shown on a screen.

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


def has_chart(apart: ReferenceDistances, whole: float) -> bool:
    """Whether there is anything to draw: of a distance that is 0 but for rounding the bars would show the rounding."""
    return whole >= EQUAL and not bool(np.isnan(apart.distances).all())


def distances_section(
    suspect: Signature, model: Signature, apart: ReferenceDistances, whole: float, shown: Sequence[int]
) -> Section:
    """The part of a page on where a distance comes from.

    Args:
        suspect: the one model.
        model: the other.
        apart: how far they are apart at each reference.
        whole: over all of them.
        shown: references that are drawn elsewhere on the page.
    """
    heading, total = "Where the distance comes from", len(apart.distances)
    known = ~np.isnan(apart.distances)
    pictures, notes = (), []
    if has_chart(apart, whole):
        picture = Picture(
            name="distances-by-reference",
            png=png_of(reference_figure(apart.distances, whole, shown=[i for i in shown if known[i]])),
            alt=f"Bars: distance of {suspect.label} and {model.label} at each of {total} references, nearest first",
            caption=f"How far {suspect.label} and {model.label} are apart at each reference, over all matched classes. One model "
            "made from the other is near at nearly all of them.",
        )
        pictures = (picture,)
    elif not known.any():
        notes.append("At no reference do both models have weights, so that there is no distance there to be drawn.")
    shared = not np.isnan(apart.shares).all()
    order = apart.shares.argsort(kind="stable")[::-1] if shared else []
    largest = [int(i) for i in order[:LARGEST] if i not in shown]
    rows = [
        (
            str(i),
            "drawn above" if i in shown else "among the largest shares",
            decimals(float(apart.distances[i])),
            f"{apart.shares[i]:.1%}" if shared else "-",
            decimals(local_r2(suspect, i), 2),
            decimals(local_r2(model, i), 2),
        )
        for i in [*shown, *largest]
    ]
    names = ("Distance there", "Share of the distance", "R² of the suspect", "R² of the nearest")
    table = Table(
        caption="References drawn above, and those that add most to the distance"
        if shared
        else "References drawn above",
        columns=(
            Column(name="Reference", kind="number"),
            Column(name=""),
            *(Column(name=n, kind="number") for n in names),
        ),
        rows=tuple(rows),
    )
    notes.append(
        f"Shares of all {total} references add up to 100%; a reference with large weights adds more than one with small ones."
        if shared
        else "The distance is 0 but for rounding, so that there are no shares, and nothing to draw."
    )
    return Section(
        name="distances", heading=heading, pictures=pictures, tables=(table,) if rows else (), notes=tuple(notes)
    )
