"""Transfer and fine-tuning."""

import dataclasses

import numpy as np
import pytest

from tests.making import images, untrained
from zest_jax.reuse import fine_tune, transfer
from zest_jax.reuse.transfer import last_parameters
from zest_jax.training import recipe
from zest_jax.training.checkpoints import fingerprint, weights_of

ONE_EPOCH = dataclasses.replace(recipe("fine-tune"), epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def victim():
    return untrained()


def changed(before, after):
    a, b = weights_of(before.model), weights_of(after.model)
    return {name for name in a if a[name].shape != b[name].shape or not np.array_equal(a[name], b[name])}


# ResNet20 has 19 convolutions, each with the two parameters of its normalisation, and the head's two: 59 tensors.
@pytest.mark.parametrize(("share", "tensors"), [(1, 2), (10, 6), (50, 30), (100, 59)])
def test_a_share_of_the_parameter_tensors_is_trained_from_the_output(victim, share, tensors):
    names = last_parameters(victim.model, share)
    assert len(names) == tensors
    assert names[-2:] == ["head.kernel", "head.bias"]


def test_only_the_chosen_parameters_and_their_statistics_change(victim):
    result = fine_tune(victim, images(), ONE_EPOCH, share=10, seed=1)
    trained = set(last_parameters(victim.model, 10))
    different = changed(victim, result.checkpoint)
    assert trained <= different
    for name in different - trained:
        layer, _, part = name.rpartition(".")
        assert part in ("mean", "var"), name
        assert {f"{layer}.scale", f"{layer}.bias"} & trained, name


def test_transfer_gives_a_head_for_the_new_classes_and_keeps_the_normalisation(victim):
    other = dataclasses.replace(images(classes=5, seed=3, name="others"), mean=(0.1, 0.1, 0.1), std=(1.0, 1.0, 1.0))
    result = transfer(victim, other, ONE_EPOCH, share=50, seed=1, test=other)
    info = result.checkpoint.info
    assert info.model.num_classes == 5
    assert info.class_names == other.class_names
    assert (info.mean, info.std) == (victim.info.mean, victim.info.std)
    assert info.dataset == "others"
    assert result.checkpoint.outputs(other.inputs).shape == (24, 5)
    (step,) = info.lineage
    assert (step.kind, step.parent, step.settings["share"]) == ("transfer", victim.fingerprint, 50)


def test_the_victim_stays_as_it_is(victim):
    before = fingerprint(weights_of(victim.model))
    transfer(victim, images(classes=5), ONE_EPOCH, share=100, seed=1)
    assert fingerprint(weights_of(victim.model)) == before


@pytest.mark.parametrize("share", [0, -5, 101])
def test_shares_outside_of_their_range_are_refused(victim, share):
    with pytest.raises(ValueError, match="above 0 and up to 100"):
        transfer(victim, images(), ONE_EPOCH, share=share, seed=0)


def test_fine_tuning_refuses_another_number_of_classes(victim):
    with pytest.raises(
        ValueError, match="noise has 5 classes and the model, whose head is kept, 3; give data with as many"
    ):
        fine_tune(victim, images(classes=5), ONE_EPOCH, seed=0)
