"""Tiny data sets in the format of TensorFlow Datasets, written without TensorFlow."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def write_tfds(folder: Path, features, splits: dict[str, list[dict]], shards: int = 1) -> Path:
    """Write version 1.0.0 of a data set.

    Features are those of TFDS, or the content of features.json; values of a record are bytes, or integers.
    """
    tfds = pytest.importorskip("tensorflow_datasets")
    example = pytest.importorskip("tensorflow_datasets.proto.tf_example_generated_pb2")
    feature = pytest.importorskip("tensorflow_datasets.proto.tf_feature_generated_pb2")
    writer_module = pytest.importorskip("array_record.python.array_record_module")
    name, folder = folder.name, folder / "1.0.0"
    folder.mkdir(parents=True)
    if "featuresDict" in features:
        (folder / "features.json").write_text(json.dumps(features), encoding="utf-8")
    else:
        tfds.features.FeaturesDict(features).save_config(str(folder))
    described = []
    for split, records in splits.items():
        parts = [part.tolist() for part in np.array_split(np.arange(len(records)), shards)]
        for shard, part in enumerate(parts):
            file = folder / f"{name}-{split}.array_record-{shard:05d}-of-{shards:05d}"
            writer = writer_module.ArrayRecordWriter(str(file), "group_size:1")
            for i in part:
                fields = {}
                for key, value in records[i].items():
                    if isinstance(value, bytes):
                        fields[key] = feature.Feature(bytes_list=feature.BytesList(value=[value]))
                    else:
                        numbers = np.atleast_1d(value).tolist()
                        fields[key] = feature.Feature(int64_list=feature.Int64List(value=numbers))
                writer.write(example.Example(features=feature.Features(feature=fields)).SerializeToString())
            writer.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        lengths = [str(len(part)) for part in parts]
        described.append({"name": split, "shardLengths": lengths, "numBytes": "1", "filepathTemplate": template})
    info = {"name": name, "version": "1.0.0", "fileFormat": "array_record", "splits": described}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Function that writes data set `name` where data sets are looked for: (name, features, splits, shards=1)."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return lambda name, features, splits, **options: write_tfds(tmp_path / name, features, splits, **options)


@pytest.fixture
def pictures():
    """Function that makes features and n records of pictures of noise: (n, size=8, names, channels=3)."""
    tfds = pytest.importorskip("tensorflow_datasets")

    def make(n, size=8, names=("cat", "dog"), channels=3, seed=0):
        shape = (size, size, channels)
        features = {
            "image": tfds.features.Image(shape=shape),
            "label": tfds.features.ClassLabel(names=list(names)),
        }
        arrays = np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
        return features, [{"image": png(array.squeeze()), "label": i % len(names)} for i, array in enumerate(arrays)]

    return make


@pytest.fixture
def tiny_tfds(prepare) -> Path:
    """Folder of version 1.0.0 of "tiny": 6 images in "train", 2 in "test"; image i of "train" is of colour 10 * i."""
    tfds = pytest.importorskip("tensorflow_datasets")
    features = {
        "image": tfds.features.Image(shape=(8, 8, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    images = [{"image": png(np.full((8, 8, 3), 10 * i, np.uint8)), "label": i % 2} for i in range(6)]
    return prepare("tiny", features, {"train": images, "test": images[:2]})


@pytest.fixture
def audio_feature() -> dict:
    """What TFDS writes for `tfds.features.Audio(file_format="wav", sample_rate=16000)`, which needs TensorFlow."""
    return {
        "pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio",
        "audio": {"dtype": "int16", "fileFormat": "wav", "sampleRate": 16000, "shape": {"dimensions": ["-1"]}},
    }


@pytest.fixture
def tensor_feature() -> dict:
    """What TFDS writes for a tensor of any number of samples."""
    return {
        "pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor",
        "tensor": {"dtype": "int16", "encoding": "none", "shape": {"dimensions": ["-1"]}},
    }


@pytest.fixture
def prepare_sounds(prepare, audio_feature):
    """Function that writes a data set of sounds of the classes "down" and "up" in turn: (name, sounds, audio=feature)."""
    label = {
        "pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel",
        "classLabel": {"numClasses": "2"},
    }

    def make(name, sounds, audio=None):
        records = [
            {"audio": sound if isinstance(sound, bytes) else np.asarray(sound, int), "label": i % 2}
            for i, sound in enumerate(sounds)
        ]
        features = {"featuresDict": {"features": {"audio": audio or audio_feature, "label": label}}}
        folder = prepare(name, features, {"train": records, "test": records[:1]})
        (folder / "label.labels.txt").write_text("down\nup\n")
        return folder

    return make
