"""Images from .npy and .npz files; nothing in them is ever unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from zest_jax.data.reading import ImageSet, ReadOptions, channels_of, fit_array
from zest_jax.errors import FileFormatError, UnsafeFileError, WrongFileError


def load_array(path: Path, options: ReadOptions) -> ImageSet:
    """Read an array file; see `load_images`."""
    stored, stored_labels, class_names = _read(path, options.split)
    if not isinstance(stored, np.ndarray):
        raise WrongFileError(f"{path} is a zip archive, but not one of NumPy arrays; write it with `np.savez`")
    images = _checked(stored, path)
    rows = options.rows(len(images))
    labels = None if stored_labels is None else _checked_labels(stored_labels, len(images), path)[rows]
    # Rows of a memory-mapped file are read here and not before.
    images = _plain(np.asarray(images[rows]), path)
    size = options.size or images.shape[1:3]
    channels = channels_of(options.color, images.shape[-1] == 1)
    if (*size, channels) != images.shape[1:]:
        images = np.stack([fit_array(image, size, channels) for image in images])
    return ImageSet(images=images, labels=labels, class_names=class_names, source=str(path))


def _read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    try:
        # An .npy file is mapped, so that with `limit` only the rows needed are read; an .npz file cannot be.
        data = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(data, np.ndarray):
            return data, None, None
        with data:
            if "header" in data.files and "packed_masks" in data.files:
                raise WrongFileError(f"{path} is a probe set, already made; give the images to make probes from")
            name = _image_key(data.files, split, path)
            labels = next(
                (data[key] for key in ("labels", "y", f"y_{split}") if key in data.files and key != name), None
            )
            names = tuple(str(n) for n in data["class_names"]) if "class_names" in data.files else None
            return data[name], labels, names
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise UnsafeFileError(
                f"{path} holds pickled Python objects, which could run code when loaded; "
                "store plain arrays (uint8, or float in [0, 1]) with `np.savez`"
            ) from error
        raise FileFormatError(f"{path} cannot be read as a NumPy file ({error}); it is truncated or damaged") from error


def _image_key(keys: list[str], split: str, path: Path) -> str:
    wanted = ("images", "x", f"x_{split}")
    for key in wanted:
        if key in keys:
            return key
    if len(keys) == 1:
        return keys[0]
    raise WrongFileError(
        f"{path} holds the arrays {', '.join(keys) or '(none)'}; store the images as `images` (or `x`) "
        "and their classes as `labels` (or `y`)"
    )


def _checked(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise WrongFileError(
            f"{path} holds an array of shape {images.shape}; images are [N, H, W, C] or grey [N, H, W]"
        )
    if 0 in images.shape:
        raise FileFormatError(f"{path} holds no images: its array has shape {images.shape}")
    if images.shape[-1] not in (1, 3):
        hint = "give 1 (grey) or 3 (RGB) channels, channels last"
        if images.shape[1] in (1, 3):
            hint = "its channels come first; store `images.transpose(0, 2, 3, 1)`"
        elif images.shape[-1] == 4:
            hint = "drop the fourth channel (transparency?): store `images[..., :3]`"
        raise WrongFileError(f"{path} holds images with {images.shape[-1]} channels (shape {images.shape}); {hint}")
    return images


def _plain(images: np.ndarray, path: Path) -> np.ndarray:
    """Images as uint8, or float32 in [0, 1]."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise FileFormatError(f"{path} holds {images.dtype} values; store images as uint8, or as float in [0, 1]")
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise FileFormatError(
                f"{path} holds {images.dtype} values from {low:g} to {high:g}; images of integers need 0 to 255"
            )
        return images.astype(np.uint8)
    if not (np.isfinite([low, high]).all() and low >= 0 and high <= 1):
        what = "NaN or infinite values" if not np.isfinite([low, high]).all() else f"floats from {low:g} to {high:g}"
        raise FileFormatError(
            f"{path} holds {what}; float images must lie in [0, 1]: undo any normalisation, divide by 255, or store uint8"
        )
    return images.astype(np.float32)


def _checked_labels(labels: np.ndarray, n: int, path: Path) -> np.ndarray:
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise FileFormatError(
            f"{path} holds labels of shape {labels.shape} and type {labels.dtype} for {n} images; store one integer per image"
        )
    return labels.astype(np.int64)
