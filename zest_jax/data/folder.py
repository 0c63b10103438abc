"""Images from a folder, decoded in parallel straight into one array."""

import functools
import os
from collections import Counter
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from zest_jax.data.reading import (
    UNREADABLE,
    ImageSet,
    ReadOptions,
    Size,
    channels_of,
    common_size,
    displayed_size,
    is_grey,
    only_readable,
    to_array,
)
from zest_jax.errors import FileFormatError, WrongFileError
from zest_jax.progress import progress_bar

IMAGE_ENDINGS = frozenset(
    ".avif .bmp .gif .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905  reads better
)
# Pillow releases Python's lock while it decodes and scales.
_THREADS = min(8, os.cpu_count() or 1)


def load_folder(folder: Path, options: ReadOptions) -> ImageSet:
    """Read a folder of images; see `load_images`.

    The headers of all files are read first, so that different sizes are found before anything is decoded.
    """
    paths = find_images(folder)
    if not paths:
        raise WrongFileError(
            f"{folder} holds no images{what_else(folder)}; image files end in {', '.join(sorted(IMAGE_ENDINGS))}"
        )
    labels, class_names = folder_classes(folder, paths)
    rows = options.rows(len(paths))
    paths = [paths[i] for i in rows]
    labels = None if labels is None else labels[rows]

    bad: dict[int, str] = {}
    headers = {i: header for i, path in enumerate(paths) if (header := _header(path, i, bad)) is not None}
    _refuse_bad(bad, paths, options)
    if not headers:
        raise FileFormatError(
            f"none of the {len(paths)} images of {folder} can be read; the first: {paths[0]}: {bad[0]}"
        )
    size = common_size((size for size, _ in headers.values()), options.size, folder)
    channels = channels_of(options.color, all(grey for _, grey in headers.values()))

    images = np.empty((len(paths), *size, channels), np.uint8)
    with progress_bar(f"reading {folder.name}", len(paths), unit="images", show=options.progress) as update:
        for done, (i, array) in enumerate(_decoded(paths, list(headers), size, channels)):
            if isinstance(array, str):
                bad[i] = array
                _refuse_bad(bad, paths, options)
            else:
                images[i] = array
            update(done + 1)
    for i, reason in sorted(bad.items()):
        options.skip(str(paths[i]), reason)
    if len(bad) == len(paths):
        raise FileFormatError(
            f"none of the {len(paths)} images of {folder} can be read; the first: {paths[0]}: {bad[0]}"
        )
    images, labels = only_readable(images, labels, bad)
    return ImageSet(
        images=images,
        labels=labels,
        class_names=class_names,
        skipped=tuple(str(paths[i]) for i in sorted(bad)),
        source=str(folder),
    )


def find_images(folder: Path) -> list[Path]:
    """List the image files under a folder, as `find_files` does."""
    return find_files(folder, IMAGE_ENDINGS)


def find_files(folder: Path, endings: Set[str]) -> list[Path]:
    """List the files under a folder with an ending, sorted; hidden files and folders are passed over, links are followed."""
    found, seen = [], set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [
            Path(root, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in endings
        ]
    return sorted(found)


def folder_classes(folder: Path, paths: list[Path]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Take the first sub-folder of each file as its class, if all files lie in sub-folders."""
    parts = [path.relative_to(folder).parts for path in paths]
    if any(len(part) == 1 for part in parts):
        return None, None
    names, labels = np.unique([part[0] for part in parts], return_inverse=True)
    return labels.astype(np.int64), tuple(names.tolist())


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats of `IMAGE_ENDINGS`, so that no file reaches Pillow's other readers (EPS starts Ghostscript)."""
    known = Image.registered_extensions()
    return tuple(sorted({known[ending] for ending in IMAGE_ENDINGS if ending in known}))


def _header(path: Path, i: int, bad: dict[int, str]) -> tuple[Size, bool] | None:
    try:
        with Image.open(path, formats=_formats()) as image:
            return displayed_size(image), is_grey(image)
    except UNREADABLE as error:
        bad[i] = _reason(error)
        return None


def _decoded(paths: list[Path], rows: list[int], size: Size, channels: int) -> Iterator[tuple[int, np.ndarray | str]]:
    """The array of each image in order, or what is wrong with it."""

    def decode(i: int) -> np.ndarray | str:
        return decode_file(paths[i], size, channels)

    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
    try:
        # In blocks, so that decoded images do not pile up before they are copied into place.
        for start in range(0, len(rows), 256):
            block = rows[start : start + 256]
            yield from zip(block, pool.map(decode, block), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def decode_file(path: Path, size: Size, channels: int) -> np.ndarray | str:
    """Decode a file to uint8 [H, W, C], or say what is wrong with it."""
    try:
        with Image.open(path, formats=_formats()) as image:
            return to_array(image, size, channels)
    except UNREADABLE as error:
        return _reason(error)


def _refuse_bad(bad: dict[int, str], paths: list[Path], options: ReadOptions) -> None:
    if not bad or options.skip_bad:
        return
    first = min(bad)
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    raise FileFormatError(
        f"{paths[first]} cannot be read as an image: {bad[first]}{more}; remove it, "
        "or pass `skip_bad` (`--skip-bad`) to leave such files out"
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is of no image format known here, or damaged at its beginning"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def what_else(folder: Path) -> str:
    """Tell, for an error, what files a folder holds where none of those looked for are there."""
    endings = Counter(path.suffix.lower() or "no ending" for path in folder.iterdir() if path.is_file())
    if not endings:
        return ""
    return f" (it holds files with {', '.join(name for name, _ in endings.most_common(4))})"
