"""ProbeSet: everything about the questions that does not depend on the model. Made once, shared by all models."""

import dataclasses
import functools
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zest_jax.atomic import atomic_write
from zest_jax.data.known import Modality
from zest_jax.errors import FileFormatError, WrongFileError
from zest_jax.probes.checks import checked_masks, checks_of, warn_if_blind
from zest_jax.probes.masks import DistinctMasks, distinct_masks, unpack
from zest_jax.probes.spectrum import Stft, whole_number
from zest_jax.probes.text_arrays import as_bytes, from_bytes

FORMAT = "zest-probes"
# 1: images alone. 2: says what modality it is of.
FORMAT_VERSION = 2
_ARRAYS = ("references", "segments", "n_segments", "packed_masks", "fill")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ProbeSet:
    """References, their segments, the masks over them, and what replaces a masked segment.

    Make one with `image_probes`, `text_probes`, `audio_probes`, `ProbeSet.from_arrays` or `ProbeSet.load`. Signatures can be
    compared only when they were made from the same ProbeSet, which is what `hash` identifies.

    Attributes:
        references: images [refs, H, W, C], uint8 or float32 in [0, 1]; sounds [refs, samples], int16 or float32 in [-1, 1];
            texts [refs], an object array of `str`.
        segments: int32, labels 0 to K_i - 1 in reference i: of pixels [refs, H, W]; of samples [refs, samples], or with
            `stft` of cells [refs, bins, frames]; of characters [refs, characters], where -1 is what is never masked
            (between words, and after the end).
        n_segments: K_i, int32 [refs].
        packed_masks: masks as bits, uint8 [refs, samples, ceil(K_max / 8)]; padding bits are 0.
        fill: what is masked becomes this. Images: float32 [C], or [refs, H, W, C] when it depends on the place. Sounds:
            float32 [1], or [refs, samples]. Texts: a string, [1]; "" takes the words out.
        modality: "image", "audio" or "text".
        rate: of sounds, samples per second; else None.
        stft: the transform whose cells are masked, or None where samples are.
        settings: how it was made (segmenter, seed, ...), JSON-able; not part of the hash.
    """

    references: np.ndarray
    segments: np.ndarray
    n_segments: np.ndarray
    packed_masks: np.ndarray
    fill: np.ndarray
    modality: Modality = "image"
    rate: int | None = None
    stft: Stft | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        *,
        references: np.ndarray | Sequence[str],
        segments: np.ndarray,
        masks: np.ndarray,
        fill: np.ndarray | float | tuple[float, ...] | str,
        modality: Modality = "image",
        rate: int | None = None,
        stft: Stft | None = None,
        settings: dict[str, Any] | None = None,
    ) -> "ProbeSet":
        """Use probes made elsewhere.

        Args:
            references: images [refs, H, W, C] or grey [refs, H, W], uint8, or float in [0, 1]; sounds [refs, samples],
                int16, or float in [-1, 1]; or texts.
            segments: integer labels of pixels, samples, cells or characters, shaped as in `ProbeSet`; in each reference 0 to
                K - 1, each used; -1 in texts alone.
            masks: 0/1 or bool [refs, samples, segments], at least as many columns as the largest K; columns past a
                reference's own K are padding and are ignored.
            fill: a scalar, one value per channel, or the shape of the references, in their scale; or a string for texts.
            modality: "image", "audio" or "text".
            rate: of sounds, samples per second; needed for them.
            stft: see `ProbeSet`.
            settings: anything JSON-able worth remembering about where they come from.

        Raises:
            ValueError: shapes or values do not fit; the message names which.

        >>> probes = ProbeSet.from_arrays(
        ...     references=np.zeros((1, 2, 2, 3), np.uint8), segments=np.array([[[0, 0], [1, 1]]]),
        ...     masks=np.array([[[1, 1], [0, 1], [1, 0]]]), fill=0.5)
        >>> probes.n_references, probes.n_samples, probes.n_segments.tolist()
        (1, 3, [2])
        """
        check = checks_of(modality)
        rate = None if rate is None else whole_number("rate", rate)
        checked = check.references(references)
        _check_sound_settings(modality, rate, stft)
        shape = checked.shape if stft is None else (len(checked), *stft.shape(checked.shape[1]))
        labels, counts = check.segments(np.asarray(segments), shape, checked)
        packed = checked_masks(np.asarray(masks), counts)
        warn_if_blind(counts, modality)
        return cls(
            references=checked,
            segments=labels,
            n_segments=counts,
            packed_masks=packed,
            fill=check.fill(fill, checked),
            modality=modality,
            rate=rate,
            stft=stft,
            settings=dict(settings or {}),
        )

    @property
    def n_references(self) -> int:
        """How many references there are."""
        return len(self.references)

    @property
    def n_samples(self) -> int:
        """L, the masks drawn for each reference, repeats included."""
        return self.packed_masks.shape[1]

    @property
    def max_segments(self) -> int:
        """The largest number of segments of a reference, K_max."""
        return int(self.n_segments.max())

    @property
    def masks(self) -> np.ndarray:
        """The masks unpacked, bool [refs, samples, K_max]."""
        return unpack(self.packed_masks, self.max_segments)

    @functools.cached_property
    def distinct(self) -> DistinctMasks:
        """Every different (reference, mask) once: the queries a model is asked."""
        return distinct_masks(self.packed_masks)

    @property
    def n_queries(self) -> int:
        """How many inputs a model is asked about, repeats left out."""
        return len(self.distinct.reference)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 over everything that decides the questions: references, segments, masks, fill, how they are composed."""
        digest = hashlib.sha256(f"{FORMAT} 1".encode())
        for name in _ARRAYS:
            array = getattr(self, name)
            array = as_bytes(array) if array.dtype.kind in "OU" else np.ascontiguousarray(array)
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.data)
        # Nothing is added for images, whose hashes are older than the other modalities.
        if self.modality != "image":
            digest.update(json.dumps(self._kind, sort_keys=True).encode())
        return digest.hexdigest()

    @property
    def _kind(self) -> dict[str, Any]:
        stft = None if self.stft is None else dataclasses.asdict(self.stft)
        return {"modality": self.modality, "rate": self.rate, "stft": stft}

    def __repr__(self) -> str:
        low, high = int(self.n_segments.min()), self.max_segments
        return (
            f"ProbeSet({self.n_references} {self.describe_references()}, {low} to {high} {self.segment_name}s, "
            f"{self.n_samples} masks each, "
            f"{self.n_queries} distinct queries, {self.hash[:12]})"
        )

    @property
    def segment_name(self) -> str:
        """What one segment is called."""
        if self.modality == "image":
            return "super-pixel"
        return "word" if self.modality == "text" else "time window" if self.stft is None else "cell"

    def describe_references(self) -> str:
        """What the references are, in words."""
        if self.modality == "text":
            lengths = [len(text) for text in self.references]
            return f"texts of {min(lengths)} to {max(lengths)} characters"
        if self.modality == "audio":
            assert self.rate is not None
            samples = self.references.shape[1]
            return f"sounds of {samples / self.rate:.3g} s ({samples:,} samples at {self.rate:,} Hz)"
        return f"references of {'x'.join(str(n) for n in self.references.shape[1:])}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file (no pickle in it), all at once or not at all."""
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "hash": self.hash,
            "settings": self.settings,
            **self._kind,
        }
        text = self.modality == "text"
        with atomic_write(path) as file:
            np.savez_compressed(
                file,
                header=np.array(json.dumps(header)),
                references=as_bytes(self.references) if text else self.references,
                segments=_narrow(self.segments),
                n_segments=self.n_segments,
                packed_masks=self.packed_masks,
                fill=as_bytes(self.fill) if text else self.fill,
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ProbeSet":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            FileFormatError: it is truncated, was changed, or is not a probe set.
        """
        path, start = Path(path), b""
        try:
            with path.open("rb") as file:
                start = file.read(6)
            if start == b"\x93NUMPY":
                raise WrongFileError(
                    f"{path} is an array of NumPy, not a probe set; make one of its images: `zest probes {path} -o probes.npz`"
                )
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                if not hasattr(data, "files") or "header" not in data.files:
                    raise WrongFileError(
                        f"{path} is not a probe set; make one with `zest probes` or `image_probes(...).save(path)`"
                    )
                header = json.loads(str(data["header"]))
                arrays = {name: data[name] for name in _ARRAYS}
        except (
            ValueError,
            TypeError,
            EOFError,
            OSError,
            KeyError,
            NotImplementedError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            if isinstance(error, FileNotFoundError):
                raise
            # What was cut off still begins like an archive.
            what = FileFormatError if start.startswith(b"PK") or not start else WrongFileError
            raise what(
                f"{path} cannot be read as a probe set ({error}); it is truncated, damaged or of another kind: "
                "make it again with `zest probes`"
            ) from error
        if header.get("format") != FORMAT or header.get("version") not in range(1, FORMAT_VERSION + 1):
            raise FileFormatError(
                f"{path} says it is {header.get('format')!r} version {header.get('version')}; "
                f"this package reads {FORMAT!r} up to version {FORMAT_VERSION}"
            )
        arrays["segments"] = arrays["segments"].astype(np.int32)
        try:
            kind = _kind_from(header, arrays)
        except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{path} is damaged ({error}); make it again with `zest probes`") from error
        probes = cls(**arrays, **kind, settings=header.get("settings", {}))
        if probes.hash != header.get("hash"):
            raise FileFormatError(
                f"{path} is damaged: its contents hash to {probes.hash[:12]}, not to the "
                f"{str(header.get('hash'))[:12]} it was saved with"
            )
        return probes


def _kind_from(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Modality and what belongs to it; texts in `arrays` are decoded in place."""
    # A file of version 1 holds images and does not say so.
    modality = header.get("modality", "image")
    checks_of(modality)
    if modality == "text":
        arrays["references"], arrays["fill"] = from_bytes(arrays["references"]), from_bytes(arrays["fill"])
    stft = header.get("stft")
    return {"modality": modality, "rate": header.get("rate"), "stft": None if stft is None else Stft(**stft)}


def _check_sound_settings(modality: Modality, rate: int | None, stft: Stft | None) -> None:
    if modality == "audio":
        if rate is None or rate < 1:
            raise ValueError(f"`rate` is {rate}; sounds need their samples per second, such as 8000 or 16000")
    elif rate is not None or stft is not None:
        raise ValueError(f"`rate` and `stft` belong to sounds, and the modality is {modality!r}; leave them out")


def _narrow(segments: np.ndarray) -> np.ndarray:
    small = segments.min(initial=0) >= 0 and segments.max(initial=0) < 2**16
    return segments.astype(np.uint16) if small else segments
