"""Images from data sets in the format of TensorFlow Datasets, read without TensorFlow.

Folders are looked up here and not by `tfds.data_source`, which would start a download for a data set that is not there.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zest_jax.data.reading import ImageSet, ReadOptions, channels_of, common_size, fit_array, only_readable
from zest_jax.errors import FileFormatError, missing_extra
from zest_jax.progress import progress_bar

_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]*(/[\w.-]+)?)(:(?P<version>\d+\.\d+\.\d+))?(:(?P<split>[^:/\\].*))?")
_BLOCK = 512


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
    reference = _parse(source)
    folder = Path(source).expanduser() if reference is None else _prepared(reference, source)
    split = (reference and reference.split) or options.split
    records, info = _open(folder, split, source)
    image, label = _features(info.features, source)
    rows = options.rows(len(records))
    if len(rows) == 0:
        raise FileFormatError(f"split {split!r} of {source} is empty; choose another")
    return _collect(records, rows, image, label, info, source, options)


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


def _open(folder: Path, split: str, source: str) -> tuple[Sequence[Any], Any]:
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(str(folder))
        return _open_split(builder, split, source), builder.info
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("tensorflow_datasets", "importlib_resources", "array_record"):
            raise missing_extra("tensorflow-datasets", "data") from error
        raise FileFormatError(f"{source} cannot be read without TensorFlow ({error})") from error
    except NotImplementedError as error:
        raise FileFormatError(
            f"{source} ({folder}) is not stored as array_record, the format that is read without TensorFlow; prepare it "
            "again with `tfds.builder(..., file_format='array_record').download_and_prepare()`"
        ) from error


def _open_split(builder: Any, split: str, source: str) -> Sequence[Any]:
    try:
        return builder.as_data_source(split=split)
    except ValueError as error:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(builder.info.splits)}") from error


def _features(features: Any, source: str) -> tuple[str, str | None]:
    """Names of the image and of the label among the features."""
    kinds = {name: type(feature).__name__ for name, feature in dict(features).items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    if len(images) != 1 and "image" not in images:
        shown = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise FileFormatError(
            f"{source} has {len(images) or 'no'} image features, one is needed; its features: {shown}"
        )
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    label = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
    return ("image" if "image" in images else images[0]), label


def _collect(
    records: Sequence[Any],
    rows: np.ndarray,
    image: str,
    label: str | None,
    info: Any,
    source: str,
    options: ReadOptions,
) -> ImageSet:
    arrays: list[np.ndarray | None] = []
    labels = np.zeros(len(rows), np.int64)
    bad: dict[int, str] = {}
    with progress_bar(f"reading {source}", len(rows), unit="images", show=options.progress) as update:
        for start in range(0, len(rows), _BLOCK):
            for i, record in enumerate(_block(records, rows[start : start + _BLOCK]), start):
                if isinstance(record, Exception):
                    if not options.skip_bad:
                        raise FileFormatError(
                            f"record {rows[i]} of {source} cannot be read ({record}); pass `skip_bad` (`--skip-bad`) "
                            "to leave such records out"
                        ) from record
                    bad[i] = str(record)
                    options.skip(f"record {rows[i]}", str(record))
                    arrays.append(None)
                    continue
                # With a size given, images shrink at once: a set of large ones need not fit into memory.
                array = np.asarray(record[image])
                channels = channels_of(options.color, array.shape[-1] == 1)
                arrays.append(fit_array(array, options.size, channels) if options.size else array)
                labels[i] = record[label] if label else 0
            update(min(start + _BLOCK, len(rows)))
    good = [array for array in arrays if array is not None]
    if not good:
        raise FileFormatError(f"none of the {len(rows)} records of {source} can be read; the first: {bad[0]}")
    size = common_size((array.shape[:2] for array in good), options.size, source)
    channels = channels_of(options.color, all(array.shape[-1] == 1 for array in good))
    images = np.empty((len(arrays), *size, channels), np.uint8)
    for i, array in enumerate(arrays):
        if array is not None:
            images[i] = fit_array(array, size, channels)
    images, kept = only_readable(images, labels, bad)
    names = getattr(info.features[label], "names", None) if label else None
    return ImageSet(
        images=images,
        labels=kept if label else None,
        class_names=tuple(names) if names else None,
        skipped=tuple(f"record {rows[i]}" for i in sorted(bad)),
        source=source,
    )


def _block(records: Sequence[Any], rows: np.ndarray) -> list[Any]:
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
