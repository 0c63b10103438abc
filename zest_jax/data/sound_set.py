"""What every reader of sounds gives, which of it can be used, and how it becomes a `SoundSet`."""

import dataclasses
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from zest_jax.data.bad_inputs import usable_rows
from zest_jax.data.reading import ReadOptions
from zest_jax.data.resampling import checked_rate, resample
from zest_jax.progress import progress_bar

Channels = Literal["mono", "mix", "first"]

# Seconds; M5's first filter, 80 samples at 8 kHz, fits just once.
SHORTEST = 0.01
# How far beyond 1 a float sample may be, which rounding explains; it is clipped.
_HAIR = 1e-3
# Sounds larger than this together are not read, since one long file would make all others as long.
_LARGEST = 32e9


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SoundSet:
    """Sounds of one length and rate, read from somewhere.

    Attributes:
        sounds: [N, samples], float32 in [-1, 1]; what was shorter is followed by silence.
        rate: samples per second, in Hz; None where a TFDS data set does not tell it.
        labels: class of each sound, int64 [N], or None when unknown.
        class_names: name of each class, or None.
        skipped: names of the bad sounds that were left out.
        source: where they come from, as the user wrote it.
        resampled: how many had another rate.

    >>> pool = SoundSet(sounds=np.zeros((2, 4000), np.float32), rate=8000)
    >>> len(pool), pool.sounds.shape[1] / pool.rate                                 # seconds
    (2, 0.5)
    """

    sounds: np.ndarray
    rate: int | None
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    source: str = ""
    resampled: int = 0

    def __len__(self) -> int:
        return len(self.sounds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundOptions:
    """Arguments of `load_sound_pool` that say how sounds are made alike."""

    rate: int | None = None
    seconds: float | None = None
    channels: Channels = "mono"

    def __post_init__(self) -> None:
        checked_rate(self.rate)
        if self.seconds is not None and not SHORTEST <= self.seconds < float("inf"):
            raise ValueError(
                f"`seconds` is {self.seconds}; give a length from {SHORTEST}, or None for the longest sound's"
            )
        if self.channels not in ("mono", "mix", "first"):
            raise ValueError(f"`channels` is {self.channels!r}; choose 'mono', 'mix' or 'first'")


class StoredSound(NamedTuple):
    """One sound as it was found: float32 [samples, channels] at `rate` Hz, or a `fault` that the reader knows already."""

    name: str
    samples: np.ndarray | None = None
    rate: int | None = None
    label: int | None = None
    fault: str | None = None


def sound_set(
    stored: Iterable[StoredSound],
    n: int,
    source: str,
    wanted: SoundOptions,
    options: ReadOptions,
    class_names: tuple[str, ...] | None = None,
) -> SoundSet:
    """Check n sounds, bring them to one rate and length, and make them a `SoundSet`.

    Args:
        stored: the sounds; all at the same rate, unless one is wanted.
        n: how many.
        source: for messages.
        wanted: rate, length and channels.
        options: whether bad ones are left out.
        class_names: name of each class, or None.

    Raises:
        FileFormatError: there are bad sounds that are not to be skipped, or nothing else.
        ValueError: together they would not fit in memory.
    """
    names: list[str] = []
    faults: dict[int, str] = {}
    good: list[np.ndarray] = []
    labels: list[int | None] = []
    rate, resampled, longest = wanted.rate, 0, (0, "")
    with progress_bar(f"reading {source}", n, unit="sounds", show=options.progress) as update:
        for i, sound in enumerate(stored):
            names.append(sound.name)
            found = sound.fault if sound.samples is None else _usable(sound.samples, sound.rate, wanted)
            update(i + 1)
            if isinstance(found, np.ndarray):
                rate = rate or sound.rate
                if rate and sound.rate and rate != sound.rate:
                    found, resampled = resample(found, sound.rate, rate), resampled + 1
                samples = round(wanted.seconds * rate) if wanted.seconds and rate else None
                # A copy, so that what is cut off a long sound is not kept in memory.
                found = found[:samples].copy()
                longest = max(longest, (samples or len(found), sound.name))
                if longest[0] * n * 4.0 > _LARGEST:
                    raise ValueError(
                        f"the {n:,} sounds of {source} would take {longest[0] * n * 4 / 1e9:.0f} GB of memory, all of them as "
                        f"long as {longest[1]} ({longest[0]:,} samples); pass `seconds` to cut them, or `limit`"
                    )
                good.append(found)
                labels.append(sound.label)
            else:
                faults[i] = found or "it holds no samples"
    usable_rows(names, faults, what="sounds", source=source, options=options)
    sounds = np.zeros((len(good), longest[0]), np.float32)
    for i, sound in enumerate(good):
        sounds[i, : len(sound)] = sound
    known = [label for label in labels if label is not None]
    return SoundSet(
        sounds=sounds,
        rate=rate,
        labels=np.array(known, np.int64) if len(known) == len(good) else None,
        class_names=class_names,
        skipped=tuple(names[i] for i in sorted(faults)),
        source=source,
        resampled=resampled,
    )


def _usable(samples: np.ndarray, rate: int | None, wanted: SoundOptions) -> np.ndarray | str:
    """One channel of a sound [samples, channels] within [-1, 1], or what is wrong with it."""
    n, channels = samples.shape
    if n == 0:
        return "it holds no samples"
    if channels > 1 and wanted.channels == "mono":
        return (
            f'it has {channels} channels; pass `channels="mix"` (`--channels mix`) to take their mean, or "first" to take '
            "the first"
        )
    if rate and n < SHORTEST * rate:
        return (
            f"it lasts {1000 * n / rate:.3g} ms ({n} samples at {rate} Hz); at least {1000 * SHORTEST:g} ms are needed"
        )
    wrong = np.count_nonzero(~np.isfinite(samples))
    if wrong:
        return f"{wrong:,} of its {samples.size:,} samples are NaN or infinite"
    low, high = float(samples.min()), float(samples.max())
    if low < -1 - _HAIR or high > 1 + _HAIR:
        return (
            f"its samples go from {low:g} to {high:g}, and must lie in [-1, 1]; divide them by their scale (32768 for that of "
            "16 bits), or by the loudest"
        )
    sound = samples.mean(axis=1, dtype=np.float64).astype(np.float32) if wanted.channels == "mix" else samples[:, 0]
    used = sound[: max(1, round(wanted.seconds * rate))] if wanted.seconds and rate else sound
    if used.min() == used.max():
        part = "" if len(used) == n else f" in its first {wanted.seconds:g} s"
        return f"it is silent{part}: all {len(used):,} samples are {float(used[0]):g}"
    return sound.clip(-1, 1)
