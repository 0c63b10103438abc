import dataclasses

import numpy as np
import pytest
from many_models import copy_of, model

import zest_jax as zest
from zest_jax.errors import ProbeMismatchError
from zest_jax.intervals import distance_interval
from zest_jax.screening.exact import alignment_of

COUNTS = np.full(40, 5, np.int32)


def pair(seed=0, noise=0.5):
    a = model("a", seed, counts=COUNTS)
    return a, copy_of(a, "b", noise=noise, seed=seed + 1000)


def test_it_is_that_of_signatures_around_drawn_references():
    a, b = pair()
    found = zest.align(a, b)
    got = distance_interval(a, b, align_by=found, resamples=300, seed=3)
    drawn = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=300)
    distances = []
    for counts in drawn:
        rows = np.repeat(np.arange(40), counts)
        distances.append(zest.distance(a.select_references(rows), b.select_references(rows), align=found))
    np.testing.assert_allclose(got[:2], np.quantile(distances, [0.025, 0.975]), rtol=1e-6)
    assert got.level == 0.95


def test_it_covers_the_distance_of_all_references_about_as_often_as_it_says():
    # Models of 4,000 references, of which 40 were asked: how often does the interval hold the distance of all?
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(60):
        weights = rng.normal(size=(4000, 2)) * rng.lognormal(0, 0.5, (4000, 1))
        other = weights + 0.7 * rng.normal(size=weights.shape)
        truth = 1 - np.vdot(weights, other) / np.linalg.norm(weights) / np.linalg.norm(other)
        counts = np.ones(40, np.int32)
        a, b = (
            model("m", 0, classes=2, counts=counts, weights=each[:40].astype(np.float32)) for each in (weights, other)
        )
        interval = distance_interval(a, b, align_by="none", resamples=300, seed=trial)
        inside += interval.low <= truth <= interval.high
    assert 0.8 < inside / 60 <= 1


def test_more_references_make_it_narrower_and_a_lower_level_too():
    a, b = pair()
    few = distance_interval(a.select_references(range(10)), b.select_references(range(10)))
    many, lower = distance_interval(a, b), distance_interval(a, b, level=0.5)
    assert many.high - many.low < few.high - few.low
    assert lower.high - lower.low < many.high - many.low
    assert many.low < zest.distance(a, b) < many.high


def test_a_model_and_itself():
    a, _ = pair()
    interval = distance_interval(a, a)
    assert interval.low == 0
    assert interval.high < 1e-12


@pytest.mark.parametrize("align", ["auto", "greedy"])
def test_alignments_are_those_of_align(align):
    names = ("w", "x", "y", "z")
    a = model("a", 0, class_names=names)
    for b in (model("b", 1), a.select_classes([2, 0, 3, 1]), model("c", 2, classes=3), model("d", 3, classes=6)):
        expected, found = zest.align(a, b, method=align), alignment_of(a, b, align=align)
        assert found.a_classes.tolist() == expected.a_classes.tolist()
        assert found.b_classes.tolist() == expected.b_classes.tolist()
        assert found.method == expected.method


def test_what_has_no_interval():
    a, b = pair()
    for settings, message in (({"level": 1.0}, "`level` is 1.0"), ({"resamples": 5}, "`resamples` is 5")):
        with pytest.raises(ValueError, match=message):
            distance_interval(a, b, **settings)
    with pytest.raises(ValueError, match="a has 1 reference; an interval over references needs two"):
        distance_interval(a.select_references([0]), b.select_references([0]))
    with pytest.raises(ProbeMismatchError):
        distance_interval(a, dataclasses.replace(b, probe_hash="cd" * 32))
