"""Model extraction."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import softmax

from tests.making import LSTM, M5, RESNET20, images, sounds, texts, untrained
from zest_jax.blackbox import from_callable, from_texts
from zest_jax.errors import ModelOutputError
from zest_jax.reuse import extract
from zest_jax.reuse.extract import extraction_targets, moved_along_the_gradient
from zest_jax.training import recipe, start_checkpoint, train

PLAIN = dataclasses.replace(recipe("fine-tune"), epochs=1, batch_size=8)
LONGER = dataclasses.replace(PLAIN, epochs=10, optimizer="adamw", schedule="constant")


def mislabelled(data):
    """The same inputs with labels that say nothing."""
    return dataclasses.replace(data, labels=np.zeros_like(data.labels))


@pytest.fixture(scope="module")
def victim():
    """Knows the three tones."""
    made = train(M5, sounds(96), LONGER, seed=0, test=sounds(seed=1)).checkpoint
    assert made.info.accuracy > 0.9
    return made


class TestAnswers:
    SCORES = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]], np.float32)

    def test_labels_are_the_highest_scores(self):
        assert extraction_targets(self.SCORES, "labels").tolist() == [0, 1]

    def test_logits_are_taken_as_they_are(self):
        np.testing.assert_array_equal(extraction_targets(self.SCORES, "logits"), self.SCORES)

    def test_probabilities_are_those_of_the_logits(self):
        np.testing.assert_allclose(
            extraction_targets(self.SCORES, "probabilities"), softmax(self.SCORES, axis=1), rtol=1e-6
        )

    def test_what_are_probabilities_already_stays(self):
        given = softmax(self.SCORES, axis=1)
        np.testing.assert_array_equal(extraction_targets(given, "probabilities"), given)


@pytest.mark.parametrize("answers", ["labels", "probabilities", "logits"])
def test_the_copy_learns_what_the_victim_answers_and_not_the_labels(victim, answers):
    queries = mislabelled(sounds(96, seed=2))
    copy = extract(victim, queries, LONGER, answers=answers, seed=3, test=sounds(seed=1)).checkpoint
    assert copy.info.accuracy > 0.8
    agreement = (copy.outputs(queries.inputs).argmax(-1) == victim.outputs(queries.inputs).argmax(-1)).mean()
    assert agreement > 0.8
    (step,) = copy.info.lineage
    assert (step.kind, step.parent, step.settings["answers"]) == ("extract", victim.fingerprint, answers)
    assert copy.info.class_names == victim.info.class_names


def test_a_function_can_be_the_victim(victim):
    asked = []

    def victim_of_somebody(inputs):
        asked.append(len(inputs))
        return victim.outputs(inputs)

    how = {"config": M5, "seed": 3}
    copy = extract(victim_of_somebody, sounds(24, seed=2), PLAIN, **how).checkpoint
    assert sum(asked) == 24
    known = extract(victim, sounds(24, seed=2), PLAIN, seed=3).checkpoint
    assert copy.fingerprint == known.fingerprint
    assert copy.info.lineage[-1].parent is None
    assert copy.info.lineage[-1].settings["victim"] == "victim_of_somebody"


def test_a_black_box_gets_inputs_in_the_plain_scale():
    seen = []

    def answer(inputs):
        seen.append((inputs.dtype, inputs.min() >= 0, inputs.max() <= 1, inputs.max() > 0.9))
        return np.eye(3, dtype=np.float32)[(1000 * inputs.mean((1, 2, 3))).astype(int) % 3]

    extract(from_callable(answer), images(), PLAIN, config=RESNET20, seed=0)
    assert set(seen) == {(np.dtype("float32"), True, True, True)}


def test_texts_are_asked_as_strings():
    data = texts()
    box = from_texts(lambda batch: [[text.count(" "), len(text), 9.0] for text in batch], label="reader")
    copy = extract(box, data, PLAIN, config=LSTM, seed=0).checkpoint
    assert (copy.info.model.num_classes, copy.info.tokenizer is not None) == (3, True)
    with pytest.raises(ValueError, match="reader takes texts, and the queries are images"):
        extract(box, images(), PLAIN, config=RESNET20, seed=0)


def test_sounds_of_another_rate():
    data = dataclasses.replace(sounds(), rate=8000)
    with pytest.raises(ValueError, match="function takes sounds at 16,000 Hz, and the queries are at 8,000 Hz"):
        extract(from_callable(lambda x: x[:, :4], rate=16000), data, PLAIN, config=M5, seed=0)
    victim = start_checkpoint(M5, data, seed=0)
    with pytest.raises(ValueError, match="16,000 samples per second, and the model takes 8,000"):
        extract(victim, dataclasses.replace(data, rate=16000), PLAIN, seed=0)


class TestAdversarialRounds:
    def test_pixels_move_by_the_step_to_where_the_loss_is_higher(self):
        copy, data = untrained(seed=4), images(seed=1)
        labels = copy.outputs(data.inputs).argmax(-1)
        moved = moved_along_the_gradient(copy, data.inputs, labels, 8 / 255)
        assert moved.dtype == np.uint8
        step = moved.astype(int) - data.inputs
        assert np.abs(step).max() == 8
        assert (np.abs(step[(data.inputs >= 8) & (data.inputs <= 247)]) == 8).mean() > 0.99

        def loss(inputs):
            logits = jnp.asarray(copy.outputs(inputs))
            return np.asarray(optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels)))

        assert (loss(moved) > loss(data.inputs)).mean() > 0.9

    def test_the_victim_is_asked_about_the_moved_queries_too(self, tmp_path):
        asked = []

        def victim(inputs):
            asked.append(inputs)
            return np.eye(3, dtype=np.float32)[inputs[:, 0, 0, 0].astype(int) % 3]

        how = {"config": RESNET20, "adversarial_rounds": 2, "epsilon": 4 / 255, "seed": 0}
        result = extract(victim, images(16), PLAIN, folder=tmp_path / "copy", **how)
        assert [len(inputs) for inputs in asked] == [16, 16, 16]
        for before, after in itertools.pairwise(asked):
            assert np.abs(after.astype(int) - before).max() == 4
        assert len(result.history) == 1
        assert {path.name for path in (tmp_path / "copy").iterdir()} >= {"round-0", "round-1", "checkpoints"}
        assert result.checkpoint.info.lineage[-1].settings["adversarial_rounds"] == 2

    def test_only_stored_images_can_be_moved(self, victim):
        with pytest.raises(ValueError, match="images stored as uint8"):
            extract(victim, sounds(), PLAIN, adversarial_rounds=1, seed=0)


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"answers": "hints"}, "`answers` is 'hints'; choose labels, probabilities, logits"),
            ({"adversarial_rounds": -1}, "`adversarial_rounds` is -1"),
            ({"epsilon": 0.0}, "`epsilon` 0.0; give 0 or more, and a step in"),
            ({"config": dataclasses.replace(M5, num_classes=5)}, "the copy has 5 classes and the victim 3"),
        ],
    )
    def test_arguments(self, changes, message):
        with pytest.raises(ValueError, match=message):
            extract(start_checkpoint(M5, sounds(), seed=0), sounds(), PLAIN, **{"seed": 0, **changes})

    def test_a_function_without_a_config(self):
        with pytest.raises(ValueError, match="only a checkpoint tells its architecture"):
            extract(lambda inputs: inputs, sounds(), PLAIN, seed=0)

    def test_answers_of_another_shape(self):
        with pytest.raises(ModelOutputError, match=r"answered \(24, 7\) to 24 queries; needed is \[24, 3\]"):
            extract(lambda inputs: np.zeros((len(inputs), 7)), sounds(), PLAIN, config=M5, seed=0)

    def test_answers_that_are_not_finite(self):
        with pytest.raises(ModelOutputError, match="24 of the victim's 72 scores are not finite"):
            extract(lambda inputs: np.tile([0.0, np.nan, 1.0], (len(inputs), 1)), sounds(), PLAIN, config=M5, seed=0)
