"""Pruning."""

import dataclasses

import numpy as np
import pytest

from tests.making import images, untrained
from zest_jax.models.registry import ModelConfig
from zest_jax.reuse import prune, sparsity_of
from zest_jax.training import Checkpoint, CheckpointInfo, recipe
from zest_jax.training.checkpoints import weights_of

ONE_EPOCH = dataclasses.replace(recipe("fine-tune"), epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def victim():
    return untrained()


def convolutions(checkpoint):
    return {name: w for name, w in weights_of(checkpoint.model).items() if w.ndim == 4}


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8])
def test_the_smallest_weights_of_all_convolutions_together_become_zero(victim, sparsity):
    pruned = prune(victim, sparsity=sparsity)
    before = np.concatenate([w.ravel() for w in convolutions(victim).values()])
    after = np.concatenate([w.ravel() for w in convolutions(pruned).values()])
    removed = after == 0
    assert removed.sum() == round(sparsity * before.size)
    assert np.abs(before[removed]).max() <= np.abs(before[~removed]).min()
    np.testing.assert_array_equal(after[~removed], before[~removed])
    assert sparsity_of(pruned.model) == pytest.approx(sparsity, abs=1e-5)


def test_other_parameters_stay(victim):
    before, after = weights_of(victim.model), weights_of(prune(victim, sparsity=0.5).model)
    for name in before.keys() - convolutions(victim).keys():
        np.testing.assert_array_equal(after[name], before[name])


def test_what_is_zero_stays_so_in_fine_tuning_and_the_rest_moves(victim):
    bare = prune(victim, sparsity=0.5)
    tuned = prune(victim, sparsity=0.5, data=images(), recipe=ONE_EPOCH, seed=1)
    for name, kernel in convolutions(bare).items():
        after = weights_of(tuned.model)[name]
        assert np.all(after[kernel == 0] == 0)
        assert np.any(after[kernel != 0] != kernel[kernel != 0])
    (step,) = tuned.info.lineage
    assert (step.kind, step.parent, step.settings["sparsity"]) == ("prune", victim.fingerprint, 0.5)


def test_accuracy_is_measured_without_training_too(victim):
    data = images()
    pruned = prune(victim, sparsity=0.5, test=data)
    assert pruned.info.accuracy == np.mean(pruned.outputs(data.inputs).argmax(-1) == data.labels)


@pytest.mark.parametrize("sparsity", [0, 1, -0.1, 100, float("nan")])
def test_nothing_and_everything_cannot_be_pruned(victim, sparsity):
    with pytest.raises(ValueError, match=r"above 0 \(nothing\) and below 1 \(all\)"):
        prune(victim, sparsity=sparsity)


def test_a_percentage_is_recognised(victim):
    with pytest.raises(ValueError, match="for 50% give 0.5"):
        prune(victim, sparsity=50)


def test_fine_tuning_needs_data_and_recipe(victim):
    with pytest.raises(ValueError, match="both `data` and `recipe`"):
        prune(victim, sparsity=0.5, data=images())


def test_a_model_without_convolutions_is_refused():
    config = ModelConfig(name="lstm", num_classes=2, options={"vocabulary": 10, "embedding": 4, "hidden": 4})
    model = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(5,)))
    with pytest.raises(ValueError, match="no convolution"):
        prune(model, sparsity=0.5)
