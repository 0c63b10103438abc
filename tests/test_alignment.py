import numpy as np
import pytest
import scipy.spatial.distance
from test_signature import make

from zest_jax.alignment import METRICS, align, class_distances, match_classes

RNG = np.random.default_rng(0)


def one_at_a_time(distances):
    """The authors' greedy, as FIELD.md words it: take the smallest pair, strike its row and column, repeat."""
    left = distances.astype(np.float64).copy()
    pairs = []
    for _ in range(min(left.shape)):
        i, j = np.unravel_index(left.argmin(), left.shape)
        pairs.append((int(i), int(j)))
        left[i, :] = left[:, j] = np.inf
    return sorted(pairs)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 9), (9, 3), (40, 60)])
@pytest.mark.parametrize("levels", [None, 4])
def test_greedy_equals_one_at_a_time(shape, levels):
    for seed in range(10):
        distances = np.random.default_rng(seed).random(shape)
        if levels:  # ties: lower row first, then lower column
            distances = np.floor(distances * levels)
        rows, columns = match_classes(distances, method="greedy")
        assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == one_at_a_time(distances)


def test_greedy_in_its_worst_order():
    # Every pair depends on the one before: nothing can be taken at once.
    n = 50
    distances = np.abs(np.arange(n)[:, None] * 2.0 - np.arange(n)[None] * 2.0 - 1) + np.arange(n)[:, None] * 1e-3
    rows, columns = match_classes(distances, method="greedy")
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == one_at_a_time(distances)


def test_rowwise_goes_down_the_smaller_model():
    distances = np.array([[1.0, 0.0, 5.0], [9.0, 0.5, 7.0]])
    assert match_classes(distances, method="rowwise")[1].tolist() == [1, 2]
    rows, columns = match_classes(distances.T, method="rowwise")
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(1, 0), (2, 1)]


def test_methods_differ_where_they_should():
    distances = np.array([[0.0, 1.0], [0.1, 9.0]])
    assert match_classes(distances, method="greedy")[1].tolist() == [0, 1]
    assert match_classes(distances, method="optimal")[1].tolist() == [1, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_class_distances_equal_scipy(metric):
    a, b = RNG.normal(size=(30, 7)).astype(np.float32), RNG.normal(size=(30, 11)).astype(np.float32)
    name = {"cosine": "cosine", "l1": "cityblock", "l2": "euclidean", "linf": "chebyshev"}[metric]
    expected = scipy.spatial.distance.cdist(a.T.astype(float), b.T.astype(float), name)
    np.testing.assert_allclose(class_distances(a, b, metric=metric), expected, rtol=1e-4, atol=1e-5)


def test_a_class_without_weights_is_at_cosine_distance_one():
    a = np.zeros((4, 2), np.float32)
    a[:, 0] = 1
    assert class_distances(a, a).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", ["greedy", "rowwise", "optimal", "auto"])
def test_any_permutation_is_undone(method, metric):
    a = make(
        weights=RNG.normal(size=(40, 30)).astype(np.float32),
        segment_counts=np.array([40]),
        r2=np.ones((1, 30)),
        variance=np.ones((1, 30)),
    )
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(30)
        found = align(a.select_classes(order), a, method=method, metric=metric)
        assert found.a_classes.tolist() == list(range(30))
        assert found.b_classes.tolist() == order.tolist()


def test_auto_goes_by_name_when_names_agree():
    a, b = make(class_names=("x", "y", "z")), make(class_names=("x", "y", "z"))
    assert align(a, b).method == "none"
    found = align(a, b.select_classes([2, 0, 1]))
    assert found.method == "names"
    assert found.b_classes.tolist() == [1, 2, 0]
    assert align(a, make(class_names=("x", "y", "w"))).method == "greedy"
    assert align(a, make()).method == "greedy"
    assert align(make(class_names=("x", "x", "z")), make(class_names=("x", "x", "z"))).method == "greedy"


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="unknown alignment 'best'"):
        align(make(), make(), method="best")
    with pytest.raises(ValueError, match="has 3 classes and m has 2, so they cannot correspond by index"):
        align(make(), make().select_classes([0, 1]), method="none")
    with pytest.raises(ValueError, match="unknown metric 'l3'"):
        class_distances(make().weights, make().weights, metric="l3")
    with pytest.raises(ValueError, match="5 and 4 features"):
        class_distances(make().weights, make().weights[:4])
    with pytest.raises(ValueError, match="finite matrix"):
        match_classes(np.full((2, 2), np.nan), method="greedy")
    with pytest.raises(ValueError, match="unknown matching"):
        match_classes(np.zeros((2, 2)), method="best")
