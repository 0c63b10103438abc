"""Read the pool of images from which references are chosen: a folder, an array file, or a TFDS data set."""

import os
from pathlib import Path
from typing import Literal

from zest_jax.data.arrays import load_array
from zest_jax.data.folder import IMAGE_ENDINGS, load_folder
from zest_jax.data.reading import Color, ImageSet, OnSkip, ReadOptions, as_size
from zest_jax.data.tfds import is_tfds_folder, is_tfds_name, load_tfds, not_found
from zest_jax.errors import FileFormatError, WrongFileError

__all__ = ["ImageSet", "kind_of_source", "load_images"]

_ARRAY_STARTS = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")


def load_images(
    source: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    on_skip: OnSkip | None = None,
    color: Color = "auto",
    progress: bool | None = False,
) -> ImageSet:
    """Read images as one array.

    Args:
        source: one of
            a folder of images, searched in depth and sorted by path; sub-folders are classes;
            an .npy file [N, H, W, C] or grey [N, H, W], or an .npz file with such an array under `images`, `x` or alone,
            and the classes under `labels` or `y`; uint8, or float in [0, 1]; never unpickled;
            the name of a data set prepared by TensorFlow Datasets ("cifar10", "cifar10:test", "cifar10:3.0.2:train[:500]"),
            or its folder. TensorFlow itself is not needed.
        size: pixels, of a square or (height, width); images are scaled until they cover it and cut at the centre. Needed
            when the images have different sizes.
        split: of a data set or .npz file with several, unless `source` names one.
        limit: read at most this many images.
        seed: None reads the first `limit` images, a number that many random ones.
        skip_bad: leave unreadable images out, instead of raising an error at the first.
        on_skip: called with the name and what is wrong, for every image left out.
        color: "auto" makes all images grey [.., 1] if all are grey, else RGB; or "rgb", "grey".
        progress: show a bar on stderr; None: when stderr is a terminal.

    Raises:
        FileNotFoundError: there is no such file, folder or prepared data set.
        FileFormatError: an image or file cannot be read, or there are no images; the message names it.
        UnsafeFileError: an array file holds pickled Python objects.
        MissingExtraError: a TFDS name is given and tensorflow-datasets is not installed.
        ValueError: an argument is out of range, or the images have different sizes and `size` is None.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> np.savez(Path(folder.name) / "pool.npz", images=np.zeros((5, 8, 8, 3), np.uint8), labels=np.arange(5))
    >>> pool = load_images(Path(folder.name) / "pool.npz", limit=3)
    >>> pool.images.shape, pool.labels.tolist()
    ((3, 8, 8, 3), [0, 1, 2])
    >>> folder.cleanup()
    """
    options = ReadOptions(
        size=as_size(size),
        split=split,
        limit=limit,
        seed=seed,
        skip_bad=skip_bad,
        on_skip=on_skip,
        color=color,
        progress=progress,
    )
    kind = kind_of_source(source)
    if kind == "tfds":
        return load_tfds(str(source), options)
    path = Path(source).expanduser()
    return load_folder(path, options) if kind == "folder" else load_array(path, options)


def kind_of_source(source: str | os.PathLike[str]) -> Literal["folder", "array", "tfds"]:
    """Say how `load_images` will read a source, from what is there and not from its name alone.

    Args:
        source: as for `load_images`.

    Returns:
        "folder", "array" or "tfds".

    Raises:
        FileNotFoundError, FileFormatError: see `load_images`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/pool.npy", np.zeros((2, 8, 8, 3), np.uint8))
    ...     kind_of_source(f"{folder}/pool.npy"), kind_of_source(folder)
    ('array', 'folder')
    """
    path = Path(source).expanduser()
    if not path.exists():
        if is_tfds_name(str(source)):
            return "tfds"
        raise not_found(str(source))
    if path.is_dir():
        return "tfds" if is_tfds_folder(path) else "folder"
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(_ARRAY_STARTS):
        return "array"
    if path.suffix.lower() in (".npy", ".npz"):
        raise FileFormatError(
            f"{path} is not a NumPy file, whatever its name says: it is empty, truncated or of another kind"
        )
    if path.suffix.lower() in IMAGE_ENDINGS:
        raise WrongFileError(f"{path} is a single image; give the folder that holds the images ({path.parent})")
    raise WrongFileError(
        f"{path} holds no images that can be read: give a folder of images, an .npy or .npz array, or the name of a TFDS data set"
    )
