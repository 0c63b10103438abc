"""ProbeSet: everything about the questions that does not depend on the model. Made once, shared by all models."""

import dataclasses
import functools
import hashlib
import json
import os
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from zest_jax.atomic import atomic_write
from zest_jax.errors import FileFormatError
from zest_jax.probes.masks import DistinctMasks, distinct_masks, pack, unpack

FORMAT = "zest-probes"
FORMAT_VERSION = 1

# Below this mean, most references are one segment: Quickshift in the wrong value range gives 1.6 on CIFAR-10, in the right
# one 16.
MIN_MEAN_SEGMENTS = 2


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ProbeSet:
    """References, their segments, the masks over them, and what replaces a masked segment.

    Make one with `image_probes`, `ProbeSet.from_arrays` or `ProbeSet.load`. Signatures can be compared only when they
    were made from the same ProbeSet, which is what `hash` identifies.

    Attributes:
        references: [refs, H, W, C], uint8 or float32 in [0, 1].
        segments: int32 [refs, H, W], labels 0 to K_i - 1 in reference i.
        n_segments: K_i, int32 [refs].
        packed_masks: masks as bits, uint8 [refs, samples, ceil(K_max / 8)]; padding bits are 0.
        fill: what a masked pixel becomes, float32 [C], or [refs, H, W, C] when it depends on the place.
        settings: how it was made (segmenter, seed, ...), JSON-able; not part of the hash.
    """

    references: np.ndarray
    segments: np.ndarray
    n_segments: np.ndarray
    packed_masks: np.ndarray
    fill: np.ndarray
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        *,
        references: np.ndarray,
        segments: np.ndarray,
        masks: np.ndarray,
        fill: np.ndarray | float | tuple[float, ...],
        settings: dict[str, Any] | None = None,
    ) -> "ProbeSet":
        """Use probes made elsewhere.

        Args:
            references: [refs, H, W, C] or grey [refs, H, W]; uint8, or float in [0, 1].
            segments: integer labels [refs, H, W]; in each reference 0 to K - 1, each used.
            masks: 0/1 or bool [refs, samples, segments], at least as many columns as the largest K; columns past a
                reference's own K are padding and are ignored.
            fill: scalar, [C], or [refs, H, W, C], in [0, 1].
            settings: anything JSON-able worth remembering about where they come from.

        Raises:
            ValueError: shapes or values do not fit; the message names which.

        >>> probes = ProbeSet.from_arrays(
        ...     references=np.zeros((1, 2, 2, 3), np.uint8), segments=np.array([[[0, 0], [1, 1]]]),
        ...     masks=np.array([[[1, 1], [0, 1], [1, 0]]]), fill=0.5)
        >>> probes.n_references, probes.n_samples, probes.n_segments.tolist()
        (1, 3, [2])
        """
        references = _check_references(np.asarray(references))
        segments, counts = _check_segments(np.asarray(segments), references.shape[:-1])
        packed = _check_masks(np.asarray(masks), counts)
        _warn_if_blind(counts)
        return cls(
            references=references,
            segments=segments,
            n_segments=counts,
            packed_masks=packed,
            fill=_check_fill(np.asarray(fill, np.float32), references.shape),
            settings=dict(settings or {}),
        )

    @property
    def n_references(self) -> int:
        return len(self.references)

    @property
    def n_samples(self) -> int:
        """L, the masks drawn for each reference, repeats included."""
        return self.packed_masks.shape[1]

    @property
    def max_segments(self) -> int:
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
        """SHA-256 over everything that decides the questions: references, segments, masks, fill."""
        digest = hashlib.sha256(f"{FORMAT} {FORMAT_VERSION}".encode())
        for name in ("references", "segments", "n_segments", "packed_masks", "fill"):
            array = np.ascontiguousarray(getattr(self, name))
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.references.shape[1:])
        low, high = int(self.n_segments.min()), self.max_segments
        return (
            f"ProbeSet({self.n_references} references of {shape}, {low} to {high} segments, {self.n_samples} masks each, "
            f"{self.n_queries} distinct queries, {self.hash[:12]})"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file (no pickle in it), all at once or not at all."""
        header = {"format": FORMAT, "version": FORMAT_VERSION, "hash": self.hash, "settings": self.settings}
        with atomic_write(path) as file:
            np.savez_compressed(
                file,
                header=np.array(json.dumps(header)),
                references=self.references,
                segments=_narrow(self.segments),
                n_segments=self.n_segments,
                packed_masks=self.packed_masks,
                fill=self.fill,
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ProbeSet":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            FileFormatError: it is truncated, was changed, or is not a probe set.
        """
        path = Path(path)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                if not hasattr(data, "files") or "header" not in data.files:
                    raise FileFormatError(
                        f"{path} is not a probe set; make one with `zest probes` or `image_probes(...).save(path)`"
                    )
                header = json.loads(str(data["header"]))
                arrays = {name: data[name] for name in ("references", "segments", "n_segments", "packed_masks", "fill")}
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
            raise FileFormatError(
                f"{path} cannot be read as a probe set ({error}); it is truncated, damaged or of another kind: "
                "make it again with `zest probes`"
            ) from error
        if header.get("format") != FORMAT or header.get("version") != FORMAT_VERSION:
            raise FileFormatError(
                f"{path} says it is {header.get('format')!r} version {header.get('version')}; "
                f"this package reads {FORMAT!r} version {FORMAT_VERSION}"
            )
        arrays["segments"] = arrays["segments"].astype(np.int32)
        probes = cls(**arrays, settings=header.get("settings", {}))
        if probes.hash != header.get("hash"):
            raise FileFormatError(
                f"{path} is damaged: its contents hash to {probes.hash[:12]}, not to the "
                f"{str(header.get('hash'))[:12]} it was saved with"
            )
        return probes


def _narrow(segments: np.ndarray) -> np.ndarray:
    return segments.astype(np.uint16) if segments.max(initial=0) < 2**16 else segments


def _check_references(references: np.ndarray) -> np.ndarray:
    if references.ndim == 3:
        references = references[..., None]
    if references.ndim != 4 or 0 in references.shape:
        raise ValueError(
            f"`references` has shape {references.shape}; give [refs, H, W, C] or grey [refs, H, W], none of them 0"
        )
    if references.dtype == np.uint8:
        return references
    if not np.issubdtype(references.dtype, np.floating):
        raise ValueError(f"`references` has dtype {references.dtype}; give uint8, or float in [0, 1]")
    low, high = float(references.min()), float(references.max())
    if not (np.isfinite([low, high]).all() and low >= 0 and high <= 1):
        raise ValueError(
            f"float `references` must lie in [0, 1]; these range from {low:g} to {high:g}: divide by 255, or pass uint8"
        )
    return references.astype(np.float32)


def _check_segments(segments: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    if segments.shape != shape:
        raise ValueError(f"`segments` has shape {segments.shape}; the references need {shape}, one label per pixel")
    if not np.issubdtype(segments.dtype, np.integer):
        raise ValueError(f"`segments` has dtype {segments.dtype}; give integer labels")
    counts = np.empty(len(segments), np.int32)
    for i, labels in enumerate(segments):
        used = np.unique(labels)
        if used[0] != 0 or used[-1] != len(used) - 1:
            raise ValueError(
                f"the segments of reference {i} are labelled {used[:5].tolist()}...{used[-1]}; label them 0 to "
                "K - 1 without gaps "
                "(skimage.segmentation.relabel_sequential, or np.unique(..., return_inverse=True), does it)"
            )
        counts[i] = len(used)
    return segments.astype(np.int32), counts


def _check_masks(masks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if masks.ndim != 3 or len(masks) != len(counts) or masks.shape[1] == 0:
        raise ValueError(f"`masks` has shape {masks.shape}; give [{len(counts)}, samples, segments]")
    if masks.shape[2] < counts.max():
        raise ValueError(
            f"`masks` has {masks.shape[2]} columns but a reference has {counts.max()} segments; give one column per segment"
        )
    if masks.dtype != bool and not np.isin(masks, (0, 1)).all():
        raise ValueError("`masks` holds values other than 0 and 1; a segment is either kept (1) or masked (0)")
    masks = masks[:, :, : counts.max()].astype(bool)
    return pack(masks & (np.arange(counts.max()) < counts[:, None])[:, None, :])


def _check_fill(fill: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    channels = shape[-1]
    if fill.shape != shape:
        if fill.ndim > 1 or fill.size not in (1, channels):
            raise ValueError(
                f"`fill` has shape {fill.shape}; give a scalar, [{channels}] (one value per channel) or {shape}"
            )
        fill = np.broadcast_to(fill.reshape(-1), (channels,)).copy()
    if not (np.isfinite(fill).all() and fill.min() >= 0 and fill.max() <= 1):
        raise ValueError(
            f"`fill` ranges from {fill.min():g} to {fill.max():g}; give values in [0, 1], the scale of the inputs"
        )
    return fill


def _warn_if_blind(counts: np.ndarray) -> None:
    """One segment leaves one weight per class: nothing of the model's local behaviour is seen."""
    if counts.mean() < MIN_MEAN_SEGMENTS:
        warnings.warn(
            f"{np.count_nonzero(counts == 1)} of {len(counts)} references have a single segment (K = 1), so signatures will "
            "hardly tell models apart. "
            "Quickshift on uint8 or [0, 1] values does this on small images: its colour distances need floats in 0..255. "
            "Use zest's own `segment_images` (it scales for you), a smaller `max_dist`, or the 'grid' or 'slic' segmenter",
            stacklevel=3,
        )
