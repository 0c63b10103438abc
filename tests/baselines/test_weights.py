"""Cosine of weights."""

import dataclasses

import numpy as np
import pytest
from flax import nnx

from tests.baselines.making import model, noise, on_the_host, weights
from tests.making import M5, sounds, untrained
from zest_jax.baselines import WeightCosine
from zest_jax.blackbox import from_checkpoint, from_jax
from zest_jax.errors import ModelOutputError
from zest_jax.training import start_checkpoint

COMPARE = WeightCosine()


def test_it_is_the_cosine_of_all_kernels_in_a_row():
    a, b = ({**weights(seed), "bias": np.full(3, 9.0, np.float32)} for seed in (0, 1))
    rows = [np.concatenate([w["first"].ravel(), w["second"].ravel()]).astype(np.float64) for w in (a, b)]
    expected = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    boxes = [from_jax(lambda w, x: x.reshape(len(x), -1) @ w["first"] @ w["second"], w) for w in (a, b)]
    assert COMPARE.fingerprint(*boxes, noise(), 0) == pytest.approx(expected, abs=1e-7)


def test_by_hand():
    # (1, 0, 0, 1) and (1, 1, 0, 1): 2 / (sqrt(2) * sqrt(3)).
    a, b = (
        from_jax(lambda w, x: x[:, 0, 0, :2] @ w, np.array(w, np.float32)) for w in ([[1, 0], [0, 1]], [[1, 1], [0, 1]])
    )
    assert COMPARE.fingerprint(a, b, noise(), 0) == pytest.approx(2 / np.sqrt(6))


def test_checkpoints_and_black_boxes_made_of_them_are_alike():
    first, second = untrained(0), untrained(1)
    scores = {
        COMPARE.fingerprint(victim, suspect, noise(), 5)
        for victim in (first, from_checkpoint(first))
        for suspect in (second, from_checkpoint(second))
    }
    assert len(scores) == 1
    assert abs(scores.pop()) < 0.1
    assert COMPARE.fingerprint(first, from_checkpoint(first), noise(), 5) == pytest.approx(1)


def test_running_statistics_and_scales_do_not_count():
    first = untrained(0)
    changed = first.info.model.build(seed=0)
    nnx.update(changed, nnx.state(first.model))
    statistics = nnx.state(changed, nnx.BatchStat)
    nnx.update(changed, nnx.map_state(lambda _, value: value + 1, statistics))
    changed.eval()
    assert COMPARE.fingerprint(first, dataclasses.replace(first, model=changed), noise(), 5) == pytest.approx(1)


def test_noise_takes_a_model_further_away_the_more_there_is():
    scores = [COMPARE.fingerprint(model(0), model(0, nearby=much), noise(), 0) for much in (0, 0.05, 0.5)]
    assert scores[0] > scores[1] > scores[2] > 0


def test_a_suspect_is_asked_nothing():
    assert COMPARE.prepare(model(0), noise(), 0).n_queries == 0


def two_layers(first, classes):
    return from_jax(
        lambda w, x: x.reshape(len(x), -1)[:, :2] @ w["first"] @ w["second"],
        {"first": np.array(first, np.float32), "second": np.ones((2, classes), np.float32)},
    )


def test_a_new_head_is_left_out():
    """By hand: (1, 2, 3, 4) and (4, 3, 2, 1): 20 / 30. The heads have two classes and one."""
    a, b = two_layers([[1, 2], [3, 4]], 2), two_layers([[4, 3], [2, 1]], 1)
    assert COMPARE.fingerprint(a, b, noise(), 0) == pytest.approx(20 / 30)
    same = two_layers([[4, 3], [2, 1]], 2)
    assert COMPARE.fingerprint(a, same, noise(), 0) == pytest.approx((20 + 4) / (30 + 4))


def test_less_than_half_of_the_weights_are_another_architecture():
    with pytest.raises(ValueError, match="second: 2x1 and 2x3"):
        COMPARE.fingerprint(two_layers(np.ones((2, 2)), 1), two_layers(np.ones((2, 2)), 3), noise(), 0)


def test_other_architectures_are_refused_by_what_differs():
    with pytest.raises(
        ValueError, match=r"network 0 and network 1 have different architectures .*first: 192x16 and 192x40"
    ):
        COMPARE.fingerprint(model(0), model(1, hidden=40), noise(), 0)
    with pytest.raises(
        ValueError, match=r"resnet20 and m5 have different architectures .* in all\)\), so that most weights"
    ):
        COMPARE.fingerprint(untrained(), start_checkpoint(M5, sounds(), seed=0), noise(), 0)


def test_models_that_show_no_weights_are_refused():
    with pytest.raises(
        TypeError, match="weight cosine compares weights, which a _CallableBlackBox does not show; give a checkpoint"
    ):
        COMPARE.prepare(on_the_host(0), noise(), 0)
    with pytest.raises(TypeError, match="closed holds no kernels: its weights, if it has any, are inside a function"):
        COMPARE.prepare(model(0), noise(), 0).score(from_jax(lambda x: x.mean((1, 2)), label="closed"))


def test_weights_that_are_not_finite_are_refused():
    state = weights(0)
    state["second"][0, 0] = np.nan
    with pytest.raises(ModelOutputError, match="broken has weights that are not finite, first in second"):
        COMPARE.prepare(from_jax(lambda w, x: x.reshape(len(x), -1) @ w["first"], state, label="broken"), noise(), 0)
