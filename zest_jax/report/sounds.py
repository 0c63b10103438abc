"""Draw sounds: their waveform over the windows, or their spectrogram and its cells, in the colours of the weights."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer, Num
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zest_jax.report.drawing import (
    DIVERGING,
    DPI,
    LINE,
    PAGE,
    WIDE_TITLE,
    WeightedReference,
    check_drawable,
    draw_weight_bar,
    grid_shape,
)
from zest_jax.wording import counted

if TYPE_CHECKING:  # drawing needs no JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

# Inches of a panel without its title, and of what else a figure needs.
WAVE, CELLS = 1.15, 1.5
AXIS, BAR = 0.45, 0.8
# How strong the colours behind a waveform are.
GROUND_ALPHA = 0.72
# As many as there are dots in a panel: a longer waveform is drawn by its envelope.
ENVELOPE = 1200
BORDER = "#8a8a8a"
# On a spectrogram in greys, blue-green is seen by all.
CELL_BORDER = "#0072b2"
# More borders than this only hide what is between them, and take long to draw.
MOST_BORDERS = 20_000
# Decibels below the loudest value at which a spectrogram ends.
FLOOR = 80.0


class Sound(NamedTuple):
    """One sound.

    Attributes:
        samples: in [-1, 1].
        rate: samples per second.
        hop: samples from one frame of the transform to the next, or None where samples are masked and not cells.
    """

    samples: Float[np.ndarray, " samples"]
    rate: int
    hop: int | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate


def checked_sound(
    content: np.ndarray, segments: np.ndarray, rate: int | None
) -> tuple[Sound, Int[np.ndarray, "*elements"]]:
    """A sound in [-1, 1], and the labels of its samples or of the cells of its transform.

    Raises:
        ValueError: it is no sound of one channel, int16 or float, has no rate or values that are not finite, is too long, or
            the segments do not fit it.
    """
    check_drawable(content.shape, "samples")
    check_drawable(segments.shape, "cells")
    if rate is None or rate < 1:
        raise ValueError(f"`content` has shape {content.shape}, a sound, and `rate` is {rate}; give samples per second")
    if content.ndim != 1 or len(content) == 0:
        raise ValueError(
            f"`content` has shape {content.shape} and a `rate`; give one sound of one channel, [samples], or leave `rate` out"
        )
    if content.dtype != np.int16 and not np.issubdtype(content.dtype, np.floating):
        raise ValueError(f"the sound is {content.dtype}; give int16, or float in [-1, 1]")
    samples = content / 32768 if content.dtype == np.int16 else content.astype(np.float64)
    if not np.isfinite(samples).all():
        raise ValueError("the sound holds NaN or infinity; repair its samples")
    hop = _hop(len(samples), segments.shape) if segments.ndim == 2 else None
    if segments.shape != samples.shape and hop is None:
        raise ValueError(
            f"`segments` has shape {segments.shape} for a sound of {len(samples)} samples; give one label for each, or for "
            "each cell [bins, frames] of an `Stft`"
        )
    return Sound(samples, rate, hop), segments.astype(np.int64)


def weighted_sound(sound: Sound, segments: Int[np.ndarray, "*elements"], weighted: WeightedReference) -> Figure:
    """Draw a sound once for each model, windows or cells in the colours of their weights."""
    cells = sound.hop is not None
    titles = [weighted.title(i, WIDE_TITLE) for i in range(len(weighted.weights))]
    lines = sum(1 + title.count("\n") for title in titles)
    name = counted(int(segments.max()) + 1, "cell" if cells else "time window")
    heading = f"reference {weighted.index}: {name}"
    panel_height = CELLS if cells else WAVE
    height = len(titles) * (panel_height + 0.12) + LINE * lines + AXIS + BAR + (CELLS if cells else 0) + LINE + 0.12
    figure = Figure(figsize=(PAGE, height), dpi=DPI, layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(titles) + cells, 1, sharex=True, squeeze=False).flat)
    if cells:
        _draw_spectrogram(figure, panels[0], sound, segments)
        panels[0].set_title(heading, fontsize=10)
    else:
        figure.suptitle(heading, fontsize=10)
    shown = None
    for panel, title, weights in zip(panels[cells:], titles, weighted.weights, strict=True):
        if cells:
            shown = panel.imshow(
                weights,
                cmap=DIVERGING,
                extent=_cell_extent(sound, weights),
                aspect="auto",
                origin="lower",
                interpolation="none",
            )
            _draw_cell_borders(panel, sound, segments, BORDER)
            _label_frequencies(panel, sound)
        else:
            ground = weights[None, _columns(len(weights))]
            low, high = _amplitudes(sound)
            shown = panel.imshow(
                ground,
                cmap=DIVERGING,
                alpha=GROUND_ALPHA,
                extent=(0, sound.duration, low, high),
                aspect="auto",
                interpolation="nearest",
            )
            _draw_wave(panel, sound, segments)
        shown.set_clim(-weighted.limit, weighted.limit)
        panel.set_title(title, fontsize=10, loc="left", parse_math=False)
    panels[-1].set_xlabel("time (s)", fontsize=9)
    assert shown is not None
    draw_weight_bar(figure, shown, weighted.caption, ax=panels)
    return figure


def probed_sounds(probes: "ProbeSet", shown: range) -> Figure:
    """Draw references as waveforms with the borders of their windows, or as spectrograms with those of their cells."""
    rows, columns = grid_shape(len(shown), 2)
    cells = probes.stft is not None
    size = (PAGE if columns == 1 else 1.3 * PAGE, rows * ((CELLS if cells else WAVE) + LINE + 0.2) + AXIS)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    every: list[Axes] = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
    for panel, i in zip(every, shown, strict=False):
        sound, segments = checked_sound(probes.references[i], probes.segments[i], probes.rate)
        if probes.stft is not None:
            # What the probe set says, where another hop would fit as well.
            sound = sound._replace(hop=probes.stft.hop)
            _draw_spectrogram(figure, panel, sound, segments)
        else:
            _draw_wave(panel, sound, segments)
        title = f"reference {i}: {counted(int(probes.n_segments[i]), probes.segment_name)}"
        panel.set_title(title, fontsize=10)
    for panel in every[len(shown) :]:
        panel.set_axis_off()
    # The last panel of each column.
    for panel in every[max(0, len(shown) - columns) : len(shown)]:
        panel.set_xlabel("time (s)", fontsize=9)
        panel.tick_params(labelbottom=True)
    return figure


def envelope(
    samples: Float[np.ndarray, " samples"], columns: int
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Lowest and highest sample of each of `columns` equal stretches; each also holds the first sample of the next.

    >>> low, high = envelope(np.array([0.0, 0.5, -0.5, 0.25]), 2)
    >>> low.tolist(), high.tolist()
    ([-0.5, -0.5], [0.5, 0.25])
    """
    starts = np.arange(columns) * len(samples) // columns
    # So that the stretches hang together where the waveform jumps between them.
    following = samples[np.append(starts[1:], len(samples) - 1)]
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    return np.minimum(low, following), np.maximum(high, following)


def spectrogram(samples: Float[np.ndarray, " samples"], n_fft: int, hop: int) -> Float[np.ndarray, "bins frames"]:
    """Loudness in decibels below the loudest value, 0 to -80, of the frames that `Stft` has: Hann windows around k * hop."""
    frames = -(-len(samples) // hop) + 1
    padded = np.zeros((frames - 1) * hop + n_fft)
    padded[n_fft // 2 : n_fft // 2 + len(samples)] = samples
    stretches = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    magnitude = np.abs(np.fft.rfft(stretches * np.hanning(n_fft + 1)[:-1], axis=1)).T
    loudest = magnitude.max() or 1.0
    return 20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-FLOOR / 20)))


def _hop(samples: int, shape: tuple[int, ...]) -> int | None:
    """The hop of the `Stft` whose cells have this shape, the largest if several do; None if there is none."""
    n_fft, frames = 2 * (shape[0] - 1), shape[1]
    hops = (n_fft // overlaps for overlaps in range(2, n_fft + 1) if n_fft % overlaps == 0)
    return next((hop for hop in hops if -(-samples // hop) + 1 == frames), None)


def _columns(samples: int) -> Int[np.ndarray, " columns"]:
    """Samples to stand for all: no more than can be seen, in the middle of equal stretches."""
    columns = min(samples, 2 * ENVELOPE)
    return (np.arange(columns) * 2 + 1) * samples // (2 * columns)


def _amplitudes(sound: Sound) -> tuple[float, float]:
    # The colours of the loudest windows are seen above and below the waveform.
    peak = 1.2 * float(np.abs(sound.samples).max()) or 1.0
    return -peak, peak


def _draw_wave(panel: Axes, sound: Sound, segments: Integer[np.ndarray, " samples"]) -> None:
    """Draw a waveform, or its envelope if it is long, and the borders between the windows."""
    borders = (np.flatnonzero(np.diff(segments)) + 1) / sound.rate
    # As closely as that they would only hide what is between them.
    if len(borders) < ENVELOPE / 4:
        panel.vlines(borders, *_amplitudes(sound), colors=BORDER, linewidth=0.7, zorder=0.5)
    samples = sound.samples
    # In white underneath, so that the line stands out on the darkest ground.
    if len(samples) <= 2 * ENVELOPE:
        at = (np.arange(len(samples)) + 0.5) / sound.rate
        panel.plot(at, samples, color="white", linewidth=2.2, alpha=0.8)
        panel.plot(at, samples, color="black", linewidth=0.8)
    else:
        low, high = envelope(samples, ENVELOPE)
        at = (np.arange(ENVELOPE) + 0.5) / ENVELOPE * sound.duration
        panel.fill_between(at, low, high, color="white", linewidth=2.2, alpha=0.8)
        panel.fill_between(at, low, high, color="black", linewidth=0.6)
    panel.set(xlim=(0, sound.duration), ylim=_amplitudes(sound))
    _label_upwards(panel, "amplitude")


def _draw_spectrogram(figure: Figure, panel: Axes, sound: Sound, segments: Integer[np.ndarray, "bins frames"]) -> None:
    """Draw the loudness of each time and frequency in greys, and the borders between the cells."""
    assert sound.hop is not None
    loudness = spectrogram(sound.samples, 2 * (segments.shape[0] - 1), sound.hop)
    extent = _cell_extent(sound, loudness)
    shown = panel.imshow(loudness, cmap="Greys", vmin=-FLOOR, vmax=0, extent=extent, aspect="auto", origin="lower")
    _draw_cell_borders(panel, sound, segments, CELL_BORDER)
    _label_frequencies(panel, sound)
    # Inside the panel's own margin: beside it, the panels below would lose its width.
    bar = figure.colorbar(shown, cax=panel.inset_axes((1.01, 0, 0.015, 1)))
    bar.set_label("dB", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _cell_extent(sound: Sound, cells: Num[np.ndarray, "bins frames"]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of all cells: frame k lies around k * hop samples, bin k around k / n_fft of the rate."""
    assert sound.hop is not None
    bins, frames = cells.shape
    second, hertz = sound.hop / sound.rate, sound.rate / (2 * (bins - 1))
    return -0.5 * second, (frames - 0.5) * second, -0.5 * hertz, (bins - 0.5) * hertz


def _draw_cell_borders(panel: Axes, sound: Sound, segments: Integer[np.ndarray, "bins frames"], colour: str) -> None:
    left, right, bottom, top = _cell_extent(sound, segments)
    scale = np.array([(right - left) / segments.shape[1], (top - bottom) / segments.shape[0]])
    upright = _edges(segments.T)
    level = _edges(segments)[:, :, ::-1]
    lines = np.concatenate([upright, level]) * scale + np.array([left, bottom])
    if len(lines) > MOST_BORDERS:
        return
    panel.add_collection(LineCollection(list(lines), colors=colour, linewidths=0.7), autolim=False)


def _edges(labels: Integer[np.ndarray, "rows columns"]) -> Int[np.ndarray, "lines 2 2"]:
    """Borders between rows where the labels change, as few lines as possible: [[row, from column], [row, to column]]."""
    changes = np.pad((np.diff(labels, axis=0) != 0).astype(np.int8), ((0, 0), (1, 1)))
    rows, starts = np.nonzero(np.diff(changes, axis=1) == 1)
    stops = np.nonzero(np.diff(changes, axis=1) == -1)[1]
    return np.stack([np.stack([rows + 1, starts], 1), np.stack([rows + 1, stops], 1)], 1).astype(np.int64)


def _label_frequencies(panel: Axes, sound: Sound) -> None:
    panel.set(xlim=(0, sound.duration), ylim=(0, sound.rate / 2))
    _label_upwards(panel, "frequency (Hz)")


def _label_upwards(panel: Axes, name: str) -> None:
    panel.set_ylabel(name, fontsize=9)
    panel.tick_params(labelsize=8)
    # Of themselves the numbers would follow the height, and the layout, which gives the height, the numbers.
    panel.yaxis.set_major_locator(MaxNLocator(4))
