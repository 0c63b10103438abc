import dataclasses

import numpy as np
import pytest
import scipy.spatial.distance
from test_signature import make

import zest_jax as zest
from zest_jax.alignment import METRICS
from zest_jax.errors import DegenerateSignatureError, ProbeMismatchError

RNG = np.random.default_rng(0)
ONES = {"r2": np.ones((2, 3), np.float32), "variance": np.ones((2, 3), np.float32)}
A, B, C = (make(**ONES, weights=RNG.normal(size=(5, 3)).astype(np.float32), label=name) for name in "abc")
SCIPY = {"cosine": "cosine", "l1": "cityblock", "l2": "euclidean", "linf": "chebyshev"}


@pytest.mark.parametrize("metric", METRICS)
def test_without_alignment_it_is_scipys(metric):
    expected = getattr(scipy.spatial.distance, SCIPY[metric])(
        A.weights.ravel().astype(float), B.weights.ravel().astype(float)
    )
    assert zest.distance(A, B, metric=metric, align="none") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", ["none", "greedy", "rowwise", "optimal", "auto"])
def test_zero_to_itself_and_symmetric(metric, method):
    assert zest.distance(A, A, metric=metric, align=method) == pytest.approx(0, abs=1e-7)
    if method != "rowwise":  # which goes by the order of the first model's classes
        assert zest.distance(A, B, metric=metric, align=method) == pytest.approx(
            zest.distance(B, A, metric=metric, align=method)
        )


@pytest.mark.parametrize("metric", METRICS)
def test_aligned_distance_ignores_the_order_of_classes(metric):
    shuffled = B.select_classes([1, 2, 0])
    assert zest.distance(A, shuffled, metric=metric) == pytest.approx(zest.distance(A, B, metric=metric), rel=1e-6)


def test_cosine_ignores_scale_and_others_do_not():
    double = dataclasses.replace(A, weights=2 * A.weights)
    assert zest.distance(A, double) == pytest.approx(0, abs=1e-7)
    assert zest.distance(A, double, metric="l2") > 1


def test_fewer_classes_are_compared_with_the_ones_they_match():
    assert zest.distance(A.select_classes([2, 0]), A) == pytest.approx(0, abs=1e-7)


def test_an_alignment_found_before_can_be_used():
    found = zest.align(A, B)
    assert zest.distance(A, B, align=found) == zest.distance(A, B)


@pytest.mark.parametrize(
    ("a_classes", "b_classes", "message"),
    [
        ([0, 0], [1, 2], "named once"),
        ([0, 1], [1, 3], "one of its 3"),
        ([-1, 1], [1, 2], "one of its 3"),
        ([0, 1, 2], [0, 1], "matches 3 classes with 2"),
        ([], [], "named once"),
    ],
)
def test_an_alignment_that_is_none_is_refused(a_classes, b_classes, message):
    with pytest.raises(ValueError, match=message):
        zest.distance(A, B, align=zest.Alignment(np.array(a_classes, int), np.array(b_classes, int), "mine"))


def test_matrix_holds_all_pairs():
    matrix = zest.distance_matrix([A, B, C])
    assert (np.diag(matrix) == 0).all()
    assert matrix[0, 2] == matrix[2, 0] == zest.distance(A, C)
    assert matrix[1, 2] == zest.distance(B, C)


def test_signatures_of_different_probes_are_refused_and_both_named():
    with pytest.raises(
        ProbeMismatchError, match="a was signed with probe set abababababababab, b with cdcdcdcdcdcdcdcd"
    ):
        zest.distance(A, dataclasses.replace(B, probe_hash="cd" * 32))


def test_signatures_of_different_fits_are_refused():
    ridge, plain = ({"solve": {"ridge": r, "solver": "factored"}} for r in (1.0, 0.0))
    with pytest.raises(ProbeMismatchError, match="a and b were fitted differently"):
        zest.distance(dataclasses.replace(A, settings=ridge), dataclasses.replace(B, settings=plain))
    other_solver = {"solve": {"ridge": 0.0, "solver": "lstsq"}}
    zest.distance(dataclasses.replace(A, settings=other_solver), dataclasses.replace(B, settings=plain))


def test_signatures_without_information_are_refused():
    zero = dataclasses.replace(B, weights=np.zeros_like(B.weights))
    with pytest.raises(
        DegenerateSignatureError, match="signature of b says nothing about the model: all its weights are 0"
    ):
        zest.distance(A, zero)
    constant = dataclasses.replace(B, variance=np.zeros_like(B.variance))
    with pytest.raises(DegenerateSignatureError, match="the same outputs whatever was masked"):
        zest.distance_matrix([A, constant])


def test_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'l3'"):
        zest.distance(A, B, metric="l3", align="none")


def test_relative_distance_is_the_papers_equation_1():
    np.testing.assert_allclose(zest.relative_distance(np.array([0.1, 0.6]), [0.5, 0.7]), [1 / 6, 1.0])


@pytest.mark.parametrize(
    ("unrelated", "message"),
    [
        ([], "`unrelated` is empty"),
        ([np.nan], "finite distances"),
        ([-1.0], "finite distances"),
        ([0.0], "mean above 0"),
    ],
)
def test_useless_calibration_is_refused(unrelated, message):
    with pytest.raises(ValueError, match=message):
        zest.relative_distance(0.1, unrelated)
