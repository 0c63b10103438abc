"""Recipes: their learning rates and optimisers, against the paper and against PyTorch."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from zest_jax.training import Recipe, recipe, recipe_names


def rates(how, steps_per_epoch, epochs):
    """Learning rate of the first step of each epoch and of its last."""
    schedule = how.learning_rates(steps_per_epoch)
    return [
        (float(schedule(epoch * steps_per_epoch)), float(schedule((epoch + 1) * steps_per_epoch - 1)))
        for epoch in epochs
    ]


def test_the_papers_cifar10_rates():
    how = recipe("paper-cifar10")
    assert (how.epochs, how.batch_size, how.momentum, how.weight_decay) == (200, 128, 0.9, 1e-4)
    found = np.ravel(rates(how, 390, [0, 99, 100, 149, 150, 199]))
    np.testing.assert_allclose(found, np.repeat([0.1, 0.1, 0.01, 0.01, 0.001, 0.001], 2), rtol=1e-6)


def test_the_papers_cifar100_rates():
    how = recipe("paper-cifar100")
    assert (how.weight_decay, how.augment.rotation_degrees) == (5e-4, 15.0)
    found = np.ravel(rates(how, 390, [59, 60, 119, 120, 159, 160]))
    np.testing.assert_allclose(found, np.repeat([0.1, 0.02, 0.02, 0.004, 0.004, 0.0008], 2), rtol=1e-6)


def test_one_cycle_goes_up_to_the_top_and_down_to_zero():
    how = Recipe(epochs=4, learning_rate=0.2, schedule="one-cycle", warmup=0.25)
    found = np.array([float(how.learning_rates(10)(step)) for step in range(41)])
    assert 0 < found[0] < found[5] < found[10]
    assert found.argmax() == 10
    np.testing.assert_allclose(found[10], 0.2, rtol=1e-6)
    assert np.all(np.diff(found[10:]) < 0)
    np.testing.assert_allclose(found[40], 0, atol=1e-9)


def test_cosine_and_constant():
    how = Recipe(epochs=2, learning_rate=0.1, schedule="cosine")
    found = [float(how.learning_rates(10)(step)) for step in (0, 10, 20)]
    np.testing.assert_allclose(found, [0.1, 0.05, 0.0], atol=1e-8)
    assert float(Recipe(learning_rate=0.3).learning_rates(10)(7)) == pytest.approx(0.3)


def descend(transform, start, gradients):
    weights, state = jnp.asarray(start), transform.init(jnp.asarray(start))
    for gradient in gradients:
        updates, state = transform.update(jnp.asarray(gradient), state, weights)
        weights = optax.apply_updates(weights, updates)
    return np.asarray(weights)


def descend_in_torch(make, start, gradients, milestones=(), factor=1.0):
    weights = torch.tensor(start, requires_grad=True)
    optimizer = make([weights])
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(milestones), factor)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        optimizer.step()
        schedule.step()
    return weights.detach().numpy()


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_pytorchs(nesterov):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=7).astype(np.float32), rng.normal(size=(8, 7)).astype(np.float32)
    how = Recipe(epochs=4, nesterov=nesterov, weight_decay=0.05, schedule="steps", milestones=(2, 3), learning_rate=0.3)
    ours = descend(how.transform(2), start, gradients)
    theirs = descend_in_torch(
        lambda weights: torch.optim.SGD(weights, 0.3, 0.9, weight_decay=0.05, nesterov=nesterov),
        start,
        gradients,
        milestones=(4, 6),
        factor=0.1,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_adamw_is_pytorchs():
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=7).astype(np.float32), rng.normal(size=(8, 7)).astype(np.float32)
    ours = descend(Recipe(optimizer="adamw", learning_rate=0.01, weight_decay=0.1).transform(8), start, gradients)
    theirs = descend_in_torch(lambda weights: torch.optim.AdamW(weights, 0.01, weight_decay=0.1), start, gradients)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_without_momentum_nothing_is_remembered():
    how = Recipe(momentum=0.0, learning_rate=0.5)
    np.testing.assert_allclose(descend(how.transform(1), [1.0], [[1.0], [0.0]]), [0.5])


def test_the_size_of_images_changes_at_a_share_of_the_steps():
    how = recipe("fast-cifar")
    assert [how.stretches(epoch, 10) for epoch in range(4)] == [
        [(0, 10, 0.5)],
        [(0, 10, 0.5)],
        [(0, 10, 0.75)],
        [(0, 10, 1.0)],
    ]
    three = how.lasting(3)
    assert [three.stretches(epoch, 10) for epoch in range(3)] == [
        [(0, 10, 0.5)],
        [(0, 5, 0.5), (5, 10, 0.75)],
        [(0, 2, 0.75), (2, 10, 1.0)],
    ]
    # However many steps there are, each is in one stretch, and the last shows the images as they will be asked.
    for epochs in range(1, 6):
        for steps in (1, 3, 7):
            found = [how.lasting(epochs).stretches(epoch, steps) for epoch in range(epochs)]
            assert all(part[0][0] == 0 and part[-1][1] == steps for part in found)
            assert all(one[1] == other[0] for part in found for one, other in itertools.pairwise(part))
            assert found[-1][-1][2] == 1.0
    assert Recipe(epochs=2).stretches(1, 5) == how.lasting(1).stretches(0, 5) == [(0, 5, 1.0)]


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_json(name):
    how = recipe(name)
    again = Recipe.from_json(json.loads(json.dumps(how.to_json())))
    assert again == how
    assert hash(again) == hash(how)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_makes_an_optimiser(name):
    state = jax.eval_shape(recipe(name).transform(10).init, {"w": jnp.zeros(3)})
    assert jax.tree.leaves(state)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="no recipe 'paper'; choose audio, fast-cifar, fine-tune, paper-cifar10"):
        recipe("paper")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "`epochs` is 0; give at least 1"),
        ({"batch_size": 0}, "`batch_size` is 0; give at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0; give a number above 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` is nan"),
        ({"momentum": 1.0}, r"`momentum` is 1.0; give a number in \[0, 1\)"),
        ({"label_smoothing": -0.1}, "`label_smoothing` is -0.1"),
        ({"weight_decay": -1.0}, "`weight_decay` is -1.0; give 0 or more"),
        ({"warmup": 1.0}, "`warmup` is 1.0"),
        ({"optimizer": "lamb"}, "`optimizer` is 'lamb'; choose sgd, adamw"),
        ({"schedule": "linear"}, "`schedule` is 'linear'; choose constant, steps, one-cycle, cosine"),
        ({"dtype": "float16"}, "`dtype` is 'float16'; choose float32, bfloat16"),
        ({"progressive": ((0.5, 0.5), (0.2, 1.0))}, "`progressive` is .*ascending"),
        ({"progressive": ((1.0, 0.5),)}, "`until` ascending and below 1"),
        ({"progressive": ((0.5, 1.5),)}, r"`scale` in \(0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)
