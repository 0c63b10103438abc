"""Sounds from data sets in the format of TensorFlow Datasets, read without TensorFlow.

tensorflow-datasets cannot even open a data set with its Audio feature where TensorFlow is missing, although the samples
are stored as plain numbers. So the records are parsed here.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zest_jax.data.reading import ReadOptions
from zest_jax.data.tfds import import_failed, label_feature, locate, no_such_split, read_json
from zest_jax.errors import FileFormatError
from zest_jax.progress import progress_bar

_BLOCK = 512
_FEATURE = "audio"


def load_sounds(
    source: str, samples: int | None, options: ReadOptions
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    """Read the sounds of a prepared data set as int16 [N, samples], their classes int64 [N], and class names.

    Shorter sounds are followed by silence, longer ones lose their end; None takes the longest of those read.

    Raises:
        FileFormatError: the samples are not integers of 16 bits in one channel, or a record cannot be read.
    """
    located = locate(source, options.split)
    features = described_features(located.folder)
    label = label_feature({name: kind for name, (kind, _) in features.items()})
    if _FEATURE not in features:
        raise FileFormatError(f"{source} has no feature `{_FEATURE}`; its features: {', '.join(features) or '(none)'}")
    records = _open(located.folder, located.split, source)
    rows = options.rows(len(records))
    sounds: list[np.ndarray] = []
    labels = np.zeros(len(rows), np.int64)
    with progress_bar(f"reading {source}", len(rows), unit="sounds", show=options.progress) as update:
        for i, row in enumerate(rows):
            try:
                fields = _fields(records[int(row)])
                sounds.append(_sound(fields[_FEATURE], features[_FEATURE][1]))
                labels[i] = fields[label].int64_list.value[0] if label else 0
            except Exception as error:
                raise FileFormatError(f"record {row} of {source} cannot be read ({error})") from error
            if (i + 1) % _BLOCK == 0 or i + 1 == len(rows):
                update(i + 1)
    inputs = np.zeros((len(rows), samples or max(map(len, sounds))), np.int16)
    for i, sound in enumerate(sounds):
        cut = sound[: inputs.shape[1]]
        inputs[i, : len(cut)] = cut
    return inputs, labels if label else None, _class_names(located.folder, label)


def described_features(folder: Path) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Kind ("Image", "Text", "Audio", "Tensor", ...) and settings of each feature, without tensorflow-datasets."""
    described = read_json(folder / "features.json").get("featuresDict", {}).get("features", {})
    found = {}
    for name, feature in described.items():
        kind = str(feature.get("pythonClassName", "")).rpartition(".")[2]
        settings = next((value for key, value in feature.items() if key != "pythonClassName"), {})
        found[name] = (kind, settings)
    return found


def _open(folder: Path, split: str, source: str) -> Any:
    """The records of a split as they are stored; `split` may be a slice, as everywhere in TFDS."""
    info = read_json(folder / "dataset_info.json")
    if info.get("fileFormat") != "array_record":
        raise FileFormatError(
            f"{source} ({folder}) is not stored as array_record, the format that is read without TensorFlow; prepare it "
            "again with `tfds.builder(..., file_format='array_record').download_and_prepare()`"
        )
    try:
        import tensorflow_datasets as tfds
        from array_record.python.array_record_data_source import ArrayRecordDataSource
        from etils import epath

        splits = tfds.core.SplitDict(
            [
                tfds.core.SplitInfo(
                    name=entry["name"],
                    shard_lengths=[int(n) for n in entry["shardLengths"]],
                    num_bytes=int(entry.get("numBytes", 0)),
                    filename_template=tfds.core.ShardedFileTemplate(
                        data_dir=epath.Path(os.fspath(folder)),
                        dataset_name=info["name"],
                        split=entry["name"],
                        filetype_suffix="array_record",
                        template=entry.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                    ),
                )
                for entry in info["splits"]
            ]
        )
        try:
            files: Any = splits[split].file_instructions
        except (KeyError, ValueError) as error:
            raise no_such_split(source, split, splits) from error
        if not files:
            raise FileFormatError(f"split {split!r} of {source} is empty; choose another")
        return ArrayRecordDataSource(files)
    except ImportError as error:
        raise import_failed(error, source) from error


def _fields(record: bytes) -> Mapping[str, Any]:
    from tensorflow_datasets.proto import tf_example_pb2

    # The module is filled in when it is imported, which a type checker does not see.
    example: Any = tf_example_pb2
    return example.Example.FromString(record).features.feature


def _sound(field: Any, settings: Mapping[str, Any]) -> np.ndarray:
    dimensions = settings.get("shape", {}).get("dimensions", [])
    if len(dimensions) > 1:
        raise ValueError(f"its shape is [{', '.join(map(str, dimensions))}]; only sounds of one channel are read")
    if not field.int64_list.value:
        raise ValueError("its samples are not stored as integers; only decoded sounds of 16 bits are read")
    samples = np.array(field.int64_list.value, np.int64)
    low, high = int(samples.min()), int(samples.max())
    if low < -(2**15) or high >= 2**15:
        raise ValueError(f"its samples go from {low} to {high}; only sounds of 16 bits are read")
    return samples.astype(np.int16)


def _class_names(folder: Path, label: str | None) -> tuple[str, ...] | None:
    file = folder / f"{label}.labels.txt"
    if label is None or not file.is_file():
        return None
    return tuple(name.strip() for name in file.read_text(encoding="utf-8").split("\n") if name.strip())
