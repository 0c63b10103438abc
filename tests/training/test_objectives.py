"""Losses against PyTorch's."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.special import softmax

from zest_jax.training import CrossEntropy, MatchLogits
from zest_jax.training.objectives import labels_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (6, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 6).astype(np.int32)


def answer(objective, targets, logits=LOGITS):
    """Loss of a model that answers with its inputs."""
    loss, outputs = objective(lambda x: x, jnp.asarray(logits), jnp.asarray(targets), None)
    np.testing.assert_array_equal(outputs, logits)
    return float(loss)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_with_labels(smoothing):
    wanted = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS), torch.tensor(LABELS).long(), label_smoothing=smoothing
    )
    assert answer(CrossEntropy(label_smoothing=smoothing), LABELS) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_probabilities(smoothing):
    targets = softmax(RNG.normal(size=(6, 4)), axis=-1).astype(np.float32)
    # Those of a victim are learnt as they are: smoothing is for labels.
    wanted = torch.nn.functional.cross_entropy(torch.tensor(LOGITS), torch.tensor(targets))
    assert answer(CrossEntropy(label_smoothing=smoothing), targets) == pytest.approx(float(wanted), rel=1e-5)


def test_certain_wrong_answers_give_a_finite_loss():
    logits = np.array([[1e4, -1e4, 0, 0]], np.float32)
    assert float(labels_loss(jnp.asarray(logits), jnp.asarray([1]))) == pytest.approx(2e4)


def test_matching_logits_leaves_out_what_all_classes_share():
    targets = RNG.normal(size=(6, 4)).astype(np.float32)
    ours, theirs = LOGITS - LOGITS.mean(-1, keepdims=True), targets - targets.mean(-1, keepdims=True)
    wanted = float(((ours - theirs) ** 2).mean())
    assert answer(MatchLogits(), targets) == pytest.approx(wanted, rel=1e-5)
    assert answer(MatchLogits(), targets + np.arange(6, dtype=np.float32)[:, None]) == pytest.approx(wanted, rel=1e-4)
    assert answer(MatchLogits(), LOGITS + 5) == pytest.approx(0, abs=1e-9)


def test_equal_objectives_share_a_compilation():
    assert hash(CrossEntropy(label_smoothing=0.1)) == hash(CrossEntropy(label_smoothing=0.1))
    assert CrossEntropy(label_smoothing=0.1) != CrossEntropy()
