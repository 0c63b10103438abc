"""Every agreement with the paper authors' code that tests/golden/README.md lists, through the public API."""

import numpy as np
import pytest

import zest_jax as zest

MODELS = ("victim", "victim_epoch3", "unrelated")
ALL_MODELS = (*MODELS, "victim_permuted", "unrelated_6classes")


@pytest.fixture(scope="module")
def probes(golden):
    return zest.ProbeSet.from_arrays(
        references=golden.images, segments=golden.segments, masks=golden.masks, fill=golden.mean
    )


@pytest.fixture(scope="module")
def boxes(golden):
    return {name: zest.from_onnx(golden.models[name], mean=golden.mean, std=golden.std) for name in MODELS}


@pytest.fixture(scope="module")
def golden_signatures(golden, probes):
    """The authors' own weights as signatures, so that distances are tested apart from fits."""
    signatures = {}
    for name in ALL_MODELS:
        weights = golden.signatures[name]
        ones = np.ones((probes.n_references, weights.shape[1]), np.float32)
        signatures[name] = zest.Signature(
            weights=weights,
            segment_counts=probes.n_segments,
            r2=ones,
            variance=ones,
            probe_hash=probes.hash,
            label=name,
        )
    return signatures


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize("method", ["quickshift", "quickshift-jax"])
def test_segments_are_the_authors(golden, method):
    segments = zest.segment_images(golden.images, method=method)
    assert all(same_partition(ours, theirs) for ours, theirs in zip(segments, golden.segments, strict=True))


def test_perturbed_inputs_are_the_authors(golden, probes):
    ours = np.stack([zest.compose(probes, i, slice(4)) for i in range(16)])
    np.testing.assert_allclose((ours - golden.mean) / golden.std, golden.perturbed_first4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_authors(golden, probes, boxes, name):
    np.testing.assert_allclose(zest.query(boxes[name], probes), golden.logits[name], atol=1e-3)


@pytest.mark.parametrize("solver", ["factored", "lstsq"])
@pytest.mark.parametrize("name", MODELS)
def test_fits_of_the_stored_logits_are_the_authors(golden, probes, name, solver):
    fits = zest.solve(probes, golden.logits[name], settings=zest.SolveSettings(solver=solver))
    ours = np.concatenate([w[:k] for w, k in zip(fits.weights, golden.n_segments, strict=True)])
    theirs = golden.signatures[name]
    assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_signing_a_model_gives_the_authors_signature(golden, probes, boxes):
    for name, signature in zip(MODELS, zest.sign_many([boxes[n] for n in MODELS], probes), strict=True):
        # The logits come from another runtime, to 1e-3.
        np.testing.assert_allclose(signature.weights, golden.signatures[name], atol=2e-3)


@pytest.mark.parametrize("metric", ["cosine", "l1", "l2", "linf"])
def test_distances_are_the_authors(golden, golden_signatures, metric):
    assert len(golden.distances) == 10
    for (a, b), expected in golden.distances.items():
        for x, y in ((a, b), (b, a)):
            got = zest.distance(golden_signatures[x], golden_signatures[y], metric=metric)
            assert got == pytest.approx(expected[metric], rel=1e-4, abs=1e-6), (x, y)


def test_alignment_finds_the_derived_columns(golden, golden_signatures):
    for base, derived in (("victim", "victim_permuted"), ("unrelated", "unrelated_6classes")):
        for method in ("greedy", "rowwise", "optimal"):
            found = zest.align(golden_signatures[derived], golden_signatures[base], method=method)
            assert found.a_classes.tolist() == list(range(len(golden.derived_columns[derived])))
            assert found.b_classes.tolist() == golden.derived_columns[derived]


def test_related_models_are_nearer_than_unrelated_ones(golden, golden_signatures):
    distances = zest.distance_matrix([golden_signatures[n] for n in MODELS])
    assert distances[0, 1] < 0.5 * min(distances[0, 2], distances[1, 2])
