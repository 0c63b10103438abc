"""What references, segments, masks and fills may be, for images, sounds and texts."""

import warnings
from typing import Any, Protocol

import numpy as np

from zest_jax.data.known import Modality
from zest_jax.probes.masks import pack

# Below this mean, most references are one segment: Quickshift in the wrong value range gives 1.6 on CIFAR-10, in the right
# one 16.
MIN_MEAN_SEGMENTS = 2


class Checks(Protocol):
    """The checks of one modality; each returns what it was given in the form that a ProbeSet holds."""

    def references(self, given: Any) -> np.ndarray:
        """The references as an array."""
        ...

    def segments(
        self, segments: np.ndarray, shape: tuple[int, ...], references: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels int32 and K of each reference; `shape` is that of what is labelled."""
        ...

    def fill(self, given: Any, references: np.ndarray) -> np.ndarray:
        """What replaces a masked segment."""
        ...


def checks_of(modality: str) -> Checks:
    """Look up the checks of a modality.

    Raises:
        ValueError: it is unknown.
    """
    found: dict[str, Checks] = {"image": _ImageChecks(), "audio": _SoundChecks(), "text": _TextChecks()}
    if modality not in found:
        raise ValueError(f"unknown modality {modality!r}; choose 'image', 'audio' or 'text'")
    return found[modality]


def checked_masks(masks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Masks as bits, uint8 [refs, samples, octets], from 0/1 or bool [refs, samples, segments]."""
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


def warn_if_blind(counts: np.ndarray, modality: Modality) -> None:
    """One segment leaves one weight per class: nothing of the model's local behaviour is seen.

    Of texts a single one of one word is told, since it is easily left out; of images and sounds, when most are so.
    """
    alone = np.flatnonzero(counts == 1)
    if modality == "text" and len(alone) and counts.mean() >= MIN_MEAN_SEGMENTS:
        warnings.warn(
            f"{len(alone)} of {len(counts)} references have one word (K = 1), first reference {alone[0]}: they tell one number "
            "of each class; longer texts tell more",
            stacklevel=3,
        )
    if counts.mean() < MIN_MEAN_SEGMENTS:
        remedy = {
            "image": "Quickshift on uint8 or [0, 1] values does this on small images: its colour distances need floats in "
            "0..255. Use zest's own `segment_images` (it scales for you), a smaller `max_dist`, or the 'grid' or 'slic' "
            "segmenter",
            "audio": "Cut them into more windows",
            "text": "Choose longer texts, or give a segmenter that finds more parts in them",
        }[modality]
        warnings.warn(
            f"{np.count_nonzero(counts == 1)} of {len(counts)} references have a single segment (K = 1), so signatures will "
            f"hardly tell models apart. {remedy}",
            stacklevel=3,
        )


class _ImageChecks:
    def references(self, given: Any) -> np.ndarray:
        references = np.asarray(given)
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
        _check_range(references, 0, "divide by 255, or pass uint8")
        return references.astype(np.float32)

    def segments(
        self, segments: np.ndarray, shape: tuple[int, ...], references: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return _checked_labels(segments, shape[:-1], "one label per pixel")

    def fill(self, given: Any, references: np.ndarray) -> np.ndarray:
        return _checked_fill(given, references, references.shape[-1], 0)


class _SoundChecks:
    def references(self, given: Any) -> np.ndarray:
        references = np.asarray(given)
        if references.ndim != 2 or 0 in references.shape:
            raise ValueError(
                f"`references` has shape {references.shape}; give sounds of one channel, [refs, samples], none of them 0"
            )
        if references.dtype == np.int16:
            return references
        if not np.issubdtype(references.dtype, np.floating):
            raise ValueError(f"`references` has dtype {references.dtype}; give int16, or float in [-1, 1]")
        _check_range(references, -1, "divide by the largest magnitude, or pass int16")
        return references.astype(np.float32)

    def segments(
        self, segments: np.ndarray, shape: tuple[int, ...], references: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return _checked_labels(segments, shape, "one label per sample, or per cell of the transform")

    def fill(self, given: Any, references: np.ndarray) -> np.ndarray:
        return _checked_fill(given, references, 1, -1)


class _TextChecks:
    def references(self, given: Any) -> np.ndarray:
        if isinstance(given, str) or len(given) == 0:
            raise ValueError("`references` must be a list of at least one text")
        found = np.empty(len(given), object)
        for i, text in enumerate(given):
            found[i] = checked_text(text, i)
        return found

    def segments(
        self, segments: np.ndarray, shape: tuple[int, ...], references: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        longest = max(len(text) for text in references)
        if segments.shape != (len(references), longest):
            raise ValueError(
                f"`segments` has shape {segments.shape}; the texts need ({len(references)}, {longest}), one label per "
                "character of the longest, -1 after the end of the others"
            )
        _check_integers(segments)
        counts = np.empty(len(segments), np.int32)
        for i, (labels, text) in enumerate(zip(segments, references, strict=True)):
            if (labels[len(text) :] != -1).any():
                raise ValueError(f"the segments of reference {i} go on after the end of its text; put -1 there")
            used = np.unique(labels)
            counts[i] = _count(used[used != -1], i)
        return segments.astype(np.int32), counts

    def fill(self, given: Any, references: np.ndarray) -> np.ndarray:
        values = np.atleast_1d(np.asarray(given, object))
        if values.shape != (1,) or not isinstance(values[0], str):
            raise ValueError(f'`fill` is {given!r}; for texts give one string, "" to take masked words out')
        return values


def checked_text(text: Any, i: int) -> str:
    """A text of a pool, if it can be asked about.

    Raises:
        ValueError: it is no string, empty, or holds bytes that could not be decoded.
    """
    if not isinstance(text, str):
        raise ValueError(f"text {i} is a {type(text).__name__}, not a string; leave it out, or convert it")
    if not text.strip():
        raise ValueError(f"text {i} is empty; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text {i} holds bytes that are not UTF-8 (at character {error.start}); leave it out"
        ) from error
    return text


def _check_range(references: np.ndarray, lowest: int, remedy: str) -> None:
    low, high = float(references.min()), float(references.max())
    if not (np.isfinite([low, high]).all() and low >= lowest and high <= 1):
        raise ValueError(
            f"float `references` must lie in [{lowest}, 1]; these range from {low:g} to {high:g}: {remedy}"
        )


def _check_integers(segments: np.ndarray) -> None:
    if not np.issubdtype(segments.dtype, np.integer):
        raise ValueError(f"`segments` has dtype {segments.dtype}; give integer labels")


def _checked_labels(segments: np.ndarray, shape: tuple[int, ...], what: str) -> tuple[np.ndarray, np.ndarray]:
    if segments.shape != shape:
        raise ValueError(f"`segments` has shape {segments.shape}; the references need {shape}, {what}")
    _check_integers(segments)
    counts = np.array([_count(np.unique(labels), i) for i, labels in enumerate(segments)], np.int32)
    return segments.astype(np.int32), counts


def _count(used: np.ndarray, i: int) -> int:
    """K of reference i, from its different labels in ascending order."""
    if len(used) == 0:
        raise ValueError(f"reference {i} has no segment that could be masked; choose another, or another segmenter")
    if used[0] != 0 or used[-1] != len(used) - 1:
        raise ValueError(
            f"the segments of reference {i} are labelled {used[:5].tolist()}...{used[-1]}; label them 0 to "
            "K - 1 without gaps "
            "(skimage.segmentation.relabel_sequential, or np.unique(..., return_inverse=True), does it)"
        )
    return len(used)


def _checked_fill(given: Any, references: np.ndarray, channels: int, lowest: int) -> np.ndarray:
    fill, shape = np.asarray(given, np.float32), references.shape
    if fill.shape != shape:
        if fill.ndim > 1 or fill.size not in (1, channels):
            raise ValueError(
                f"`fill` has shape {fill.shape}; give a scalar, [{channels}] (one value per channel) or {shape}"
            )
        fill = np.broadcast_to(fill.reshape(-1), (channels,)).copy()
    if not (np.isfinite(fill).all() and fill.min() >= lowest and fill.max() <= 1):
        raise ValueError(
            f"`fill` ranges from {fill.min():g} to {fill.max():g}; give values in [{lowest}, 1], the scale of the inputs"
        )
    return fill
