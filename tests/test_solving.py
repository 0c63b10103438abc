"""Local fits against a planted truth and against float64 SciPy."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.linalg
import sklearn.linear_model
from threadpoolctl import threadpool_info, threadpool_limits
from worlds import make_probes

from zest_jax import solving
from zest_jax.solving import SolveSettings, design, fit, lime_kernel, solve

PROBES = make_probes(n=6, samples=60)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(6, 60, 3)).astype(np.float32) * 5
SETTINGS = [
    SolveSettings(),
    SolveSettings(ridge=2.5),
    SolveSettings(intercept=True),
    SolveSettings(kernel_width=0.25),
    SolveSettings(ridge=1.0, intercept=True, kernel_width=0.25),
]


def by_scikit_learn(probes, outputs, settings):
    """An independent implementation in float64, one reference at a time."""
    weights = np.zeros((probes.n_references, probes.max_segments, outputs.shape[2]))
    intercepts = np.zeros((probes.n_references, outputs.shape[2]))
    for i, k in enumerate(probes.n_segments):
        a = probes.masks[i, :, :k].astype(np.float64)
        sample_weight = None
        if settings.kernel_width is not None:
            cosine = a.sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.sqrt(k), 1e-30)
            sample_weight = np.sqrt(np.exp(-((1 - cosine) ** 2) / settings.kernel_width**2))
        model = sklearn.linear_model.Ridge(alpha=settings.ridge, fit_intercept=settings.intercept, solver="svd")
        model.fit(a, outputs[i].astype(np.float64), sample_weight=sample_weight)
        weights[i, :k], intercepts[i] = model.coef_.T, model.intercept_
    return weights, intercepts


@pytest.mark.parametrize("solver", ["factored", "lstsq"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_fits_equal_scikit_learn(settings, solver):
    fits = solve(PROBES, NOISE, settings=dataclasses.replace(settings, solver=solver))
    weights, intercepts = by_scikit_learn(PROBES, NOISE, settings)
    np.testing.assert_allclose(fits.weights, weights, atol=2e-5 * np.abs(weights).max())
    if settings.intercept:
        np.testing.assert_allclose(fits.intercept, intercepts, atol=2e-5 * np.abs(weights).max())
    else:
        assert fits.intercept is None


@pytest.mark.parametrize("solver", ["factored", "lstsq"])
def test_planted_weights_are_recovered_and_padding_is_zero(solver):
    truth = RNG.normal(size=(6, PROBES.max_segments, 4)).astype(np.float32)
    truth *= (np.arange(PROBES.max_segments) < PROBES.n_segments[:, None])[..., None]
    outputs = np.einsum("rlk,rkc->rlc", PROBES.masks, truth).astype(np.float32)
    fits = solve(PROBES, outputs, settings=SolveSettings(solver=solver))
    np.testing.assert_allclose(fits.weights, truth, atol=1e-5)
    assert not fits.weights[np.arange(PROBES.max_segments) >= PROBES.n_segments[:, None]].any()
    np.testing.assert_allclose(fits.r2, 1, atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_distinct_masks_weighted_by_count_give_the_same_fit_as_all_masks(settings):
    distinct = PROBES.distinct
    # A deterministic model: repeats of a mask have the same outputs.
    answers = RNG.normal(size=(PROBES.n_queries, 3)).astype(np.float32)
    full = solve(PROBES, answers[distinct.inverse], settings=settings)
    rows = int(np.diff(distinct.start).max())
    masks = np.zeros((6, rows, PROBES.max_segments), bool)
    count, z = np.zeros((6, rows), np.float32), np.zeros((6, rows, 3), np.float32)
    for i in range(6):
        part = slice(distinct.start[i], distinct.start[i + 1])
        n = part.stop - part.start
        masks[i, :n] = np.unpackbits(distinct.packed[part], axis=1, count=PROBES.max_segments)
        count[i, :n], z[i, :n] = distinct.counts[part], answers[part]
    merged = fit(design(masks, count, PROBES.n_segments, settings), z, settings)
    np.testing.assert_allclose(merged.weights, full.weights, atol=1e-5)
    np.testing.assert_allclose(merged.r2, full.r2, atol=1e-4)
    np.testing.assert_allclose(merged.variance, full.variance, rtol=1e-4)


def test_r2_and_variance_equal_a_direct_computation():
    fits = solve(PROBES, NOISE)
    for i, k in enumerate(PROBES.n_segments):
        a = PROBES.masks[i, :, :k].astype(float)
        w = scipy.linalg.lstsq(a, NOISE[i].astype(float))[0]
        variance = NOISE[i].var(axis=0)
        np.testing.assert_allclose(fits.variance[i], variance, rtol=1e-4)
        np.testing.assert_allclose(fits.r2[i], 1 - ((NOISE[i] - a @ w) ** 2).mean(axis=0) / variance, atol=1e-4)


def test_a_constant_output_has_no_variance_and_no_r2():
    outputs = NOISE.copy()
    outputs[:, :, 1] = 7.3
    fits = solve(PROBES, outputs)
    assert (fits.variance[:, 1] == 0).all()
    assert np.isnan(fits.r2[:, 1]).all()
    assert np.isfinite(fits.r2[:, [0, 2]]).all()


@pytest.mark.parametrize("solver", ["factored", "lstsq"])
def test_eight_devices_give_what_one_gives(solver):
    settings = SolveSettings(solver=solver)
    assert len(jax.devices()) == 8
    one = solve(PROBES, NOISE, settings=settings, devices=jax.devices()[:1])
    eight = solve(PROBES, NOISE, settings=settings, devices=jax.devices())
    np.testing.assert_allclose(eight.weights, one.weights, atol=1e-5)
    np.testing.assert_allclose(eight.r2, one.r2, atol=1e-5)


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_small_equations_are_made_on_one_thread(monkeypatch):
    """On many cores each product would wake all of them, which takes longer than the product."""
    seen, factorise = [], solving._potrf

    def potrf(gram, **settings):
        seen.extend(blas_threads())
        return factorise(gram, **settings)

    monkeypatch.setattr(solving, "_potrf", potrf)
    with threadpool_limits(2, user_api="blas"):
        solve(PROBES, NOISE)
        assert set(blas_threads()) == {2}
        assert set(seen) == {1}
        seen.clear()
        monkeypatch.setattr(solving, "_SMALL", 0)
        solve(PROBES, NOISE)
        assert set(seen) == {2}


def test_two_threads_that_overlap_give_all_threads_back():
    with threadpool_limits(2, user_api="blas"):
        first, second = solving._ONE_THREAD, solving._ONE_THREAD
        first.__enter__()
        second.__enter__()
        first.__exit__()
        assert set(blas_threads()) == {1}
        second.__exit__()
        assert set(blas_threads()) == {2}


def test_minimum_norm_equals_the_pseudo_inverse():
    few = make_probes(n=6, samples=4)
    outputs = NOISE[:, :4]
    settings = SolveSettings(underdetermined="minimum-norm")
    for solver in ("factored", "lstsq"):
        fits = solve(few, outputs, settings=dataclasses.replace(settings, solver=solver))
        for i, k in enumerate(few.n_segments):
            expected = np.linalg.pinv(few.masks[i, :, :k].astype(float)) @ outputs[i]
            np.testing.assert_allclose(fits.weights[i, :k], expected, atol=1e-4)


def test_underdetermined_fits_are_refused_by_name_and_number():
    few = make_probes(n=6, samples=4)
    with pytest.raises(
        ValueError,
        match=r"masks of reference 2 have 4 distinct samples of rank 3 for 4 segments.*3 more references.*raise n_samples",
    ):
        solve(few, NOISE[:, :4])
    solve(few, NOISE[:, :4], settings=SolveSettings(ridge=1.0))


def test_masks_that_never_tell_two_segments_apart_are_refused_however_many_they_are():
    masks = np.repeat(PROBES.masks[:1, :, :1], PROBES.max_segments, axis=2)
    with pytest.raises(ValueError, match="of rank 1 for 2 segments"):
        design(masks, np.ones((1, 60), np.float32), np.array([2]), SolveSettings())


def test_lime_kernel_is_limes():
    masks = np.array([[[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]], bool)
    expected = [1.0, np.sqrt(np.exp(-(0.5**2) / 0.25**2)), np.sqrt(np.exp(-1 / 0.25**2))]
    np.testing.assert_allclose(lime_kernel(masks, np.array([4]), 0.25)[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (NOISE[:, :50], r"the probes need \[6, 60, classes\]"),
        (np.where(NOISE[0, 0, 0] == NOISE, np.nan, NOISE), "1 NaN or infinite values"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        solve(PROBES, outputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ridge": -1.0}, "`ridge` is -1.0"),
        ({"ridge": float("nan")}, "`ridge` is nan"),
        ({"kernel_width": 0.0}, "`kernel_width` is 0.0"),
        ({"underdetermined": "hope"}, "`underdetermined` is 'hope'"),
        ({"solver": "magic"}, "`solver` is 'magic'"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SolveSettings(**arguments)
