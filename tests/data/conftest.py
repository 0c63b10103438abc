"""A tiny data set in the format of TensorFlow Datasets, written without TensorFlow."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def tiny_tfds(tmp_path, monkeypatch) -> Path:
    """Folder of version 1.0.0 of "tiny": 6 images in "train", 2 in "test"; image i of "train" is of colour 10 * i."""
    tfds = pytest.importorskip("tensorflow_datasets")
    example = pytest.importorskip("tensorflow_datasets.proto.tf_example_generated_pb2")
    feature = pytest.importorskip("tensorflow_datasets.proto.tf_feature_generated_pb2")
    writer_module = pytest.importorskip("array_record.python.array_record_module")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    folder = tmp_path / "tiny" / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(names=["cat", "dog"])}
    )
    features.save_config(str(folder))
    splits = []
    for split, n in (("train", 6), ("test", 2)):
        writer = writer_module.ArrayRecordWriter(
            str(folder / f"tiny-{split}.array_record-00000-of-00001"), "group_size:1"
        )
        for i in range(n):
            png = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(png, "PNG")
            fields = {
                "image": feature.Feature(bytes_list=feature.BytesList(value=[png.getvalue()])),
                "label": feature.Feature(int64_list=feature.Int64List(value=[i % 2])),
            }
            writer.write(example.Example(features=feature.Features(feature=fields)).SerializeToString())
        writer.close()
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        splits.append({"name": split, "shardLengths": [str(n)], "numBytes": "1", "filepathTemplate": template})
    info = {"name": "tiny", "version": "1.0.0", "fileFormat": "array_record", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return folder
