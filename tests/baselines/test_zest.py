"""Zest under the interface of its peers."""

import dataclasses
from typing import Any

import pytest
from scipy.special import softmax

import zest_jax
from tests.baselines.making import GRID, model, network, noise, on_the_host, weights
from tests.making import sounds
from zest_jax.baselines import Zest
from zest_jax.blackbox import batches, from_callable, from_jax
from zest_jax.errors import DegenerateSignatureError, ProbeMismatchError

QUICK = Zest(**GRID)


def test_the_score_is_minus_the_distance_of_signatures():
    data = noise(12)
    method = Zest(n_references=6, n_samples=20, fewest_samples=20, **GRID)
    probes = zest_jax.image_probes(data.inputs, 6, 20, 3, **GRID)
    a, b = (zest_jax.sign(model(seed), probes) for seed in (0, 1))
    score = method.fingerprint(model(0), model(1), data, 10_000, seed=3)
    assert score == pytest.approx(-zest_jax.distance(a, b), abs=1e-5)
    assert score < -0.1
    l1 = dataclasses.replace(method, metric="l1").fingerprint(model(0), model(1), data, 10_000, seed=3)
    assert l1 == pytest.approx(-zest_jax.distance(a, b, metric="l1"), rel=1e-4)


@pytest.mark.parametrize(
    ("budget", "available", "expected"), [(100, 10, (4, 25)), (1000, 10, (10, 100)), (12, 10, (1, 12))]
)
def test_a_budget_is_split_into_references_and_masks(budget, available, expected):
    assert Zest().split(budget, available) == expected


def test_what_repeats_save_is_spent_on_more_references():
    # Four segments have 16 masks, so that 25 draws repeat many.
    prepared: Any = QUICK.prepare(model(0), noise(), 100)
    assert prepared.probes.n_references > 4
    assert 75 < prepared.n_queries <= 100


def test_with_all_references_it_is_spent_on_more_masks():
    method = Zest(n_references=2, **{**GRID, "segmenter_settings": {"rows": 3, "columns": 3}})
    prepared: Any = method.prepare(model(0), noise(), 200)
    assert prepared.probes.n_references == 2
    assert prepared.probes.n_samples > 100
    assert 180 < prepared.n_queries <= 200


def test_what_fills_a_batch_up_is_not_asked(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ELEMENTS", {"cpu": 1})
    asked = []
    prepared = QUICK.prepare(model(0), noise(), 97)
    score = prepared.score(on_the_host(1, asked=asked))
    assert asked == [16] * (prepared.n_queries // 16) + [prepared.n_queries % 16]
    assert asked[-1] > 0
    assert score == pytest.approx(prepared.score(model(1)), abs=1e-4)


def test_a_model_that_takes_one_batch_size_alone_gets_it():
    asked = []

    def answer(x):
        asked.append(len(x))
        return network(weights(1), x)

    fixed = from_callable(answer, fixed_batch=7)
    score = QUICK.prepare(model(0), noise(), 40).score(fixed)
    assert set(asked) == {7}
    assert score == pytest.approx(QUICK.fingerprint(model(0), model(1), noise(), 40), abs=1e-4)


def test_the_order_of_classes_and_their_number_do_not_matter():
    prepared = QUICK.prepare(model(0), noise(), 200)
    assert prepared.score(model(0, permutation=(2, 0, 1))) == pytest.approx(0, abs=1e-4)
    assert prepared.score(model(1, classes=7)) < -0.05


def test_fits_that_masks_do_not_determine_are_made_all_the_same():
    method = Zest(fewest_samples=5, segmenter="grid", segmenter_settings={"rows": 4, "columns": 4})
    prepared: Any = method.prepare(model(0), noise(), 20)
    assert prepared.probes.n_samples < prepared.probes.max_segments
    assert prepared.score(model(0)) == pytest.approx(0, abs=1e-6)
    assert prepared.score(model(1)) < -0.1


def test_logits_and_probabilities_are_compared_only_on_request():
    careful = from_callable(lambda x: softmax(network(weights(0), x), axis=1), label="careful")
    with pytest.raises(ProbeMismatchError, match="sign both with targets='probabilities'"):
        QUICK.fingerprint(model(0), careful, noise(), 40)
    score = Zest(scores="probabilities", **GRID).fingerprint(model(0), careful, noise(), 40)
    assert score == pytest.approx(0, abs=1e-4)


def test_a_victim_that_never_changes_its_answer_is_refused():
    constant = from_jax(lambda x: 0 * x.mean((1, 2)), label="constant")
    with (
        pytest.raises(DegenerateSignatureError),
        pytest.warns(UserWarning, match="constant gave the same outputs whatever"),
    ):
        QUICK.prepare(constant, noise(), 40)


def test_sounds_of_unknown_rate_are_refused():
    with pytest.raises(
        ValueError, match="the rate of the sounds in tones is not known, and Zest needs it; give the data its `rate`"
    ):
        Zest().prepare(from_jax(lambda x: x[:, :3]), sounds(), 100)


@pytest.mark.parametrize("wrong", [{"n_references": 0}, {"fewest_samples": 1}, {"n_samples": 10}])
def test_settings_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}`.*{wrong[name]}.*; give at least 1 reference"):
        Zest(**wrong)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="`metric` is 'chebyshev'; choose one of cosine, l1, l2, linf"):
        Zest(metric="chebyshev")
