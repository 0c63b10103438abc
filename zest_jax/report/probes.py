"""Draw a probe set: its references and what of them is masked as one."""

import os
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from zest_jax.report.drawing import write_figure
from zest_jax.report.photographs import probed_photographs
from zest_jax.report.sounds import probed_sounds
from zest_jax.report.texts import probed_texts

if TYPE_CHECKING:  # drawing needs no JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

MOST_SHOWN = 12


def probes_figure(probes: "ProbeSet", *, first: int = 0, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw up to 12 references of a probe set and their segments, each under its number.

    Images with the outlines of their super-pixels; texts with every word on a coloured ground, the same for words that are
    masked together; sounds as waveforms with the borders of their windows, or as spectrograms with those of their cells.

    Args:
        probes: what `image_probes`, `text_probes`, `audio_probes` or `ProbeSet.load` returned.
        first: the reference to begin with, from 0.
        path: where to write the picture as well; the ending decides the format (.png, .pdf or .svg).

    Returns:
        the figure; nothing is shown on a screen.

    Raises:
        ValueError: there is no reference `first`, or the format is unknown.

    >>> from zest_jax.probes import ProbeSet, text_probes
    >>> probes = ProbeSet.from_arrays(
    ...     references=np.zeros((1, 2, 2, 3), np.uint8), segments=np.array([[[0, 0], [1, 1]]]),
    ...     masks=np.array([[[1, 1], [0, 1], [1, 0]]]), fill=0.5)
    >>> [axes.get_title() for axes in probes_figure(probes).axes]
    ['reference 0: 2 super-pixels']
    >>> [axes.get_title("left") for axes in probes_figure(text_probes(["to be, to do"], 1, 20)).axes]
    ['reference 0: 3 words']
    """
    if not 0 <= first < probes.n_references:
        raise ValueError(f"`first` is {first}; the probe set has references 0 to {probes.n_references - 1}")
    shown = range(first, min(first + MOST_SHOWN, probes.n_references))
    draw = {"image": probed_photographs, "text": probed_texts, "audio": probed_sounds}[probes.modality]
    figure = draw(probes, shown)
    if path is not None:
        write_figure(figure, path)
    return figure
