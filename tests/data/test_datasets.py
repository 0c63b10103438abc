"""Labelled data sets: what is known of them, how they are read, and what identifies them."""

import dataclasses
import sys

import numpy as np
import pytest
from PIL import Image

from zest_jax.data import Dataset, dataset_names, fraction, known_dataset, load_dataset, load_images, of_classes
from zest_jax.errors import FileFormatError, MissingExtraError


def labelled(n=6, **changes):
    rng = np.random.default_rng(0)
    values = {
        "inputs": rng.integers(0, 256, (n, 4, 4, 3), np.uint8),
        "labels": np.arange(n, dtype=np.int32) % 2,
        "class_names": ("cat", "dog"),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "name": "pets",
    }
    return Dataset(**{**values, **changes})


def test_known_name_brings_its_scales(prepare, pictures):
    features, records = pictures(6, 32, [f"class {i}" for i in range(10)])
    prepare("cifar10", features, {"train": records, "test": records[:2]})
    data, pool = load_dataset("cifar10"), load_images("cifar10")
    np.testing.assert_array_equal(data.inputs, pool.images)
    assert data.labels.dtype == np.int32
    assert data.labels.tolist() == pool.labels.tolist()
    assert (data.name, data.modality, data.num_classes, data.input_shape) == ("cifar10", "image", 10, (32, 32, 3))
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2470, 0.2435, 0.2616)
    assert len(load_dataset("cifar10:test")) == len(load_dataset("cifar10", split="test")) == 2
    assert "tensorflow" not in sys.modules


def test_folder_of_a_known_data_set_is_known_too(prepare, pictures):
    features, records = pictures(3, 28, "0123456789", channels=1)
    data = load_dataset(prepare("mnist", features, {"train": records}))
    assert (data.name, data.mean, data.input_shape) == ("mnist", (0.1307,), (28, 28, 1))


def test_known_set_of_mixed_sizes_is_brought_to_its_own(prepare, pictures):
    tfds = pytest.importorskip("tensorflow_datasets")
    features, small = pictures(2, 20, seed=1)
    _, large = pictures(2, 300, seed=2)
    features["image"] = tfds.features.Image(shape=(None, None, 3))
    prepare("stanford_dogs", features, {"train": small + large})
    assert load_dataset("stanford_dogs").input_shape == (224, 224, 3)
    assert load_dataset("stanford_dogs", size=(8, 6)).input_shape == (8, 6, 3)


@pytest.mark.parametrize("name", dataset_names())
def test_what_is_known_fits_together(name):
    known = known_dataset(name)
    assert known.name == name
    assert len(known.mean) == len(known.std)
    assert known.train != known.test
    assert known.num_classes > 1
    assert (known.rate is not None) == (known.modality == "audio")


def test_unknown_name_lists_the_known_ones_and_says_how_to_prepare_it(prepare):
    with pytest.raises(
        FileNotFoundError, match=r"no prepared TFDS data set cifar11 .*pip install tensorflow"
    ) as caught:
        load_dataset("cifar11")
    assert all(name in str(caught.value) for name in dataset_names())
    with pytest.raises(ValueError, match="no data set 'cifar11' is known; known are cifar10, cifar100"):
        known_dataset("cifar11")


def test_missing_path_lists_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*Data sets known by name: cifar10"):
        load_dataset(tmp_path / "nothing")


def test_scales_of_unknown_sources_are_those_of_all_pixels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), np.uint8)
    images[..., 2] = 9
    np.savez(tmp_path / "pets.npz", images=images, labels=np.arange(7) % 3, class_names=["cat", "dog", "eel", "fox"])
    data = load_dataset(tmp_path / "pets.npz")
    pixels = images.reshape(-1, 3) / 255.0
    np.testing.assert_allclose(data.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(data.std, [*pixels.std(0)[:2], 1.0], rtol=1e-12)
    assert data.class_names == ("cat", "dog", "eel", "fox")
    assert data.name == "pets"
    floats = tmp_path / "floats.npz"
    np.savez(floats, images=(images / 255).astype(np.float32), labels=np.arange(7) % 3)
    np.testing.assert_allclose(load_dataset(floats).std[:2], pixels.std(0)[:2], rtol=1e-6)
    assert load_dataset(floats).class_names == ("0", "1", "2")


def test_image_folder_with_limit_and_seed(tmp_path):
    for i in range(6):
        path = tmp_path / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (i, 0, 0)).save(path)
    data = load_dataset(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.inputs[:, 0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]
    drawn = load_dataset(tmp_path, limit=3, seed=5)
    np.testing.assert_array_equal(drawn.inputs, load_images(tmp_path, limit=3, seed=5).images)


def test_sources_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "plain.npz", images=np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(FileFormatError, match="has no labels: put images into one sub-folder per class"):
        load_dataset(tmp_path / "plain.npz")


def test_split_with_hidden_labels_is_refused(prepare, pictures):
    features, records = pictures(4)
    prepare("tiny", features, {"test": [{**record, "label": -1} for record in records]})
    with pytest.raises(FileFormatError, match="4 of 4 labels of tiny:test are negative.*not public"):
        load_dataset("tiny:test")


def test_set_too_large_for_memory_needs_a_limit(tiny_tfds, monkeypatch):
    monkeypatch.setattr("zest_jax.data.tfds._LARGEST", 100.0)
    with pytest.raises(
        ValueError, match=r"the 6 images of tiny would take .* GB of memory at 8x8; pass `limit`.*stream"
    ):
        load_dataset("tiny")
    assert len(load_dataset("tiny", limit=6)) == 6


def test_images_of_16_bits_are_refused(prepare, pictures):
    tfds = pytest.importorskip("tensorflow_datasets")
    features, records = pictures(2)
    features["image"] = tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16)
    prepare("deep", features, {"train": records})
    with pytest.raises(FileFormatError, match="the images of deep are uint16; only images of 8 bits"):
        load_dataset("deep")


def test_record_of_another_shape_than_declared_is_named(prepare, pictures):
    features, records = pictures(3)
    _, larger = pictures(1, 9)
    prepare("mixed", features, {"train": records + larger})
    with pytest.raises(FileFormatError, match=r"record 3 of mixed cannot be read .*\(9, 9, 3\), but .* \(8, 8, 3\)"):
        load_dataset("mixed")
    assert load_dataset("mixed", size=8).inputs.shape == (4, 8, 8, 3)


def test_grey_and_transparent_images_become_rgb_where_rgb_is_declared(prepare, pictures):
    features, grey = pictures(1, 8, channels=1)
    _, rgba = pictures(1, 8, channels=4, seed=1)
    _, rgb = pictures(1, 8, seed=2)
    features["image"] = pytest.importorskip("tensorflow_datasets").features.Image(shape=(8, 8, 3))
    prepare("mixed", features, {"train": grey + rgba + rgb})
    images = load_dataset("mixed").inputs
    assert (images[0] == images[0, ..., :1]).all()
    expected = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 4), np.uint8)[0, ..., :3]
    np.testing.assert_array_equal(images[1], expected)


def test_many_records_in_several_shards_keep_their_order(prepare, pictures):
    features, records = pictures(700, 4)
    prepare("many", features, {"train": records}, shards=3)
    expected = np.random.default_rng(0).integers(0, 256, (700, 4, 4, 3), np.uint8)
    data = load_dataset("many")
    np.testing.assert_array_equal(data.inputs, expected)
    assert data.labels.tolist() == [i % 2 for i in range(700)]
    np.testing.assert_array_equal(load_dataset("many:train[300:-5]").inputs, expected[300:-5])


class TestTexts:
    def news(self, prepare, name="ag_news_subset", texts=("title", "description")):
        tfds = pytest.importorskip("tensorflow_datasets")
        features = {text: tfds.features.Text() for text in texts}
        features["label"] = tfds.features.ClassLabel(names=["World", "Sports"])
        records = [{**{text: f"{text} {i} ü".encode() for text in texts}, "label": i % 2} for i in range(5)]
        prepare(name, features, {"train": records, "test": records[:2]})

    def test_title_and_description_become_one_text(self, prepare):
        self.news(prepare)
        data = load_dataset("ag_news_subset")
        assert data.modality == "text"
        assert data.inputs.tolist() == [f"title {i} ü description {i} ü" for i in range(5)]
        assert (data.class_names, data.mean, data.input_shape) == (("World", "Sports"), (), ())
        assert len(load_dataset("ag_news_subset", split="test")) == 2
        assert "tensorflow" not in sys.modules

    def test_only_text_is_taken_and_of_several_one_must_be_clear(self, prepare):
        self.news(prepare, "one", ("sentence",))
        assert load_dataset("one", limit=1).inputs.tolist() == ["sentence 0 ü"]
        self.news(prepare, "two", ("question", "answer"))
        with pytest.raises(FileFormatError, match="two has the text features answer, question; read are `title`"):
            load_dataset("two")

    def test_bytes_that_are_not_utf8_are_replaced_and_counted(self, prepare):
        tfds = pytest.importorskip("tensorflow_datasets")
        stored = [b"good", b"caf\xe9", b"\xf0\x9f cut", "\N{REPLACEMENT CHARACTER} stored".encode()]
        records = [{"text": text, "label": 0} for text in stored]
        features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["a"])}
        prepare("plain", features, {"train": records})
        with pytest.warns(
            UserWarning, match=r"2 of 4 texts of plain hold bytes that are not UTF-8 .*record 1\)"
        ) as warned:
            data = load_dataset("plain")
        assert len(warned) == 1
        assert data.inputs.tolist() == [text.decode("utf-8", "replace") for text in stored]

    def test_hash_tells_where_texts_end(self):
        def texts(*parts):
            return labelled(2, inputs=np.array(parts, object), modality="text", mean=(), std=())

        assert texts("ab", "c").content_hash != texts("a", "bc").content_hash
        assert texts("ab", "c").content_hash == texts("ab", "c").content_hash


#: Of the two sounds of `test_resampling_to_the_stored_rate_changes_nothing`, as version 0.1 computed it.
SPEECH_HASH = "91e620f29b896e2bb10af28673471329e74e702df26f516e6f4e4bf9b417559a"


class TestSounds:
    def test_sounds_are_padded_and_cut_to_one_length(self, prepare_sounds):
        sounds = [np.arange(-3, 4), np.array([32767, -32768]), np.arange(1, 20_000)]
        folder = prepare_sounds("speech_commands", sounds)
        data = load_dataset("speech_commands")
        assert (data.inputs.shape, data.inputs.dtype, data.modality) == ((3, 16000), np.int16, "audio")
        assert data.inputs[0, :8].tolist() == [-3, -2, -1, 0, 1, 2, 3, 0]
        assert data.inputs[1, :3].tolist() == [32767, -32768, 0]
        assert data.inputs[2, -1] == 16000
        assert (data.class_names, data.mean, data.std) == (("down", "up"), (0.0,), (1.0,))
        assert (data.labels.tolist(), data.rate) == ([0, 1, 0], 16000)
        assert load_dataset(folder, size=4, split="train[1:]").inputs.tolist() == [[32767, -32768, 0, 0], [1, 2, 3, 4]]
        assert "tensorflow" not in sys.modules

    def test_plain_tensor_of_an_unknown_set_takes_the_longest(self, prepare_sounds, tensor_feature):
        prepare_sounds("beeps", [np.arange(5)] * 3, tensor_feature)
        data = load_dataset("beeps")
        assert (data.inputs.tolist(), data.rate) == ([[0, 1, 2, 3, 4]] * 3, None)
        with pytest.raises(ValueError, match="the sample rate of beeps is not known: .* without `rate`"):
            load_dataset("beeps", rate=8000)

    def test_resampled_sounds_are_as_long_as_before(self, prepare_sounds):
        wave = np.rint(16000 * np.sin(2 * np.pi * 440 * np.arange(12_000) / 16000)).astype(int)
        prepare_sounds("speech_commands", [wave, wave[:5000]])
        data = load_dataset("speech_commands", rate=8000)
        assert (data.inputs.shape, data.inputs.dtype, data.rate) == ((2, 8000), np.int16, 8000)
        expected = 16000 * np.sin(2 * np.pi * 440 * np.arange(6000) / 8000)
        np.testing.assert_allclose(data.inputs[0, 50:5950], expected[50:-50], atol=160)
        assert not data.inputs[0, 6000:].any()
        assert not data.inputs[1, 2500:].any()
        assert load_dataset("speech_commands", rate=8000, size=100).inputs.shape == (2, 100)
        np.testing.assert_array_equal(load_dataset("speech_commands", rate=11025).inputs.shape, (2, 11025))
        assert of_classes(data, ["up"]).rate == data.take([1]).rate == fraction(data, 0.5, 0).rate == 8000

    def test_resampling_to_the_stored_rate_changes_nothing(self, prepare_sounds):
        prepare_sounds("speech_commands", [np.arange(500), np.arange(-700, 0)])
        stored = load_dataset("speech_commands")
        # Fixed, so that what models were trained on before can still be told to be the same.
        assert stored.content_hash == SPEECH_HASH
        assert load_dataset("speech_commands", rate=16000).content_hash == SPEECH_HASH
        assert dataclasses.replace(stored, rate=None).content_hash == SPEECH_HASH
        assert load_dataset("speech_commands", rate=8000).content_hash != SPEECH_HASH

    def test_set_prepared_at_another_rate_is_as_long_as_it_is_known_to_be(self, prepare_sounds, audio_feature):
        audio_feature["audio"]["sampleRate"] = "8000"
        prepare_sounds("speech_commands", [np.arange(500)], audio_feature)
        data = load_dataset("speech_commands")
        assert (data.inputs.shape, data.rate) == ((1, 8000), 8000)
        assert load_dataset("speech_commands", rate=16000).inputs.shape == (1, 16000)

    def test_rates_are_for_sounds(self, tiny_tfds, prepare_sounds):
        with pytest.raises(ValueError, match="`rate` is 8000, but tiny holds images; leave `rate` out"):
            load_dataset("tiny", rate=8000)
        prepare_sounds("speech_commands", [np.arange(500)])
        with pytest.raises(ValueError, match="`rate` is 8; give samples per second"):
            load_dataset("speech_commands", rate=8)

    def test_what_cannot_be_read_is_said(self, prepare_sounds, audio_feature):
        prepare_sounds("loud", [np.arange(5), np.array([40_000])])
        with pytest.raises(FileFormatError, match="record 1 of loud .*from 40000 to 40000; only sounds of 16 bits"):
            load_dataset("loud")
        prepare_sounds("packed", [b"RIFF"])
        with pytest.raises(FileFormatError, match="record 0 of packed .*not stored as integers"):
            load_dataset("packed")
        audio_feature["audio"]["shape"] = {"dimensions": ["-1", "2"]}
        prepare_sounds("stereo", [np.arange(6)], audio_feature)
        with pytest.raises(FileFormatError, match="the sounds of stereo have 2 channels; one is needed to train on"):
            load_dataset("stereo")
        with pytest.raises(ValueError, match=r"`size` is \(4, 4\); for sounds give the number of samples"):
            load_dataset("loud", size=(4, 4))
        with pytest.raises(ValueError, match="loud has no split 'tset'; it has train, test"):
            load_dataset("loud", split="tset")

    def test_missing_extra_is_named(self, prepare_sounds, monkeypatch):
        prepare_sounds("speech_commands", [np.arange(5)])
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
        with pytest.raises(MissingExtraError, match=r'pip install "zest_jax\[data\]"'):
            load_dataset("speech_commands")


def test_hash_is_of_inputs_and_labels_alone():
    data = labelled()
    assert data.content_hash == labelled(name="others", mean=(0.1, 0.1, 0.1), class_names=("a", "b", "c")).content_hash
    assert data.content_hash == labelled(inputs=np.asfortranarray(data.inputs)).content_hash
    assert len(data.content_hash) == 64
    changed = data.inputs.copy()
    changed[3, 1, 1, 1] ^= 1
    others = [
        labelled(inputs=changed),
        labelled(labels=1 - data.labels),
        labelled(inputs=data.inputs.reshape(6, 2, 8, 3)),
        labelled(inputs=data.inputs.view(np.int8)),
        labelled(5),
    ]
    assert len({data.content_hash, *(other.content_hash for other in others)}) == 6
    assert data.take([1, 0, 2, 3, 4, 5]).content_hash != data.content_hash


def test_hash_is_computed_once(monkeypatch):
    data = labelled()
    first = data.content_hash
    monkeypatch.setattr("zest_jax.data.datasets.hashlib", None)
    assert data.content_hash == first


def test_taking_rows_keeps_everything_else():
    data = labelled()
    part = data.take([4, 1])
    np.testing.assert_array_equal(part.inputs, data.inputs[[4, 1]])
    assert part.labels.tolist() == [0, 1]
    for field in ("class_names", "mean", "std", "modality", "name"):
        assert getattr(part, field) == getattr(data, field)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(5, np.int32)}, r"labels of shape \(5,\) and type int32 for 6 inputs"),
        ({"labels": np.zeros(6)}, "type float64 for 6 inputs; give one int32 for each"),
        ({"class_names": ("cat",)}, "labels from 0 to 1 but 1 class names"),
        ({"mean": (0.5,)}, "has 1 means and 3 standard deviations; 3 of each are needed"),
        ({"std": (0.5, 0.0, 0.5)}, "all must be above 0"),
        (
            {"rate": 8000},
            r"pets \(image\) has the rate 8000; give samples per second for sounds, and None for all else",
        ),
        ({"inputs": np.zeros((0, 4, 4, 3), np.uint8), "labels": np.zeros(0, np.int32)}, "pets holds no inputs"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        labelled(**changes)


def test_data_sets_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        labelled().name = "others"  # pyright: ignore[reportAttributeAccessIssue]
