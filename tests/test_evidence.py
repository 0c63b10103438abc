import numpy as np
import pytest
from many_models import copy_of, model

import zest_jax as zest
from zest_jax.evidence import reference_distances, shown_class, spread_over

NAN = float("nan")


@pytest.fixture
def pair():
    a = model("a", 0)
    return a, copy_of(a, "b", noise=0.4, seed=1, classes=[2, 0, 3, 1])


def test_local_distances_are_those_of_each_reference_alone(pair):
    a, b = pair
    matched = zest.align(a, b, method="greedy")
    found = reference_distances(a, b, matched)
    expected = [zest.distance(a.select_references([i]), b.select_references([i]), align=matched) for i in range(3)]
    np.testing.assert_allclose(found.distances, expected, atol=1e-12)


def test_shares_are_never_negative_and_add_up_to_the_distance(pair):
    a, b = pair
    matched = zest.align(a, b, method="greedy")
    shares = reference_distances(a, b, matched).shares
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)
    x, y = a.weights[:, matched.a_classes].astype(float), b.weights[:, matched.b_classes].astype(float)
    first = (x / np.linalg.norm(x) - y / np.linalg.norm(y))[: a.segment_counts[0]]
    assert shares[0] * zest.distance(a, b, align=matched) == pytest.approx((first**2).sum() / 2, rel=1e-6)


def test_equal_models_have_no_shares_and_empty_references_no_distance(pair):
    a, _ = pair
    same = zest.align(a, a)
    assert np.isnan(reference_distances(a, a, same).shares).all()
    np.testing.assert_allclose(reference_distances(a, a, same).distances, 0, atol=1e-12)
    weights = a.weights.copy()
    weights[: a.segment_counts[0]] = 0
    b = model("b", 1, weights=weights)
    found = reference_distances(a, b, same)
    assert np.isnan(found.distances).tolist() == [True, False, False]
    assert found.shares[0] > 0


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, [3]), (2, [4, 0]), (3, [4, 3, 0]), (5, [4, 1, 3, 2, 0]), (9, [4, 1, 3, 2, 0])],
)
def test_references_are_chosen_at_even_ranks(n, expected):
    assert spread_over(np.array([0.9, 0.2, 0.7, 0.5, 0.1, NAN]), n) == expected


def test_a_choice_of_nothing_is_refused():
    with pytest.raises(ValueError, match="`n` is 0; give at least 1"):
        spread_over(np.zeros(3), 0)
    assert spread_over(np.full(3, NAN), 2) == []


def test_the_class_shown_is_the_suspects_answer_and_its_match(pair):
    a, b = pair
    matched = zest.align(a, b, method="greedy")
    of_a, of_b, answered = shown_class(a, matched, 1)
    assert of_a == answered == a.of_reference(1).sum(axis=0).argmax()
    assert [2, 0, 3, 1][of_b] == of_a
    lifted = model("a", 0, intercept=np.eye(3, 4, dtype=np.float32) * 1000)
    assert shown_class(lifted, matched, 2)[::2] == (2, 2)


@pytest.mark.parametrize(("higher", "shown"), [(0, (0, 1)), (1, (1, 3))])
def test_a_class_that_is_matched_with_none_is_answered_and_not_shown(higher, shown):
    intercept = np.zeros((3, 4), np.float32)
    intercept[2, [2, higher]] = 1000, 500
    few = zest.Alignment(np.array([0, 1]), np.array([1, 3]), "given")
    assert shown_class(model("a", 0, intercept=intercept), few, 2) == (*shown, 2)


def test_models_below_the_rounding_of_distances_are_equal(pair):
    a, _ = pair
    nearly = copy_of(a, "b", noise=1e-6, seed=1)
    same = zest.align(a, nearly, method="none")
    assert 1e-13 < zest.distance(a, nearly, align=same) < 1e-9
    assert np.isnan(reference_distances(a, nearly, same).shares).all()
