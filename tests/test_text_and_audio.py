"""Signatures of models of texts and of sounds, against planted weights and against other frameworks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zest_jax as zest
from tests.making import LSTM, M5, sounds, texts
from tests.worlds import REVIEWS, words_of
from zest_jax.blackbox import from_checkpoint
from zest_jax.data.tokens import Tokenizer
from zest_jax.errors import ModelOutputError
from zest_jax.training import start_checkpoint

RATE = 8000
WORTH = {"good": (1.5, 0.0, -1.0), "bad": (-2.0, 0.5, 0.25), "film": (0.125, 3.0, 0.0), "music": (0.0, -0.75, 4.0)}


@pytest.fixture(scope="module")
def text_probes():
    return zest.text_probes(REVIEWS, 5, 80)


@pytest.fixture(scope="module")
def audio_probes():
    rng = np.random.default_rng(0)
    pool = rng.uniform(-0.8, 0.8, (4, 640)).astype(np.float32)
    return zest.audio_probes(pool, 4, 60, rate=RATE, segmenter_settings={"n_windows": 8})


class TestPlantedWeights:
    """With a model that is linear in what is masked, the signature is that model."""

    def score(self, batch):
        return [
            np.sum([WORTH.get(word, (0, 0, 0)) for word in text.replace(",", "").split()] or [[0] * 3], 0)
            for text in batch
        ]

    @pytest.mark.parametrize("segmenter", ["words", "occurrences"])
    @pytest.mark.parametrize("fill", ["", "UNKWORDZ"])
    def test_of_words(self, segmenter, fill):
        probes = zest.text_probes(REVIEWS, 5, 80, segmenter=segmenter, fill=fill)
        signature = zest.sign(zest.from_texts(self.score), probes)
        for i in range(5):
            words = words_of(probes, i)
            times = [
                probes.references[i].replace(",", "").split().count(w) if segmenter == "words" else 1 for w in words
            ]
            expected = [np.multiply(WORTH.get(w, (0, 0, 0)), n) for w, n in zip(words, times, strict=True)]
            np.testing.assert_allclose(signature.of_reference(i), expected, atol=1e-4)
        assert signature.mean_r2() == pytest.approx(1, abs=1e-5)

    def test_of_token_ids(self, text_probes):
        tokenizer = Tokenizer.of_texts(REVIEWS, vocabulary=40, length=16)
        worth = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        worth[0] = 0  # padding
        worth[tokenizer.encode([","])[0, 0]] = 0  # what is never masked has no weight
        box = zest.from_jax(lambda w, ids: w[ids].sum(1), worth, tokenizer=tokenizer)
        signature = zest.sign(box, text_probes)
        for i in range(5):
            text = text_probes.references[i].replace(",", "").split()
            ids = tokenizer.encode(words_of(text_probes, i))[:, 0]
            times = np.array([text.count(word) for word in words_of(text_probes, i)])
            np.testing.assert_allclose(signature.of_reference(i), worth[ids] * times[:, None], atol=1e-4)

    def test_of_windows(self, audio_probes):
        weights = np.random.default_rng(1).normal(size=(640, 3)).astype(np.float32)
        signature = zest.sign(zest.from_jax(lambda w, x: x @ w, weights), audio_probes)
        for i, sound in enumerate(audio_probes.references):
            expected = [(sound * (audio_probes.segments[i] == k)) @ weights.astype(np.float64) for k in range(8)]
            np.testing.assert_allclose(signature.of_reference(i), expected, atol=1e-4)

    def test_of_cells(self):
        """The transform is linear, so a cell is worth what its own part of the sound is worth."""
        rng = np.random.default_rng(0)
        how = {"n_windows": 3, "n_bands": 2, "n_fft": 64, "hop": 16}
        pool = rng.uniform(-0.8, 0.8, (2, 640)).astype(np.float32)
        probes = zest.audio_probes(pool, 2, 80, rate=RATE, segmenter="stft", segmenter_settings=how)
        weights = rng.normal(size=(640, 3)).astype(np.float32)
        signature = zest.sign(zest.from_jax(lambda w, x: x @ w, weights), probes)
        assert probes.stft is not None
        spectra = probes.stft.forward(jnp.asarray(probes.references))
        for i in range(2):
            for k in range(6):
                part = jnp.where(probes.segments[i] == k, spectra[i], 0)[None]
                expected = np.asarray(probes.stft.backward(part, 640), np.float64)[0] @ weights
                np.testing.assert_allclose(signature.of_reference(i)[k], expected, atol=1e-4)


class TestCheckpoints:
    def test_a_model_of_texts_as_asked_by_hand(self):
        """Composed and tokenized on the device: the answers to the composed strings."""
        made = start_checkpoint(LSTM, texts(), seed=0)
        probes = zest.text_probes(texts().inputs, 6, 40, fill="[UNK]")
        answers = zest.query(from_checkpoint(made), probes, batch_size=32)
        for i in range(6):
            np.testing.assert_allclose(answers[i], made.outputs(zest.compose(probes, i)), atol=1e-5)

    def test_a_model_of_sounds_as_asked_by_hand(self):
        data = dataclasses.replace(sounds(), rate=RATE)
        made = start_checkpoint(M5, data, seed=0)
        box = from_checkpoint(made)
        assert (box.spec.rate, box.settings["modality"]) == (RATE, "audio")
        probes = zest.audio_probes(data.inputs, 6, 40, rate=RATE)
        answers = zest.query(box, probes, batch_size=32)
        for i in range(6):
            np.testing.assert_allclose(answers[i], made.outputs(zest.compose(probes, i)), atol=1e-5)

    def test_related_is_nearer_than_unrelated(self):
        made = [start_checkpoint(LSTM, texts(), seed=seed) for seed in (0, 1)]
        noisy = jax.tree.map(lambda x: x, made[0])
        probes = zest.text_probes(texts().inputs, 6, 40)
        a, b, c = (zest.sign(from_checkpoint(m), probes) for m in (made[0], noisy, made[1]))
        assert zest.distance(a, b) == pytest.approx(0, abs=1e-6)
        assert zest.distance(a, c) > 0.1

    def test_several_devices_and_several_models(self):
        boxes = [from_checkpoint(start_checkpoint(LSTM, texts(), seed=seed)) for seed in (0, 1)]
        probes = zest.text_probes(texts().inputs, 6, 40)
        together = zest.sign_many(boxes, probes)
        alone = [zest.sign(box, probes, devices=jax.local_devices()[:1], batch_size=7) for box in boxes]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)

    def test_an_lstm_without_tokenizer(self):
        made = start_checkpoint(LSTM, texts(), seed=0)
        bare = dataclasses.replace(made, info=dataclasses.replace(made.info, tokenizer=None))
        with pytest.raises(ValueError, match="takes token ids, and its checkpoint has no tokenizer"):
            from_checkpoint(bare)


class TestOtherFrameworks:
    def test_layouts_of_sounds(self, audio_probes):
        import torch

        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv1d(1, 3, 80, stride=40), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten()
        ).eval()
        expected = zest.sign(zest.from_torch(lambda x: net(x[:, None])), audio_probes)
        found = zest.sign(zest.from_torch(net, layout="NCT"), audio_probes)
        np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)
        last = zest.sign(zest.from_torch(lambda x: net(x.transpose(1, 2)), layout="NTC"), audio_probes)
        np.testing.assert_allclose(last.weights, expected.weights, atol=1e-6)

    def test_an_onnx_file_exported_from_pytorch(self, audio_probes, tmp_path):
        import torch

        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv1d(1, 3, 80, stride=40), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten()
        ).eval()
        example, path = torch.zeros(2, 1, 640), tmp_path / "audio.onnx"
        torch.onnx.export(
            net, (example,), path, dynamic_shapes=({0: torch.export.Dim("n")},), dynamo=True, verbose=False
        )
        box = zest.from_onnx(path, rate=RATE)
        assert (box.spec.layout, box.settings["layout_from"]) == ("NCT", "input shape")
        found = zest.sign(box, audio_probes)
        expected = zest.sign(zest.from_torch(net, layout="NCT"), audio_probes)
        np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)

    def test_ids_with_their_lengths(self, text_probes):
        tokenizer = Tokenizer.of_texts(REVIEWS, vocabulary=40, length=16)

        def mean(worth, ids, lengths):
            inside = jnp.arange(16) < lengths[:, None]
            return jnp.where(inside[..., None], worth[ids], 0).sum(1) / jnp.maximum(lengths, 1)[:, None]

        worth = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        box = zest.from_jax(mean, worth, tokenizer=tokenizer, lengths=True)
        by_hand = zest.from_texts(
            lambda batch: np.stack(
                [worth[[t.id for t in tokenizer.tokens(x)]].mean(0) if x.split() else np.zeros(3) for x in batch]
            )
        )
        np.testing.assert_allclose(zest.query(box, text_probes), zest.query(by_hand, text_probes), atol=1e-5)


class TestScalesOfSounds:
    SOUNDS = np.array([[-1.0, 0.0, 0.5, 1.0]], np.float32)

    @pytest.mark.parametrize(
        ("value_range", "wanted"),
        [
            (None, [-1.0, 0.0, 0.5, 1.0]),
            ((-1.0, 1.0), [-1.0, 0.0, 0.5, 1.0]),
            ((-32768.0, 32768.0), [-32768.0, 0.0, 16384.0, 32768.0]),
            ((0.0, 255.0), [0.0, 127.5, 191.25, 255.0]),
        ],
    )
    def test_value_ranges_stretch_what_lies_between_minus_one_and_one(self, value_range, wanted):
        seen = []

        def listen(x):
            seen.append(np.array(x))
            return x[:, :2]

        settings = {} if value_range is None else {"value_range": value_range}
        zest.from_callable(listen, **settings)(self.SOUNDS)
        np.testing.assert_allclose(seen[0][0], wanted, rtol=1e-5, atol=1e-5)

    def test_normalisation_comes_after(self):
        box = zest.from_callable(lambda x: x[:, :2], value_range=(-2.0, 2.0), mean=(1.0,), std=(0.5,))
        np.testing.assert_allclose(box(self.SOUNDS), [[-6.0, -2.0]], atol=1e-5)


class TestMixUps:
    def test_what_does_not_fit_together(self, text_probes, audio_probes):
        of_texts = zest.from_texts(lambda batch: [[1.0, 2.0]] * len(batch), label="reader")
        with pytest.raises(ValueError, match="reader takes texts, and the probes are sounds; give it texts"):
            zest.sign(of_texts, audio_probes)
        with pytest.raises(
            ValueError, match="takes images or sounds, and the probes are texts; wrap the model with from_texts"
        ):
            zest.sign(zest.from_jax(lambda x: x), text_probes)
        image_model = from_checkpoint(start_checkpoint(M5, dataclasses.replace(sounds(), rate=RATE), seed=0))
        image_model.settings["modality"] = "image"
        with pytest.raises(ValueError, match="m5 takes images, and the probes are sounds"):
            zest.sign(image_model, audio_probes)

    def test_another_rate(self, audio_probes):
        with pytest.raises(ValueError, match="takes sounds at 16,000 Hz, and the probes are at 8,000 Hz"):
            zest.sign(zest.from_callable(lambda x: x, rate=16000), audio_probes)

    def test_a_model_of_sounds_and_images(self):
        probes = zest.image_probes(
            np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8), 2, 20, segmenter="grid"
        )
        with pytest.raises(ValueError, match="takes sounds at 16,000 Hz, and the probes are images; give it sounds"):
            zest.sign(zest.from_callable(lambda x: x, rate=16000), probes)

    def test_a_model_of_sounds_and_texts(self, text_probes):
        of_sounds = from_checkpoint(start_checkpoint(M5, dataclasses.replace(sounds(), rate=RATE), seed=0))
        with pytest.raises(ValueError, match="m5 takes sounds at 8,000 Hz, and the probes are texts; give it sounds"):
            zest.sign(of_sounds, text_probes)

    def test_what_is_no_tokenizer(self):
        with pytest.raises(
            TypeError, match="a tokenizer is a `tokenizers.Tokenizer` of Hugging Face, .* got a function"
        ):
            zest.from_jax(lambda x: x, tokenizer=lambda text: text)

    def test_a_model_that_chooses_the_references(self):
        rng = np.random.default_rng(0)
        pool = rng.uniform(-0.8, 0.8, (4, 640)).astype(np.float32)
        of_sounds = zest.from_callable(lambda x: np.stack([x.max(1), x.min(1)], 1), rate=16000, label="listener")
        with pytest.raises(ValueError, match="listener takes sounds at 16,000 Hz, and the inputs are at 8,000 Hz"):
            zest.audio_probes(pool, 2, 40, rate=RATE, references="stratified", model=of_sounds)
        with pytest.raises(ValueError, match="listener takes sounds at 16,000 Hz, and the inputs are texts"):
            zest.text_probes(REVIEWS, 2, 40, references="stratified", model=of_sounds)
        of_texts = zest.from_texts(lambda batch: [[1.0, 2.0]] * len(batch), label="reader")
        with pytest.raises(ValueError, match="reader takes texts, and the inputs are images"):
            zest.image_probes(rng.random((4, 8, 8, 3)), 2, 40, references="stratified", model=of_texts)

    def test_settings_of_images_for_a_model_of_texts(self):
        with pytest.raises(ValueError, match="takes texts; mean, std, value_range, layout and rate belong to images"):
            zest.from_jax(lambda x: x, mean=(0.5,), tokenizer=Tokenizer.of_texts(REVIEWS))
        with pytest.raises(ValueError, match="`lengths` is set for function, which takes no texts"):
            zest.from_jax(lambda x: x, lengths=True)

    def test_strings_go_through_no_callback(self, text_probes):
        with pytest.raises(ValueError, match="takes strings, which no callback"):
            zest.sign(zest.from_texts(lambda batch: [[1.0]] * len(batch)), text_probes, mode="callback")

    def test_a_model_that_fails_names_the_texts(self, text_probes):
        def broken(batch):
            raise RuntimeError("no memory")

        with pytest.raises(ModelOutputError, match=r"broken failed on \d+ texts: RuntimeError: no memory"):
            zest.sign(zest.from_texts(broken), text_probes)

    def test_a_tokenizer_must_bring_texts_to_one_length(self):
        import tokenizers

        with pytest.raises(ValueError, match="does not bring texts to one length"):
            zest.from_jax(lambda x: x, tokenizer=tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a")))

    def test_one_text_is_no_list(self):
        with pytest.raises(ValueError, match="one text arrived"):
            zest.from_texts(lambda batch: [[1.0]] * len(batch))("text")


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_an_interrupted_run_goes_on(modality, text_probes, audio_probes, tmp_path):
    probes = text_probes if modality == "text" else audio_probes
    state = {"asked": 0, "stop": True}

    def texts_in(batch):
        state["asked"] += len(batch)
        if state["stop"] and state["asked"] > 90:
            raise KeyboardInterrupt
        return (
            [[len(x), str(x).count("a")] for x in batch]
            if modality == "text"
            else np.abs(batch).reshape(len(batch), 4, -1).sum(2)
        )

    box = zest.from_texts(texts_in) if modality == "text" else zest.from_callable(texts_in)
    with pytest.raises(KeyboardInterrupt):
        zest.sign(box, probes, batch_size=16, checkpoint=tmp_path / "c")
    state.update(stop=False)
    again = zest.sign(box, probes, batch_size=16, checkpoint=tmp_path / "c")
    np.testing.assert_allclose(again.weights, zest.sign(box, probes, batch_size=16).weights, atol=1e-6)


def test_signatures_keep_what_they_are_drawn_from(text_probes, audio_probes, tmp_path):
    of_texts = zest.sign(zest.from_texts(lambda batch: [[len(t), t.count("a")] for t in batch]), text_probes)
    of_sounds = zest.sign(zest.from_jax(lambda x: jnp.stack([jnp.abs(x).sum(1), x[:, 0]], 1)), audio_probes)
    for signature, probes in ((of_texts, text_probes), (of_sounds, audio_probes)):
        signature.save(tmp_path / "s.sig")
        again = zest.Signature.load(tmp_path / "s.sig")
        assert again.preview is not None
        content = probes.references[again.preview.reference_index]
        assert np.array_equal(again.preview.content, content) if probes.rate else again.preview.content == content
        assert again.preview.rate == probes.rate
        assert again.settings["modality"] == probes.modality
