"""Feature distillation."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax

from tests.making import LSTM, M5, images, sounds, texts, untrained
from zest_jax.models.registry import ModelConfig
from zest_jax.reuse import distill
from zest_jax.reuse.distill import FeatureDistillation
from zest_jax.training import recipe, start_checkpoint, train
from zest_jax.training.engine import as_pure

PLAIN = dataclasses.replace(recipe("fine-tune"), epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def teacher():
    return start_checkpoint(M5, sounds(), seed=0)


def test_the_loss_is_cross_entropy_and_the_distance_of_four_stages():
    teacher, student = untrained(seed=1), untrained(seed=2)
    x, labels = teacher.preparation(jnp.asarray(images().inputs)), images().labels
    graphdef, state = nnx.split(teacher.model)
    objective = FeatureDistillation(teacher=graphdef, weight=2.5)
    loss, logits = objective(student.model, x, jnp.asarray(labels), as_pure(state))

    own, wanted = ([np.asarray(f, np.float64) for f in model.features(x)] for model in (student.model, teacher.model))
    assert len(own) == 4
    entropy = -log_softmax(np.asarray(student.model(x), np.float64), axis=1)[np.arange(len(labels)), labels].mean()
    apart = sum(((a - b) ** 2).mean() for a, b in zip(own, wanted, strict=True))
    assert loss == pytest.approx(entropy + 2.5 * apart, rel=1e-5)
    np.testing.assert_allclose(logits, student.model(x), rtol=1e-6)


def test_a_student_comes_nearer_to_the_features_than_one_that_learns_labels_alone():
    how = dataclasses.replace(PLAIN, epochs=10, optimizer="adamw", schedule="constant")
    teacher = train(M5, sounds(96), how, seed=0).checkpoint
    student = distill(teacher, sounds(96), how, seed=5).checkpoint
    alone = train(M5, sounds(96), how, seed=5).checkpoint
    x = teacher.preparation(jnp.asarray(sounds().inputs))

    def apart(model):
        pairs = zip(model.features(x), teacher.model.features(x), strict=True)
        return sum(float(jnp.square(a - b).mean()) for a, b in pairs)

    assert apart(student.model) < 0.3 * apart(alone.model)


def test_a_student_begins_anew_and_names_its_teacher(teacher):
    result = distill(teacher, sounds(), PLAIN, seed=5, test=sounds())
    (step,) = result.checkpoint.info.lineage
    assert (step.kind, step.parent) == ("distill", teacher.fingerprint)
    wanted = {"weight": 5.0, "seed": 5, "dataset": "tones", "data_hash": sounds().content_hash}
    assert step.settings == {**wanted, "recipe": PLAIN.to_json()}
    assert 0 <= result.checkpoint.info.accuracy <= 1


def test_it_is_interrupted_and_goes_on_in_its_folder(teacher, tmp_path, monkeypatch):
    from tests.training.test_fit import same_weights, stop_after

    how = dataclasses.replace(PLAIN, epochs=2)
    whole = distill(teacher, sounds(), how, seed=5, folder=tmp_path / "whole")
    stop_after(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        distill(teacher, sounds(), how, seed=5, folder=tmp_path / "half", save_every=1)
    monkeypatch.undo()
    result = distill(teacher, sounds(), how, seed=5, folder=tmp_path / "half", save_every=1)
    assert same_weights(result.checkpoint, whole.checkpoint)


def test_stages_of_other_shapes_are_listed():
    config = ModelConfig(name="mobilenet_v2", num_classes=3, options={"stem": "cifar", "width": 0.25})
    with pytest.raises(ValueError, match=r"different shapes: \[\(8, 8, 8\).*\] and \[\(8, 8, 16\).*same family"):
        distill(untrained(), images(), PLAIN, config=config, seed=0)


def test_texts_are_distilled_too():
    teacher = start_checkpoint(LSTM, texts(), seed=0)
    result = distill(teacher, texts(), PLAIN, seed=1)
    assert result.checkpoint.info.tokenizer == teacher.info.tokenizer


def test_another_number_of_classes_is_refused(teacher):
    with pytest.raises(ValueError, match="the student has 4 classes and the teacher 3"):
        distill(teacher, sounds(), PLAIN, config=dataclasses.replace(M5, num_classes=4), seed=0)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_weights_that_make_no_sense_are_refused(teacher, weight):
    with pytest.raises(ValueError, match="`weight` is"):
        distill(teacher, sounds(), PLAIN, weight=weight, seed=0)
