"""Cut sounds into stretches of time, or into cells of time and frequency: the units that the masks switch on and off."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int32
from numpy.typing import ArrayLike

from zest_jax.blackbox.protocol import in_plain_scale
from zest_jax.probes.segmenter_settings import checked_settings, recorded
from zest_jax.probes.spectrum import Stft, whole_number

SoundSegmenter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Settings of "windows".

    Attributes:
        n_windows: how many windows of equal length a sound is cut into. More tell models apart better, are fitted worse and
            need more masks; 16 is a middle way, measured on a second of speech (benchmarks/paper/audio_windows.py).
    """

    n_windows: int = 16

    def __post_init__(self) -> None:
        whole_number("n_windows", self.n_windows)
        if self.n_windows < 1:
            raise ValueError(f"`n_windows` is {self.n_windows}; give at least 1 window")


@dataclass(frozen=True, kw_only=True)
class SilenceSettings:
    """Settings of "silence".

    Attributes:
        threshold: what is called silent, in decibels below the loudest moment of the sound.
        shortest: seconds that a silence must last to be a gap.
        moment: seconds over which loudness is measured.
    """

    threshold: float = 30.0
    shortest: float = 0.05
    moment: float = 0.01

    def __post_init__(self) -> None:
        for name in ("threshold", "shortest", "moment"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"`{name}` is {value}; give a finite number above 0")


@dataclass(frozen=True, kw_only=True)
class CellSettings:
    """Settings of "stft".

    Attributes:
        n_windows: how many cells in time.
        n_bands: how many cells in frequency, bands of equal width.
        n_fft: of the transform; see `Stft`.
        hop: of the transform; see `Stft`.
    """

    n_windows: int = 8
    n_bands: int = 4
    n_fft: int = 256
    hop: int = 64

    def __post_init__(self) -> None:
        for name in ("n_windows", "n_bands"):
            whole_number(name, getattr(self, name))
        if self.n_windows < 1 or self.n_bands < 1:
            raise ValueError(
                f"{self.n_windows} x {self.n_bands} cells are none; `n_windows` and `n_bands` must be at least 1"
            )
        stft = Stft(n_fft=self.n_fft, hop=self.hop)
        if self.n_bands > stft.n_fft // 2 + 1:
            raise ValueError(f"`n_bands` is {self.n_bands}, but `n_fft` {self.n_fft} gives {self.n_fft // 2 + 1} bins")

    @property
    def stft(self) -> Stft:
        """The transform."""
        return Stft(n_fft=self.n_fft, hop=self.hop)


_Settings = WindowSettings | SilenceSettings | CellSettings
_SETTINGS: dict[str, type[_Settings]] = {
    "windows": WindowSettings,
    "silence": SilenceSettings,
    "stft": CellSettings,
}


def segment_sounds(
    sounds: ArrayLike, rate: int, *, method: str | SoundSegmenter = "windows", **settings: Any
) -> Int32[np.ndarray, "N ..."]:
    """Label every sample of every sound, or every cell of its transform, with the segment it belongs to.

    Methods:
        "windows": `n_windows` (16) equal windows of time, which differ by at most one sample.
        "silence": what lies between two silent gaps; the cut is in the middle of a gap. For recordings of many words.
        "stft": cells of time and frequency.
        a callable: takes one sound, float32 [samples] in [-1, 1], and returns integer labels [samples], of any values.

    Args:
        sounds: [N, samples], as `checked_sounds` returns them.
        rate: samples per second.
        method: one of the above.
        **settings: of the method; see `WindowSettings`, `SilenceSettings`, `CellSettings`.

    Returns:
        labels int32 [N, samples], with "stft" [N, bins, frames]; in each sound 0 to K - 1 with every label used.

    Raises:
        ValueError: the method or a setting is unknown or out of range, a sound is shorter than a window is, or a callable
            returns something else than labels.

    >>> segment_sounds(np.zeros((1, 5), np.float32), 8000, n_windows=2).tolist()
    [[0, 0, 0, 1, 1]]
    """
    chosen = sound_settings(method, settings)
    array = np.asarray(sounds)
    n, samples = array.shape
    if isinstance(chosen, WindowSettings):
        return np.tile(_equal_parts(samples, chosen.n_windows, "samples"), (n, 1))
    if isinstance(chosen, CellSettings):
        bins, frames = chosen.stft.shape(samples)
        bands = _equal_parts(bins, chosen.n_bands, "bins of frequency")
        windows = _equal_parts(frames, chosen.n_windows, "frames of the transform")
        return np.tile(bands[:, None] * chosen.n_windows + windows, (n, 1, 1))
    unit = in_plain_scale(array)
    if isinstance(chosen, SilenceSettings):
        return np.stack([_between_gaps(sound, rate, chosen) for sound in unit])
    assert callable(method)
    return np.stack([_from_callable(method, sound, i) for i, sound in enumerate(unit)])


def sound_settings(method: str | SoundSegmenter, settings: dict[str, Any]) -> _Settings | None:
    """Settings of a named method, checked; None for a callable.

    Raises:
        ValueError: see `segment_sounds`.
    """
    return checked_settings(method, settings, _SETTINGS)


def described(method: str | SoundSegmenter, settings: dict[str, Any]) -> dict[str, Any]:
    """Every setting that `segment_sounds` would use, defaults included, as JSON-able values for the record."""
    return recorded(method, sound_settings(method, settings))


def _equal_parts(n: int, parts: int, what: str) -> Int32[np.ndarray, " n"]:
    if n < parts:
        raise ValueError(f"a sound has {n} {what}, fewer than the {parts} parts to cut it into; ask for fewer")
    return (np.arange(n) * parts // n).astype(np.int32)


def _between_gaps(
    sound: Float[np.ndarray, " samples"], rate: int, how: SilenceSettings
) -> Int32[np.ndarray, " samples"]:
    """Label the stretches between the middles of silent gaps."""
    moment = max(1, round(how.moment * rate))
    n = -(-len(sound) // moment)
    padded = np.zeros(n * moment)
    padded[: len(sound)] = sound
    loudness = np.sqrt(np.mean(padded.reshape(n, moment) ** 2, axis=1))
    silent = loudness <= loudness.max() * 10 ** (-how.threshold / 20)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]])))
    cuts = []
    for start, stop in edges.reshape(-1, 2).tolist():
        # Silence at the beginning and at the end lies between no two sounds.
        if start > 0 and stop < n and (stop - start) * moment >= how.shortest * rate:
            cuts.append((start + stop) * moment // 2)
    return np.searchsorted(np.asarray(cuts, np.int64), np.arange(len(sound)), side="right").astype(np.int32)


def _from_callable(method: SoundSegmenter, sound: np.ndarray, i: int) -> Int32[np.ndarray, " samples"]:
    labels = np.asarray(method(sound.copy()))
    if labels.shape != sound.shape or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"the segmenter returned {labels.dtype} {list(labels.shape)} for sound {i}; return one integer label for each of "
            f"its {len(sound)} samples"
        )
    return np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int32)
