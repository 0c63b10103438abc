"""Sound probes: choose references, cut them into windows, draw masks, decide what replaces a masked window."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from zest_jax.blackbox.protocol import BlackBox, in_plain_scale
from zest_jax.blackbox.takes import check_takes
from zest_jax.probes.masks import draw_masks
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.waveform import CellSettings, SoundSegmenter, described, segment_sounds, sound_settings
from zest_jax.references import ReferenceMethod, choose_references

SoundFill = Literal["silence", "noise", "mean"]

# The clip's floor: the level that so large a share of its moments do not exceed, each so many seconds long.
_FLOOR_SHARE = 0.1
_MOMENT = 0.01
_RANGE_TOLERANCE = 1e-4


def audio_probes(
    sounds: ArrayLike,
    n_references: int = 128,
    n_samples: int = 1000,
    seed: int = 0,
    *,
    rate: int,
    references: ReferenceMethod | Sequence[int] | np.ndarray = "random",
    labels: np.ndarray | Sequence[int] | None = None,
    model: BlackBox | None = None,
    segmenter: str | SoundSegmenter = "windows",
    segmenter_settings: Mapping[str, Any] | None = None,
    fill: SoundFill | ArrayLike = "silence",
    p: float = 0.5,
) -> ProbeSet:
    """Make the probe set of Zest from sounds (paper, section 4.4): windows of time take the place of super-pixels.

    Args:
        sounds: the pool, [pool, samples] of one channel; int16, or float in [-1, 1].
        n_references: N.
        n_samples: L, masks per reference, repeats included.
        seed: decides references, masks and noise; the same seed gives the same ProbeSet on every backend.
        rate: samples per second; models that expect another rate are refused.
        references: `method` of `choose_references`.
        labels: [pool], see `choose_references`.
        model: see `choose_references`.
        segmenter: see `segment_sounds`.
        segmenter_settings: its settings.
        fill: what masked parts become. "silence": zeros. "noise": white noise as loud as the quietest tenth of the clip.
            "mean": the mean of the clip's samples. Or values in [-1, 1]: a scalar, or [N, samples].
        p: probability that a window is kept.

    Raises:
        ValueError: the sounds are silent, hold NaN, leave [-1, 1], have several channels or are shorter than the windows; or
            see `choose_references`, `segment_sounds`, `draw_masks`, `ProbeSet.from_arrays`.

    >>> sounds = np.sin(np.arange(800) / np.array([[3.0], [5.0]])).astype(np.float32)
    >>> probes = audio_probes(sounds, 2, 40, rate=8000, segmenter_settings={"n_windows": 4})
    >>> probes.n_segments.tolist(), probes.rate
    ([4, 4], 8000)
    """
    pool = checked_sounds(sounds)
    settings = dict(segmenter_settings or {})
    chosen_settings = sound_settings(segmenter, settings)
    if model is not None:
        check_takes(model, "audio", rate, what="the inputs")
    indices = choose_references(pool, n_references, method=references, labels=labels, model=model, seed=seed)
    chosen = pool[indices]
    segments = segment_sounds(chosen, rate, method=segmenter, **settings)
    counts = (segments.reshape(len(segments), -1).max(axis=1) + 1).astype(np.int32)
    if n_samples < counts.max():
        warnings.warn(
            f"{n_samples} masks cannot determine the weights of a reference with {counts.max()} segments; raise "
            "`n_samples`, ask for fewer windows, or sign with `ridge` or `underdetermined='minimum-norm'`",
            stacklevel=2,
        )
    return ProbeSet.from_arrays(
        references=chosen,
        segments=segments,
        masks=draw_masks(counts, n_samples, p=p, seed=seed),
        fill=sound_fill(fill, chosen, rate, seed),
        modality="audio",
        rate=rate,
        stft=chosen_settings.stft if isinstance(chosen_settings, CellSettings) else None,
        settings={
            "modality": "audio",
            "references": references if isinstance(references, str) else "given",
            "reference_indices": indices.tolist(),
            "pool": len(pool),
            "seed": seed,
            "p": p,
            "segmenter": described(segmenter, settings),
            "fill": fill if isinstance(fill, str) else "given",
        },
    )


def checked_sounds(sounds: ArrayLike) -> np.ndarray:
    """Check that sounds can be asked about, and return them as [N, samples], int16 or float32.

    Raises:
        ValueError: the set is empty, the sounds differ in length, have several channels, are neither int16 nor float, are
            silent, hold NaN or infinity, or leave [-1, 1].

    >>> checked_sounds([[0.0, 0.5]]).dtype
    dtype('float32')
    """
    try:
        array = np.asarray(sounds)
    except ValueError as error:
        raise ValueError("the sounds have different lengths; cut or pad them to one, and stack them") from error
    if array.ndim == 3:
        raise ValueError(
            f"the sounds have shape {array.shape}: several channels; take one, or their mean, as [N, samples]"
        )
    if array.ndim == 1:
        raise ValueError("one sound arrived where a set [N, samples] is needed; pass `sound[None]`")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"the sounds have shape {array.shape}; pass [N, samples], none of them 0")
    if array.dtype != np.int16:
        array = _checked_floats(array)
    flat = array.max(axis=1) == array.min(axis=1)
    if flat.any():
        raise ValueError(
            f"{np.count_nonzero(flat)} of {len(array)} sounds are silent, first sound {int(np.argmax(flat))}: there is "
            "nothing in them to mask; leave them out"
        )
    return array


def sound_fill(fill: SoundFill | ArrayLike, references: np.ndarray, rate: int, seed: int) -> np.ndarray:
    """Decide what replaces masked parts: float32 [1], or [N, samples] where it differs from clip to clip, in [-1, 1]."""
    if not isinstance(fill, str):
        return np.asarray(fill, np.float32)
    if fill == "silence":
        return np.zeros(1, np.float32)
    unit = in_plain_scale(references)
    if fill == "mean":
        return np.broadcast_to(unit.mean(axis=1, keepdims=True, dtype=np.float64), unit.shape).astype(np.float32)
    if fill == "noise":
        moment = min(max(1, round(_MOMENT * rate)), unit.shape[1])
        whole = unit[:, : unit.shape[1] // moment * moment].reshape(len(unit), -1, moment)
        floor = np.array([_floor(loudness) for loudness in whole.std(axis=2, dtype=np.float64)])
        noise = np.random.default_rng([seed, len(unit)]).standard_normal(unit.shape)
        return (noise * floor[:, None]).clip(-1, 1).astype(np.float32)
    raise ValueError(f"unknown fill {fill!r}; choose 'silence', 'noise', 'mean' or give values in [-1, 1]")


def _floor(loudness: np.ndarray) -> float:
    """The level of the quietest moments; silence that was only added to fill a clip up does not count."""
    heard = loudness[loudness > 0]
    return float(np.quantile(heard, _FLOOR_SHARE)) if len(heard) else 0.0


def _checked_floats(array: np.ndarray) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"the sounds are {array.dtype}; pass int16 (-32768 to 32767) or float (-1 to 1)")
    broken = ~np.isfinite(array).all(axis=1)
    if broken.any():
        raise ValueError(
            f"{np.count_nonzero(broken)} of {len(array)} sounds hold NaN or infinity, first sound {int(np.argmax(broken))}; "
            "leave them out, or repair their samples"
        )
    loud = np.abs(array).max(axis=1)
    if (loud > 1 + _RANGE_TOLERANCE).any():
        first = int(np.argmax(loud > 1 + _RANGE_TOLERANCE))
        raise ValueError(
            f"sound {first} reaches {loud[first]:.4g}, but float sounds must be in [-1, 1]; divide by "
            f"{'32768' if loud.max() > 2 else 'the largest magnitude'}, or pass int16"
        )
    return array.clip(-1, 1).astype(np.float32)
