"""Images from data sets in the format of TensorFlow Datasets, read without TensorFlow.

Folders are looked up here and not by `tfds.data_source`, which would start a download for a data set that is not there.
"""

import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from zest_jax.data.reading import (
    ImageSet,
    ReadOptions,
    Size,
    channels_of,
    common_size,
    fit,
    fit_array,
    is_grey,
    only_readable,
)
from zest_jax.errors import FileFormatError, missing_extra
from zest_jax.progress import progress_bar

_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]*(/[\w.-]+)?)(:(?P<version>\d+\.\d+\.\d+))?(:(?P<split>[^:/\\].*))?")
# Records that one thread reads and decodes before it hands them over.
_CHUNK = 128
_THREADS = min(8, os.cpu_count() or 1)
# What TFDS stores images as; no record reaches Pillow's other readers.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF")
# A set larger than this is not read whole unless `limit` asks for it.
_LARGEST = 32e9


class Located(NamedTuple):
    """Where a prepared data set lies, its name, and the split to read."""

    folder: Path
    name: str
    split: str


class Records(NamedTuple):
    """Images of a split, still compressed, and what the data set says about them."""

    records: Sequence[Any]
    image: str
    label: str | None
    class_names: tuple[str, ...] | None
    size: Size | None
    channels: int | None


class _Reference(NamedTuple):
    name: str
    version: str | None
    split: str | None


def is_tfds_name(source: str) -> bool:
    """Whether a source reads like name[/config][:version][:split].

    >>> is_tfds_name("cifar10:test"), is_tfds_name("./photos"), is_tfds_name("pool.npz")
    (True, False, False)
    """
    return _NAME.fullmatch(source) is not None


def is_tfds_folder(folder: Path) -> bool:
    """Whether a folder holds one version of a prepared data set."""
    return (folder / "dataset_info.json").is_file() and (folder / "features.json").is_file()


def load_tfds(source: str, options: ReadOptions) -> ImageSet:
    """Read a prepared data set, by name or folder; see `load_images`."""
    opened = open_images(source, options.split)
    rows = options.rows(len(opened.records))
    return _collect(opened, rows, source, options)


def locate(source: str, split: str) -> Located:
    """Find the folder of a prepared data set, and what the source says of its split.

    Raises:
        FileNotFoundError: it is not prepared.
        ValueError: it is prepared in several configurations and the source names none.
    """
    reference = _parse(source)
    if reference is None:
        folder = Path(source).expanduser()
        return Located(folder, str(read_json(folder / "dataset_info.json").get("name", folder.name)), split)
    return Located(_prepared(reference, source), reference.name, reference.split or split)


def without_split(source: str) -> str:
    """The data set that a split belongs to.

    >>> without_split("cifar10:3.0.2:train[:500]"), without_split("mnist:test"), without_split("my/pets.npz")
    ('cifar10:3.0.2', 'mnist', 'my/pets.npz')
    """
    if Path(source).expanduser().exists():
        return source
    name, *more = source.split(":")
    return ":".join([name, *(part for part in more[:1] if re.fullmatch(r"\d+\.\d+\.\d+", part))])


def open_images(source: str, split: str) -> Records:
    """Open a split of a prepared data set with images, without decoding any.

    Raises:
        FileFormatError: it has no images of 8 bits, is empty, or is not stored as array_record.
    """
    located = locate(source, split)
    builder = open_builder(located.folder, source)
    features = dict(builder.info.features)
    image, label = _features(features, source)
    kind = np.dtype(features[image].np_dtype)
    if kind != np.uint8:
        raise FileFormatError(f"the images of {source} are {kind}; only images of 8 bits (uint8) are read")
    records = open_split(builder, located.split, source, undecoded=image)
    names = getattr(features[label], "names", None) if label else None
    height, width, channels = features[image].shape
    size = None if height is None or width is None else (height, width)
    return Records(records, image, label, tuple(names) if names else None, size, channels)


def decode_image(stored: bytes | np.ndarray, size: Size | None, channels: int | None) -> np.ndarray:
    """Decode one image to uint8 [H, W, C], of its own size where `size` is None.

    With `channels` None it keeps what it has: 1 when it is grey, else 3.
    """
    if isinstance(stored, np.ndarray):
        channels = channels or (1 if stored.shape[-1] == 1 else 3)
        return fit_array(stored, size or (stored.shape[0], stored.shape[1]), channels)
    with Image.open(io.BytesIO(stored), formats=_FORMATS) as image:
        channels = channels or (1 if is_grey(image) else 3)
        mode = "RGB" if channels == 3 else "L"
        plain = image if image.mode == mode else image.convert(mode)
        array = np.asarray(fit(plain, size) if size else plain)
        return array if channels == 3 else array[..., None]


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the small files that describe a prepared data set."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path} cannot be read ({error}); prepare the data set again") from error


def not_found(source: str) -> FileNotFoundError:
    """Build the error for a source that is neither a path nor a prepared data set."""
    root = _data_dir()
    if not is_tfds_name(source):
        return FileNotFoundError(f"there is no file or folder {source}")
    name = _parse(source)
    assert name is not None
    found = (*root.glob("*/*/dataset_info.json"), *root.glob("*/*/*/dataset_info.json"))
    prepared = sorted({path.parent.parent.relative_to(root).as_posix() for path in found})
    return FileNotFoundError(
        f"there is no file or folder {source}, and no prepared TFDS data set {name.name} in {root} "
        f"(prepared there: {', '.join(prepared) or 'none'}). Downloading one needs TensorFlow, once: "
        f'`pip install tensorflow` and `python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder('{name.name}', file_format='array_record')"
        '.download_and_prepare()"`; TFDS_DATA_DIR names another folder'
    )


def _parse(source: str) -> _Reference | None:
    match = _NAME.fullmatch(source)
    if match is None or Path(source).expanduser().exists():
        return None
    return _Reference(match["name"], match["version"], match["split"])


def _data_dir() -> Path:
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _prepared(reference: _Reference, source: str) -> Path:
    base = _data_dir() / reference.name
    folders = [p.parent for p in (*base.glob("*/dataset_info.json"), *base.glob("*/*/dataset_info.json"))]
    if reference.version:
        folders = [folder for folder in folders if folder.name == reference.version]
    if not folders:
        raise not_found(source)
    if len({folder.parent for folder in folders}) > 1:
        configs = sorted({f"{reference.name}/{folder.parent.name}" for folder in folders})
        raise ValueError(f"{source} is prepared in several configurations; name one: {', '.join(configs)}")
    return max(folders, key=lambda folder: [int(n) if n.isdigit() else -1 for n in folder.name.split(".")])


def open_builder(folder: Path, source: str) -> Any:
    """Open a prepared data set with tensorflow-datasets.

    Raises:
        MissingExtraError: tensorflow-datasets is not installed.
        FileFormatError: it has features that only TensorFlow can read.
    """
    try:
        import tensorflow_datasets as tfds

        return tfds.builder_from_directory(str(folder))
    except ImportError as error:
        raise import_failed(error, source) from error


def import_failed(error: ImportError, source: str) -> Exception:
    """Tell a missing extra from a data set that needs TensorFlow."""
    if (error.name or "").partition(".")[0] in ("tensorflow_datasets", "importlib_resources", "array_record"):
        return missing_extra("tensorflow-datasets", "data")
    return FileFormatError(f"{source} cannot be read without TensorFlow ({error})")


def open_split(builder: Any, split: str, source: str, undecoded: str | None = None) -> Sequence[Any]:
    """Open the records of a split; the feature `undecoded` is left as it is stored."""
    try:
        import tensorflow_datasets as tfds

        decoders = {undecoded: tfds.decode.SkipDecoding()} if undecoded else None
        records = builder.as_data_source(split=split, decoders=decoders)
    except ImportError as error:
        raise import_failed(error, source) from error
    except NotImplementedError as error:
        raise FileFormatError(
            f"{source} ({builder.data_dir}) is not stored as array_record, the format that is read without TensorFlow; "
            "prepare it again with `tfds.builder(..., file_format='array_record').download_and_prepare()`"
        ) from error
    except ValueError as error:
        raise no_such_split(source, split, builder.info.splits) from error
    if len(records) == 0:
        raise FileFormatError(f"split {split!r} of {source} is empty; choose another")
    return records


def no_such_split(source: str, split: str, known: Any) -> ValueError:
    """Build the error for a split that the data set does not have."""
    return ValueError(f"{source} has no split {split!r}; it has {', '.join(known)}")


def _features(features: Mapping[str, Any], source: str) -> tuple[str, str | None]:
    """Names of the image and of the label among the features."""
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    if len(images) != 1 and "image" not in images:
        shown = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise FileFormatError(
            f"{source} has {len(images) or 'no'} image features, one is needed; its features: {shown}"
        )
    return ("image" if "image" in images else images[0]), label_feature(kinds)


def label_feature(kinds: Mapping[str, str]) -> str | None:
    """Which feature is the class: `label`, or the only one of its kind."""
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    return "label" if "label" in labels else labels[0] if len(labels) == 1 else None


def _collect(opened: Records, rows: np.ndarray, source: str, options: ReadOptions) -> ImageSet:
    size = options.size or opened.size
    unknown = options.color == "auto" and opened.channels is None
    channels = None if unknown else channels_of(options.color, opened.channels == 1)
    # Of a known shape, images are copied into place as they come: those of a large set are not held twice.
    images = None if size is None or channels is None else _room(len(rows), size, channels, source, options)
    arrays: list[np.ndarray | None] = []
    labels = np.zeros(len(rows), np.int64)
    bad: dict[int, str] = {}
    with progress_bar(f"reading {source}", len(rows), unit="images", show=options.progress) as update:
        for i, (array, label) in enumerate(_decoded(opened, rows, options.size, channels)):
            if images is not None and isinstance(array, np.ndarray) and array.shape != images.shape[1:]:
                array = ValueError(f"its shape is {array.shape}, but the data set says {images.shape[1:]}")
            if isinstance(array, Exception):
                if not options.skip_bad:
                    raise FileFormatError(
                        f"record {rows[i]} of {source} cannot be read ({array}); pass `skip_bad` (`--skip-bad`) "
                        "to leave such records out"
                    ) from array
                bad[i] = str(array)
                options.skip(f"record {rows[i]}", str(array))
                arrays.append(None)
                continue
            labels[i] = label
            if images is None:
                arrays.append(array)
            else:
                images[i] = array
            if (i + 1) % _CHUNK == 0 or i + 1 == len(rows):
                update(i + 1)
    if len(bad) == len(rows):
        raise FileFormatError(f"none of the {len(rows)} records of {source} can be read; the first: {bad[0]}")
    if images is None:
        images = _stacked(arrays, source, options)
    images, kept = only_readable(images, labels, bad)
    return ImageSet(
        images=images,
        labels=kept if opened.label else None,
        class_names=opened.class_names,
        skipped=tuple(f"record {rows[i]}" for i in sorted(bad)),
        source=source,
    )


def _room(n: int, size: Size, channels: int, source: str, options: ReadOptions) -> np.ndarray:
    needed = float(n) * size[0] * size[1] * channels
    if options.limit is None and needed > _LARGEST:
        raise ValueError(
            f"the {n:,} images of {source} would take {needed / 1e9:.0f} GB of memory at {size[0]}x{size[1]}; pass "
            "`limit` or a smaller `size`, or read them batch by batch with `zest_jax.data.stream`"
        )
    return np.empty((n, *size, channels), np.uint8)


def _stacked(arrays: list[np.ndarray | None], source: str, options: ReadOptions) -> np.ndarray:
    good = [array for array in arrays if array is not None]
    size = common_size((array.shape[:2] for array in good), options.size, source)
    channels = channels_of(options.color, all(array.shape[-1] == 1 for array in good))
    images = np.empty((len(arrays), *size, channels), np.uint8)
    for i, array in enumerate(arrays):
        if array is not None:
            images[i] = fit_array(array, size, channels)
    return images


def _decoded(
    opened: Records, rows: np.ndarray, size: Size | None, channels: int | None
) -> Iterator[tuple[np.ndarray | Exception, int]]:
    """The image, or what is wrong with it, and the class of each row, in order."""

    def decode(chunk: np.ndarray) -> list[tuple[np.ndarray | Exception, int]]:
        found: list[tuple[np.ndarray | Exception, int]] = []
        for record in _together(opened.records, chunk):
            if isinstance(record, Exception):
                found.append((record, 0))
                continue
            try:
                array = decode_image(record[opened.image], size, channels)
                found.append((array, int(record[opened.label]) if opened.label else 0))
            except Exception as error:
                found.append((error, 0))
        return found

    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
    try:
        # In blocks, so that decoded images do not pile up before they are copied into place.
        for start in range(0, len(chunks), 4 * _THREADS):
            for found in pool.map(decode, chunks[start : start + 4 * _THREADS]):
                yield from found
    finally:
        pool.shutdown(cancel_futures=True)


def _together(records: Sequence[Any], rows: np.ndarray) -> list[Any]:
    """Records read together, which is faster; one by one if one of them is bad."""
    try:
        return list(records.__getitems__(rows.tolist()))  # pyright: ignore[reportAttributeAccessIssue]
    except Exception:
        return [_single(records, int(row)) for row in rows]


def _single(records: Sequence[Any], row: int) -> Any:
    try:
        return records[row]
    except Exception as error:
        return error
