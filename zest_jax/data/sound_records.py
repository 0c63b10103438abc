"""Sounds from data sets in the format of TensorFlow Datasets, read without TensorFlow.

tensorflow-datasets cannot even open a data set with its Audio feature where TensorFlow is missing, although the samples
are stored as plain numbers. So the records are parsed here.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zest_jax.data.known import dataset_names, known_dataset
from zest_jax.data.reading import ReadOptions
from zest_jax.data.resampling import resample
from zest_jax.data.tfds import import_failed, label_feature, locate, no_such_split, read_json
from zest_jax.errors import FileFormatError
from zest_jax.progress import progress_bar

_BLOCK = 512
_FEATURE = "audio"


class SoundRecords(NamedTuple):
    """Sounds of a split as they are stored, and what the data set says about them.

    `rate` is None where neither the data set nor its name tells it; `channels` are interleaved.
    """

    records: Any
    label: str | None
    class_names: tuple[str, ...] | None
    rate: int | None
    channels: int
    source: str

    def read(self, row: int) -> tuple[np.ndarray, int]:
        """One sound, int16 [samples, channels], and its class (0 without classes).

        Raises:
            Exception: of any kind; the record is damaged, or its samples are not integers of 16 bits.
        """
        fields = _fields(self.records[row])
        label = int(fields[self.label].int64_list.value[0]) if self.label else 0
        return _samples(fields[_FEATURE], self.channels), label


def open_sounds(source: str, split: str) -> SoundRecords:
    """Open a split of a prepared data set with sounds, without reading any.

    Raises:
        FileFormatError: it has no sounds, is empty, or is not stored as array_record.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    located = locate(source, split)
    features = described_features(located.folder)
    if _FEATURE not in features:
        raise FileFormatError(f"{source} has no feature `{_FEATURE}`; its features: {', '.join(features) or '(none)'}")
    label = label_feature({name: kind for name, (kind, _) in features.items()})
    settings = features[_FEATURE][1]
    dimensions = settings.get("shape", {}).get("dimensions", [])
    # -1 is an unknown number, and JSON may hold large integers as strings.
    channels = int(dimensions[-1]) if len(dimensions) == 2 else 1
    if len(dimensions) > 2 or channels < 1:
        raise FileFormatError(
            f"the sounds of {source} have the shape [{', '.join(map(str, dimensions))}]; [samples] and [samples, channels] "
            "with a known number of channels are read"
        )
    known = known_dataset(located.name).rate if located.name in dataset_names() else None
    return SoundRecords(
        records=_open(located.folder, located.split, source),
        label=label,
        class_names=_class_names(located.folder, label),
        # What is stored with the data is surer than what is known of their name.
        rate=int(settings.get("sampleRate") or 0) or known,
        channels=channels,
        source=source,
    )


def unknown_rate(source: str) -> ValueError:
    """Build the error for a data set that does not tell how many samples make a second."""
    return ValueError(
        f"the sample rate of {source} is not known: its features.json names no `sampleRate`, and it is no data set known by "
        "name; prepare it with `tfds.features.Audio(..., sample_rate=...)`, or take its sounds as they are, without `rate` "
        "and `seconds`"
    )


def load_sounds(
    opened: SoundRecords, samples: int | None, rate: int | None, options: ReadOptions
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read sounds as int16 [N, samples], at `rate` Hz or else as they are stored, and their classes int64 [N].

    Shorter sounds are followed by silence, longer ones lose their end; None takes the longest of those read.

    Raises:
        FileFormatError: the samples are not integers of 16 bits in one channel, or a record cannot be read.
        ValueError: they are to be resampled, and their own rate is not known.
    """
    source, stored = opened.source, opened.rate
    if opened.channels != 1:
        raise FileFormatError(f"the sounds of {source} have {opened.channels} channels; one is needed to train on")
    if rate is not None and stored is None:
        raise unknown_rate(source)
    rows = options.rows(len(opened.records))
    sounds: list[np.ndarray] = []
    labels = np.zeros(len(rows), np.int64)
    with progress_bar(f"reading {source}", len(rows), unit="sounds", show=options.progress) as update:
        for i, row in enumerate(rows):
            try:
                sound, labels[i] = opened.read(int(row))
            except Exception as error:
                raise FileFormatError(f"record {row} of {source} cannot be read ({error})") from error
            sound = sound[:, 0]
            sounds.append(sound if rate is None or stored is None else resample(sound, stored, rate))
            if (i + 1) % _BLOCK == 0 or i + 1 == len(rows):
                update(i + 1)
    inputs = np.zeros((len(rows), samples or max(map(len, sounds))), np.int16)
    for i, sound in enumerate(sounds):
        cut = sound[: inputs.shape[1]]
        inputs[i, : len(cut)] = cut
    return inputs, labels if opened.label else None


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


def _samples(field: Any, channels: int) -> np.ndarray:
    if not field.int64_list.value:
        stored = field.bytes_list.value or field.float_list.value
        raise ValueError(
            "its samples are not stored as integers; only decoded sounds of 16 bits are read"
            if stored
            else "it is empty"
        )
    samples = np.array(field.int64_list.value, np.int64)
    low, high = int(samples.min()), int(samples.max())
    if low < -(2**15) or high >= 2**15:
        raise ValueError(f"its samples go from {low} to {high}; only sounds of 16 bits are read")
    return samples.astype(np.int16).reshape(-1, channels)


def _class_names(folder: Path, label: str | None) -> tuple[str, ...] | None:
    file = folder / f"{label}.labels.txt"
    if label is None or not file.is_file():
        return None
    return tuple(name.strip() for name in file.read_text(encoding="utf-8").split("\n") if name.strip())
