"""Every architecture against its twin in PyTorch with the same weights, in evaluation and in training mode."""

import copy
import functools

import jax
import numpy as np
import pytest
import torch
from flax import nnx

from tests.models.carrying import CASES, PADDED, kernel_of, make_pair, norms, outputs_of_ours
from tests.models.torch_twins import TwinLSTM

pair = functools.cache(make_pair)


def channels_last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


@pytest.mark.parametrize("case", CASES)
def test_evaluation_agrees_with_the_twin(case):
    p = pair(case)
    logits, features, statistics = outputs_of_ours(p.model, p.inputs)
    with torch.no_grad():
        wanted = p.twin(p.torch_inputs()).numpy()
        stages = p.twin.stages(p.torch_inputs()) if not isinstance(p.twin, TwinLSTM) else ()
    assert wanted.std() > 0.05  # it would agree on nothing if all outputs were alike
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert len(features) == 4
    for ours, theirs in zip(features, stages):
        np.testing.assert_allclose(ours, channels_last(theirs), atol=1e-4)
    for path, norm in norms(p.model, p.twin):
        np.testing.assert_array_equal(statistics[(*path, "mean")], norm.running_mean.numpy())


@pytest.mark.parametrize("case", [case for case in CASES if case != "lstm"])
def test_training_mode_agrees_with_the_twin_and_variances_up_to_bessels_correction(case):
    p = pair(case)
    twin = copy.deepcopy(p.twin).train()
    model = nnx.clone(p.model)
    model.train()
    counts = {}
    for layer in twin.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.register_forward_hook(lambda m, x, _: counts.__setitem__(m, x[0].numel() // x[0].shape[1]))
    with torch.no_grad():
        wanted = twin(p.torch_inputs()).numpy()
    logits, _, statistics = outputs_of_ours(model, p.inputs)
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    before = [norm for _, norm in norms(p.model, p.twin)]
    for (path, norm), old in zip(norms(model, twin), before):
        np.testing.assert_allclose(statistics[(*path, "mean")], norm.running_mean.numpy(), atol=1e-5)
        kept = 0.9 * old.running_var.numpy()
        ours, theirs = statistics[(*path, "var")] - kept, norm.running_var.numpy() - kept
        n = counts[norm]
        # PyTorch averages the unbiased variance, n / (n - 1) times the biased one that it normalises with.
        np.testing.assert_allclose(ours * n / (n - 1), theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", ["resnet20", "m5", "lstm"])
def test_gradients_in_training_mode_agree_with_the_twin(case):
    p = pair(case)
    twin = copy.deepcopy(p.twin).train()
    labels = np.arange(len(p.inputs)) % 10
    torch.nn.functional.cross_entropy(twin(p.torch_inputs()), torch.tensor(labels)).backward()
    wanted = [q.grad for name, q in twin.named_parameters() if name != "lstm.bias_ih_l0"]
    model = nnx.clone(p.model)
    model.train()

    def loss(model):
        logits = model(p.inputs)
        return -jax.nn.log_softmax(logits)[np.arange(len(labels)), labels].mean()

    found = dict(nnx.to_flat_state(nnx.jit(nnx.grad(loss))(model)))
    for path, theirs in zip(model.depth_order(), wanted):
        theirs = kernel_of(theirs) if path[-1] == "kernel" else theirs.numpy()
        if case == "lstm" and path[-1] == "embedding":
            theirs[0] = 0
        # Rounding decides which of two nearly equal samples a max pooling takes, and so where its gradient goes; a mistake
        # would be of the gradient's own size.
        apart = np.linalg.norm(found[path][...] - theirs)
        assert apart <= (0.05 if case == "m5" else 1e-3) * np.linalg.norm(theirs) + 1e-4, path


def test_padding_behind_a_text_changes_nothing():
    p = pair("lstm")
    longer = np.pad(PADDED, ((0, 0), (0, 5)))
    np.testing.assert_allclose(p.model(longer), p.model(PADDED), atol=1e-6)


def test_order_of_tokens_matters():
    p = pair("lstm")
    assert np.abs(p.model(PADDED[:1, ::-1]) - p.model(PADDED[:1])).max() > 1e-3


def test_a_text_of_padding_alone_is_pooled_to_zeros_and_has_finite_gradients():
    p = pair("lstm")
    empty = np.zeros((2, 6), np.int32)
    np.testing.assert_array_equal(p.model(empty), np.tile(p.model.head.bias[...], (2, 1)))
    gradients = nnx.jit(nnx.grad(lambda model: (model(empty) ** 2).sum()))(p.model)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_ids_beyond_the_vocabulary_give_nan_rather_than_another_word():
    assert np.isnan(pair("lstm").model(np.array([[3, 12]], np.int32))).all()
