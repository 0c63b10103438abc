"""Read the pool of sounds from which references are chosen: a folder of files, or a TFDS data set."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from zest_jax.data.reading import OnSkip, ReadOptions
from zest_jax.data.resampling import checked_rate
from zest_jax.data.sound_files import SOUND_ENDINGS, load_sound_folder
from zest_jax.data.sound_records import SoundRecords, open_sounds, unknown_rate
from zest_jax.data.sound_set import Channels, SoundOptions, SoundSet, StoredSound, sound_set
from zest_jax.data.tfds import is_tfds_folder, is_tfds_name, not_found
from zest_jax.errors import WrongFileError

__all__ = ["SoundSet", "kind_of_sound_source", "load_sound_pool"]

SoundSource = Literal["folder", "tfds"]


def load_sound_pool(
    source: str | os.PathLike[str],
    *,
    rate: int | None = None,
    seconds: float | None = None,
    channels: Channels = "mono",
    split: str = "train",
    limit: int | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    on_skip: OnSkip | None = None,
    progress: bool | None = False,
) -> SoundSet:
    """Read sounds as one array, each of which a model can be asked about.

    Bad are sounds that are silent (all samples that are used are equal), shorter than 10 ms, cut off or damaged, of several
    channels (unless `channels` says what to do), with samples that are NaN, infinite or outside [-1, 1] by more than 0.001,
    and files in other formats than WAV and FLAC.

    Args:
        source: one of
            a folder of .wav and .flac files, searched in depth and sorted by path; sub-folders are classes;
            the name of a data set prepared by TensorFlow Datasets ("speech_commands", "speech_commands:test"), or its
            folder, with sounds of 16 bits. TensorFlow itself is not needed.
        rate: samples per second that the models expect, in Hz; sounds of another rate are resampled (and counted, in
            `SoundSet.resampled`). None: all sounds must have one rate.
        seconds: length; longer sounds lose their end, shorter ones are followed by silence. None: that of the longest.
        channels: "mono" takes sounds of one channel and no others, "mix" the mean of all channels, "first" the first.
        split: of a data set with several, unless `source` names one.
        limit: read at most this many, bad ones included.
        seed: None reads the first `limit`, a number that many random ones.
        skip_bad: leave bad sounds out, instead of raising an error that counts them and names the first.
        on_skip: called with the name and what is wrong, for every sound left out.
        progress: show a bar on stderr; None: when stderr is a terminal.

    Raises:
        FileNotFoundError: there is no such folder or prepared data set.
        FileFormatError: the source cannot be read, holds no sounds, or some are bad.
        MissingExtraError: soundfile, or for TFDS data sets tensorflow-datasets, is not installed.
        ValueError: an argument is out of range; the files have several rates and `rate` is None; `rate` or `seconds` is
            given and a data set does not tell its rate; or the sounds together would not fit in memory.

    >>> import tempfile, wave
    >>> folder = tempfile.TemporaryDirectory()
    >>> for i, name in enumerate(["down", "up"]):
    ...     Path(folder.name, name).mkdir()
    ...     with wave.open(str(Path(folder.name, name, "a.wav")), "wb") as file:
    ...         file.setparams((1, 2, 16000, 0, "NONE", ""))
    ...         file.writeframes(np.arange(400 * (i + 1), dtype="<i2").tobytes())
    >>> pool = load_sound_pool(folder.name, rate=8000)
    >>> pool.sounds.shape, pool.rate, pool.resampled, pool.labels.tolist(), pool.class_names
    ((2, 400), 8000, 2, [0, 1], ('down', 'up'))
    >>> folder.cleanup()
    """
    options = ReadOptions(split=split, limit=limit, seed=seed, skip_bad=skip_bad, on_skip=on_skip, progress=progress)
    wanted = SoundOptions(rate=checked_rate(rate), seconds=seconds, channels=channels)
    if kind_of_sound_source(source) == "folder":
        return load_sound_folder(Path(source).expanduser(), wanted, options)
    opened = open_sounds(str(source), split)
    if opened.rate is None and (rate is not None or seconds is not None):
        raise unknown_rate(str(source))
    rows = options.rows(len(opened.records))
    return sound_set(_stored(opened, rows), len(rows), str(source), wanted, options, opened.class_names)


def kind_of_sound_source(source: str | os.PathLike[str]) -> SoundSource:
    """Say how `load_sound_pool` will read a source.

    Args:
        source: as for `load_sound_pool`.

    Returns:
        "folder" or "tfds".

    Raises:
        FileNotFoundError, FileFormatError: see `load_sound_pool`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kind_of_sound_source(folder)
    'folder'
    """
    path = Path(source).expanduser()
    if not path.exists():
        if is_tfds_name(str(source)):
            return "tfds"
        raise not_found(str(source))
    if path.is_dir():
        return "tfds" if is_tfds_folder(path) else "folder"
    if path.suffix.lower() in SOUND_ENDINGS:
        raise WrongFileError(f"{path} is a single sound; give the folder that holds the sounds ({path.parent})")
    raise WrongFileError(
        f"{path} holds no sounds that can be read: give a folder of .wav or .flac files, or the name of a TFDS data set"
    )


def _stored(opened: SoundRecords, rows: np.ndarray) -> Iterator[StoredSound]:
    for row in rows:
        name = f"{opened.source} record {row}"
        try:
            samples, label = opened.read(int(row))
        except Exception as error:
            yield StoredSound(name, fault=f"it cannot be read ({error})")
        else:
            floats = samples.astype(np.float32) / 2**15
            yield StoredSound(name, floats, opened.rate, label if opened.label else None)
