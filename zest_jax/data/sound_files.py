"""Sounds from a folder of .wav and .flac files, read by libsndfile."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zest_jax.data.bad_inputs import usable_rows
from zest_jax.data.folder import find_files, folder_classes, what_else
from zest_jax.data.reading import ReadOptions
from zest_jax.data.sound_set import SoundOptions, SoundSet, StoredSound, sound_set
from zest_jax.errors import WrongFileError, missing_extra

SOUND_ENDINGS = frozenset((".wav", ".wave", ".flac"))
# Found and named, so that no sound is left out unseen.
OTHER_SOUND_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        "aac ac3 aif aifc aiff amr ape au caf m4a m4b mka mp2 mp3 mpga oga ogg opus ra snd voc w64 wma wv".split()  # noqa: SIM905  reads better
    )
)
# As libsndfile calls them.
_FORMATS = frozenset(("WAV", "WAVEX", "RF64", "FLAC"))
# libsndfile reads what is there of a cut file, and says so only in its log.
_CUT = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# Programs that write to a pipe cannot know the length; they declare about as much as fits.
_UNKNOWN_LENGTH = 0x7FF00000


def load_sound_folder(folder: Path, wanted: SoundOptions, options: ReadOptions) -> SoundSet:
    """Read a folder of sounds; see `load_sound_pool`.

    The headers of all files are read first, so that different rates are found before any sound is read.
    """
    library = _library()
    paths = find_files(folder, SOUND_ENDINGS | OTHER_SOUND_ENDINGS)
    if not paths:
        raise WrongFileError(
            f"{folder} holds no sounds{what_else(folder)}; sound files end in {', '.join(sorted(SOUND_ENDINGS))}"
        )
    labels, class_names = folder_classes(folder, paths)
    rows = options.rows(len(paths))
    paths = [paths[i] for i in rows]
    names = [str(path) for path in paths]
    classes = [None if labels is None else int(labels[i]) for i in rows]

    headers = [_header(path, library) for path in paths]
    bad = {i: header for i, header in enumerate(headers) if isinstance(header, str)}
    if bad and (len(bad) == len(paths) or not options.skip_bad):
        usable_rows(names, bad, what="sounds", source=str(folder), options=options)
    if wanted.rate is None:
        _check_one_rate([header for header in headers if isinstance(header, int)], folder)

    def stored() -> Iterator[StoredSound]:
        for path, header, label in zip(paths, headers, classes, strict=True):
            if isinstance(header, str):
                yield StoredSound(str(path), fault=header)
                continue
            read = _read(path, library)
            if isinstance(read, str):
                yield StoredSound(str(path), fault=read)
            else:
                yield StoredSound(str(path), read, header, label)

    return sound_set(stored(), len(paths), str(folder), wanted, options, class_names)


def _check_one_rate(rates: list[int], folder: Path) -> None:
    counts = Counter(rates)
    if len(counts) > 1:
        shown = ", ".join(f"{n:,} of {rate} Hz" for rate, n in counts.most_common(4))
        more = f" and {len(counts) - 4} rates more" if len(counts) > 4 else ""
        raise ValueError(
            f"the sounds of {folder} have {len(counts)} different sample rates ({shown}{more}); probes need one: pass `rate` "
            "(`--rate 16000` on the command line), the one that the models expect, and the others are resampled"
        )


def _header(path: Path, library: Any) -> int | str:
    """The sample rate of a file, or what is wrong with it."""
    if path.suffix.lower() in OTHER_SOUND_ENDINGS:
        return f"{path.suffix.lower()} is not read; convert it to .wav or .flac, such as by `ffmpeg -i IN OUT.wav`"
    try:
        if os.path.getsize(path) == 0:
            return "the file is empty"
        with library.SoundFile(path) as file:
            if file.format not in _FORMATS:
                return f"it is {file.format}, whatever its name says; convert it to .wav or .flac"
            for declared, there in _CUT.findall(file.extra_info):
                if int(there) < int(declared) < _UNKNOWN_LENGTH:
                    return (
                        f"it is cut off: {int(declared):,} bytes of samples are declared, and {int(there):,} are there"
                    )
            return int(file.samplerate)
    except (library.SoundFileError, OSError) as error:
        return _reason(error)


def _read(path: Path, library: Any) -> np.ndarray | str:
    """All samples of a file, float32 [samples, channels], or what is wrong with it."""
    try:
        with library.SoundFile(path) as file:
            declared = file.frames
            samples = file.read(declared, dtype="float32", always_2d=True)
    except (library.SoundFileError, OSError, MemoryError, ValueError) as error:
        return _reason(error)
    if len(samples) < declared:
        return f"it is cut off or damaged: {len(samples):,} of {declared:,} samples can be read"
    return samples


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = str(getattr(error, "error_string", "") or error or type(error).__name__).strip().rstrip(".")
    if said.startswith("Format not recognised"):
        return "it is of no sound format known here, or damaged at its beginning"
    return f"it cannot be read ({said})"


def _library() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise missing_extra("soundfile", "audio") from error
    return soundfile
