"""Classes of data and of models."""

import dataclasses

import numpy as np
import pytest

from tests.making import M5, sounds
from zest_jax.reuse import fine_tune, permute_labels, quantize
from zest_jax.training import Recipe, start_checkpoint, train
from zest_jax.training.classes import labels_for

PLAIN = Recipe(epochs=10, batch_size=8, optimizer="adamw", learning_rate=0.01)


@pytest.fixture(scope="module")
def info():
    return start_checkpoint(M5, sounds(), seed=0).info


def renamed(names, data=None):
    return dataclasses.replace(data or sounds(), class_names=names)


def test_equal_names_leave_the_labels(info):
    assert labels_for(sounds(), info) is not None
    np.testing.assert_array_equal(labels_for(sounds(), info), sounds().labels)


def test_names_in_another_order_are_numbered_as_the_model_does(info):
    data = renamed(("high", "low", "middle"))
    found = labels_for(data, info)
    assert found.dtype == np.int32
    assert [info.class_names[label] for label in found] == [data.class_names[label] for label in data.labels]


@pytest.mark.parametrize("names", [("0", "1", "2"), ("a", "a", "a")])
def test_numbers_and_repeated_names_count_as_none(info, names):
    data = renamed(names)
    np.testing.assert_array_equal(labels_for(data, info), data.labels)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("low", "middle"), "tones has 2 classes and the model 3"),
        (("low", "middle", "deep"), r"classes that the model does not know \(deep\); it knows low, middle, high"),
    ],
)
def test_other_classes_are_refused_wherever_they_count(info, names, message):
    keep = sounds().labels < len(names)
    data = renamed(names, sounds().take(np.flatnonzero(keep)))
    with pytest.raises(ValueError, match=message):
        labels_for(data, info)
    start = start_checkpoint(M5, sounds(), seed=0)
    with pytest.raises(ValueError, match=message):
        train(M5, sounds(), PLAIN, seed=0, test=data)
    with pytest.raises(ValueError, match=message):
        quantize(start, test=data)


def test_a_permuted_model_is_trained_and_measured_by_names():
    victim = train(M5, sounds(96), PLAIN, seed=0, test=sounds(seed=1)).checkpoint
    permuted = permute_labels(victim, [2, 0, 1])
    assert victim.info.accuracy > 0.9
    further = dataclasses.replace(PLAIN, epochs=2, learning_rate=1e-4)
    tuned = fine_tune(permuted, sounds(96), further, seed=1, test=sounds(seed=1)).checkpoint
    assert tuned.info.accuracy > 0.9
    answers = tuned.outputs(sounds(seed=1).inputs).argmax(-1)
    found = [tuned.info.class_names[i] for i in answers]
    wanted = [sounds().class_names[i] for i in sounds(seed=1).labels]
    assert np.mean(np.array(found) == wanted) == tuned.info.accuracy
