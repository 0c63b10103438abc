"""Reading prepared TFDS data sets by name and by folder."""

import json
import sys

import numpy as np
import pytest

from zest_jax.data import load_images
from zest_jax.errors import FileFormatError, MissingExtraError


@pytest.mark.parametrize(
    ("source", "n"), [("tiny", 6), ("tiny:test", 2), ("tiny:1.0.0:train[1:4]", 3), ("tiny:1.0.0", 6)]
)
def test_prepared_data_set_is_read_by_name(tiny_tfds, source, n):
    pool = load_images(source)
    assert pool.images.shape == (n, 8, 8, 3)
    assert pool.labels is not None
    assert pool.class_names == ("cat", "dog")
    first = 1 if "[1:4]" in source else 0
    assert pool.images[:, 0, 0, 0].tolist() == [10 * i for i in range(first, first + n)]
    assert pool.labels.tolist() == [i % 2 for i in range(first, first + n)]
    assert "tensorflow" not in sys.modules


def test_data_set_folder_and_split_argument(tiny_tfds):
    assert len(load_images(tiny_tfds, split="test")) == 2


def test_limit_size_and_colour(tiny_tfds):
    pool = load_images("tiny", limit=3, size=4, color="grey")
    assert pool.images.shape == (3, 4, 4, 1)
    assert pool.images[:, 0, 0, 0].tolist() == [0, 10, 20]


def test_newest_version_is_taken(tiny_tfds):
    newer = tiny_tfds.parent / "10.0.0"
    tiny_tfds.rename(newer)
    (tiny_tfds.parent / "9.0.0").mkdir()
    (tiny_tfds.parent / "9.0.0" / "dataset_info.json").write_text("{}")
    info = json.loads((newer / "dataset_info.json").read_text())
    (newer / "dataset_info.json").write_text(json.dumps({**info, "version": "10.0.0"}))
    assert len(load_images("tiny")) == 6


def test_unknown_split_names_the_known_ones(tiny_tfds):
    with pytest.raises(ValueError, match="tiny has no split 'validation'; it has train, test"):
        load_images("tiny", split="validation")


def test_missing_data_set_says_what_is_there_and_how_to_prepare_it(tiny_tfds):
    with pytest.raises(FileNotFoundError) as caught:
        load_images("cifar1000")
    text = str(caught.value)
    assert "no prepared TFDS data set cifar1000 in" in text
    assert "prepared there: tiny" in text
    assert "pip install tensorflow" in text
    assert "file_format='array_record'" in text


def test_missing_extra_is_named(tiny_tfds, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "zest_jax\[data\]"'):
        load_images("tiny")


class Damaged:
    """Records of which number 1 cannot be decoded."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        if i == 1:
            raise OSError("broken PNG")
        return {"image": np.full((8, 8, 3), i, np.uint8), "label": 0}

    def __getitems__(self, rows):
        return [self[i] for i in rows]


def test_bad_record_is_named_or_skipped(tiny_tfds, monkeypatch):
    monkeypatch.setattr("zest_jax.data.tfds.open_split", lambda *_, **__: Damaged())
    with pytest.raises(FileFormatError, match=r"record 1 of tiny cannot be read \(broken PNG\).*--skip-bad"):
        load_images("tiny")
    pool = load_images("tiny", skip_bad=True)
    assert pool.images[:, 0, 0, 0].tolist() == [0, 2]
    assert pool.skipped == ("record 1",)


def test_other_file_formats_are_explained(tiny_tfds):
    info = json.loads((tiny_tfds / "dataset_info.json").read_text())
    (tiny_tfds / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": "tfrecord"}))
    with pytest.raises(FileFormatError, match="not stored as array_record"):
        load_images("tiny")


def test_data_set_without_images_is_explained(tiny_tfds):
    features = json.loads((tiny_tfds / "features.json").read_text())
    del features["featuresDict"]["features"]["image"]
    (tiny_tfds / "features.json").write_text(json.dumps(features))
    with pytest.raises(
        FileFormatError, match=r"has no image features, one is needed; its features: label \(ClassLabel\)"
    ):
        load_images("tiny")
