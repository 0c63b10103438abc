import numpy as np
import pytest

from zest_jax.verdicts import verdict


def test_bound_is_the_prediction_limit_by_hand():
    unrelated = [0.5, 0.6, 0.7, 0.6]
    # Four pairs with variance 0.02 / 3, and a prior worth two with variance 0.06 ** 2: five degrees of freedom.
    variance = (0.02 + 2 * 0.06**2) / 5
    limit = 0.6 - 2.015048 * np.sqrt(variance) * np.sqrt(1.25)
    got = verdict(0.2, unrelated)
    assert got.bound == pytest.approx(limit / 0.6, rel=1e-6)
    assert got.relative == pytest.approx(0.2 / 0.6)
    assert got.related is True
    assert "related: nearer than unrelated models get (0.33 < 0.72)" in got.text


def test_two_pairs_that_happen_to_agree_do_not_set_the_bound_near_one():
    assert verdict(0.537, [0.561, 0.565]).related is False
    assert 0.7 < verdict(0.537, [0.561, 0.565]).bound < 0.8


def test_unrelated_pairs_are_called_related_about_as_often_as_alpha_says():
    # A little less often when their spread is that of the prior, which then adds what the pairs alone do not know.
    rng = np.random.default_rng(0)
    draws = rng.normal(1.0, 0.1, size=(4000, 6))
    wrong = np.mean([verdict(row[0], row[1:], alpha=0.05).related is True for row in draws])
    assert 0.03 < wrong < 0.055


def test_it_says_when_it_cannot_tell():
    assert verdict(0.0, [0.6]).related is None
    assert "can't tell: 1 unrelated pair is too few" in verdict(0.0, [0.6]).text
    assert verdict(0.0, [0.1, 0.9]).related is None
    assert "vary too much" in verdict(0.0, [0.1, 0.9]).text


def test_a_far_pair_shows_no_relation():
    got = verdict(0.6, [0.58, 0.6, 0.62])
    assert got.related is False
    assert "no sign of a relation" in got.text


def test_bad_alpha_is_refused():
    with pytest.raises(ValueError, match="`alpha` is 0"):
        verdict(0.1, [0.5, 0.6], alpha=0)
