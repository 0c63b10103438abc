"""Batches read while they are used: the same images as in memory, in orders that can be taken up again."""

import itertools
import json
import sys

import numpy as np
import pytest
from PIL import Image

from zest_jax.data import load_dataset, load_images, stream
from zest_jax.errors import FileFormatError, MissingExtraError

pytest.importorskip("grain")


@pytest.fixture
def pets(prepare, pictures):
    """23 pictures of noise in two shards."""
    features, records = pictures(23, 8)
    return prepare("pets", features, {"train": records, "test": records[:4]}, shards=2)


def taken(batches, n):
    found = [(batch.images.copy(), batch.labels.copy()) for batch in itertools.islice(batches, n)]
    batches.close()
    return found


def as_set(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels))


@pytest.mark.parametrize("size", [None, 6])
def test_an_epoch_holds_what_the_reader_in_memory_finds(pets, size):
    batches = stream("pets", 5, seed=0, epochs=1, size=size, keep_last=True)
    assert (batches.n, batches.steps_per_epoch, batches.class_names) == (23, 5, ("cat", "dog"))
    found = list(batches)
    assert [len(batch.labels) for batch in found] == [5, 5, 5, 5, 3]
    assert (found[0].images.dtype, found[0].labels.dtype) == (np.uint8, np.int32)
    whole = load_dataset("pets", size=size)
    images, labels = (np.concatenate(part) for part in zip(*found))
    assert as_set(images, labels) == as_set(whole.inputs, whole.labels)
    assert not np.array_equal(images, whole.inputs)


def test_each_epoch_has_an_order_of_its_own(pets):
    found = taken(stream("pets", 23, seed=0), 3)
    orders = {images.tobytes() for images, _ in found}
    assert len(orders) == 3
    assert len({str(as_set(*batch)) for batch in found}) == 1


def test_images_that_fill_no_batch_are_left_out_and_none_comes_twice(pets):
    batches = stream("pets", 5, seed=0, epochs=3)
    assert batches.steps_per_epoch == 4
    found = list(batches)
    assert len(found) == 12
    for epoch in range(3):
        images = np.concatenate([batch.images for batch in found[4 * epoch : 4 * epoch + 4]])
        assert len({image.tobytes() for image in images}) == 20


def test_seed_alone_decides(pets):
    same = [taken(stream("pets", 4, seed=seed, threads=threads), 7) for seed, threads in ((1, 1), (1, 3), (2, 1))]
    for a, b in zip(same[0], same[1], strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    assert not np.array_equal(same[0][0][0], same[2][0][0])


def test_stored_order_without_shuffling(pets):
    images = np.concatenate([images for images, _ in taken(stream("pets", 5, seed=0, shuffle=False), 4)])
    np.testing.assert_array_equal(images, load_images("pets").images[:20])


@pytest.mark.parametrize("after", [0, 1, 4, 9])
def test_a_stream_is_taken_up_where_it_was(pets, after):
    whole = taken(stream("pets", 5, seed=3), 12)
    first = stream("pets", 5, seed=3)
    for _ in range(after):
        next(first)
    state = json.loads(json.dumps(first.state()))
    first.close()
    second = stream("pets", 5, seed=3)
    next(second)
    second.restore(state)
    assert second.state() == state
    for (images, labels), batch in zip(whole[after:], taken(second, 12 - after), strict=True):
        np.testing.assert_array_equal(images, batch[0])
        np.testing.assert_array_equal(labels, batch[1])


def test_taking_up_reads_nothing_of_what_came_before(tmp_path):
    for i in range(8):
        path = tmp_path / ["cat", "dog"][i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
    batches = stream(tmp_path, 2, seed=0, size=4, shuffle=False, epochs=1)
    state = {**batches.state(), "step": 2}
    for path in (tmp_path / "cat").iterdir():
        path.unlink()
    batches.restore(state)
    assert [batch.images[:, 0, 0, 0].tolist() for batch in batches] == [[1, 3], [5, 7]]


def test_state_of_another_stream_is_refused(pets):
    state = stream("pets", 5, seed=3).state()
    with pytest.raises(ValueError, match="another stream: `seed` is 3 there and 4 here; make the stream with the same"):
        stream("pets", 5, seed=4).restore(state)
    with pytest.raises(ValueError, match="`n` is 23 there and 4 here; `batch_size` is 5 there and 2 here"):
        stream("pets:test", 2, seed=3).restore(state)
    with pytest.raises(ValueError, match="after 9 batches, and there are 8 here"):
        stream("pets", 5, seed=3, epochs=2).restore({**state, "step": 9})


def test_ended_stream_stays_ended(pets):
    batches = stream("pets", 10, seed=0, epochs=1)
    assert len(list(batches)) == 2
    assert list(batches) == []
    again = stream("pets", 10, seed=0, epochs=1)
    again.restore(batches.state())
    assert list(again) == []


def test_image_folder_holds_what_the_reader_in_memory_finds(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(7):
        path = tmp_path / ["cat", "dog", "eel"][i % 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9 + i, 12, 3), np.uint8)).save(path)
    batches = stream(tmp_path, 3, seed=0, epochs=1, size=8, keep_last=True)
    assert batches.class_names == ("cat", "dog", "eel")
    images, labels = (np.concatenate(part) for part in zip(*batches))
    whole = load_dataset(tmp_path, size=8)
    assert as_set(images, labels) == as_set(whole.inputs, whole.labels)


def test_known_set_of_mixed_sizes_is_brought_to_its_own(prepare, pictures):
    features, records = pictures(4, 20)
    features["image"] = pytest.importorskip("tensorflow_datasets").features.Image(shape=(None, None, 3))
    prepare("imagenet2012", features, {"train": records})
    prepare("others", features, {"train": records})
    assert taken(stream("imagenet2012", 2, seed=0), 1)[0][0].shape == (2, 224, 224, 3)
    with pytest.raises(ValueError, match="give `size`, in pixels, for the images of others: they have different sizes"):
        stream("others", 2, seed=0)


def test_unreadable_images_are_named_when_they_come(prepare, pictures, tmp_path):
    features, records = pictures(4)
    records[2]["image"] = b"no image"
    prepare("broken", features, {"train": records})
    batches = stream("broken", 4, seed=0)
    with pytest.raises(FileFormatError, match="record 2 of broken cannot be read"):
        next(batches)
    batches.close()
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "a.png").write_bytes(b"no image")
    batches = stream(tmp_path / "photos", 1, seed=0, size=4)
    with pytest.raises(FileFormatError, match=r"a.png cannot be read as an image: .*; remove it"):
        next(batches)
    batches.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` is 0; give at least 1"),
        ({"batch_size": 24}, "pets has 23 images, fewer than a batch of 24"),
        ({"seed": -1}, "`seed` is -1; give a number from 0"),
        ({"epochs": 0}, "`epochs` is 0; give at least 1, or None"),
        ({"threads": 0}, "`threads` is 0"),
        ({"size": 0}, "`size` is 0; give pixels"),
        ({"split": "tset"}, "pets has no split 'tset'; it has train, test"),
    ],
)
def test_wrong_arguments_are_named(pets, arguments, message):
    with pytest.raises(ValueError, match=message):
        stream("pets", **{"batch_size": 5, "seed": 0, **arguments})


def test_sources_that_cannot_be_streamed_are_explained(tmp_path, prepare, pictures):
    np.savez(tmp_path / "pool.npz", images=np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(FileFormatError, match="is an array file, which is read whole; use `load_dataset`"):
        stream(tmp_path / "pool.npz", 2, seed=0)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(FileFormatError, match="has no labels: put images into one sub-folder per class"):
        stream(tmp_path, 1, seed=0, size=4)
    features, records = pictures(2)
    prepare("plain", {"image": features["image"]}, {"train": [{"image": record["image"]} for record in records]})
    with pytest.raises(FileFormatError, match="plain has no class label"):
        stream("plain", 1, seed=0)


def test_missing_grain_is_named(pets, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(MissingExtraError, match=r'grain is not installed.*pip install "zest_jax\[train\]"'):
        stream("pets", 5, seed=0)
