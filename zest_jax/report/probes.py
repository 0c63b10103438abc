"""Draw a probe set: its references with the outlines of their super-pixels."""

import os
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

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

if TYPE_CHECKING:  # drawing needs no JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

MOST_SHOWN = 12


def probes_figure(probes: "ProbeSet", *, first: int = 0, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw up to 12 references of a probe set with the outlines of their super-pixels, each under its number.

    Args:
        probes: what `image_probes` or `ProbeSet.load` returned.
        first: the reference to begin with, from 0.
        path: where to write the picture as well; the ending decides the format (.png, .pdf, .svg, ...).

    Raises:
        ValueError: there is no reference `first`, or the format is unknown.

    >>> from zest_jax.probes import ProbeSet
    >>> probes = ProbeSet.from_arrays(
    ...     references=np.zeros((1, 2, 2, 3), np.uint8), segments=np.array([[[0, 0], [1, 1]]]),
    ...     masks=np.array([[[1, 1], [0, 1], [1, 0]]]), fill=0.5)
    >>> [axes.get_title() for axes in probes_figure(probes).axes]
    ['reference 0: 2 super-pixels']
    """
    if not 0 <= first < probes.n_references:
        raise ValueError(f"`first` is {first}; the probe set has references 0 to {probes.n_references - 1}")
    shown = range(first, min(first + MOST_SHOWN, probes.n_references))
    rows, columns = grid_shape(len(shown))
    height, width = probes.references.shape[1:3]
    size = (PANEL * columns, rows * (PANEL * height / width + LINE + 0.2))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    for panel, i in zip(photo_panels(figure, len(shown)), shown, strict=False):
        picture = outlined(plain_rgb(probes.references[i]), probes.segments[i])
        draw_photo(panel, picture, f"reference {i}: {probes.n_segments[i]} super-pixels")
    if path is not None:
        write_figure(figure, path)
    return figure
