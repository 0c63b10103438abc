"""Signing end to end: planted truth, resuming, sharing a pass, and what must be refused before any query."""

import jax
import numpy as np
import pytest
from worlds import linear_box, make_probes, pixel_weights, planted

import zest_jax as zest
from zest_jax import solving
from zest_jax.blocks import Blocks
from zest_jax.errors import DegenerateSignatureError, ModelOutputError, ProbeMismatchError

PROBES = make_probes(n=20, samples=64, max_k=6)
WEIGHTS = pixel_weights()


def host_box(function=None, **settings):
    return zest.from_callable(function or (lambda x: x.reshape(len(x), -1) @ WEIGHTS), **settings)


@pytest.mark.parametrize("solver", ["factored", "lstsq"])
@pytest.mark.parametrize("make", [lambda: linear_box(WEIGHTS), host_box])
def test_a_linear_model_gives_back_what_each_segment_contributes(make, solver):
    signature = zest.sign(make(), PROBES, solver=solver)
    truth = planted(PROBES, WEIGHTS)
    assert signature.weights.shape == truth.shape == (int(PROBES.n_segments.sum()), 4)
    np.testing.assert_allclose(signature.weights, truth, atol=1e-4 * np.abs(truth).max())
    np.testing.assert_allclose(signature.r2, 1, atol=1e-3)
    assert signature.mean_r2() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 7},
        {"batch_size": 1000},
        {"mode": "callback"},
        {"devices": jax.devices()[:1]},
        {"devices": jax.devices()[:3]},
    ],
    ids=str,
)
def test_nothing_about_how_it_runs_changes_the_signature(options):
    for box in (linear_box(WEIGHTS), host_box()):
        np.testing.assert_allclose(zest.sign(box, PROBES, **options).weights, zest.sign(box, PROBES).weights, atol=1e-4)


def test_signing_equals_querying_then_solving():
    outputs = zest.query(host_box(), PROBES)
    for options in ({}, {"ridge": 2.0}, {"intercept": True}, {"kernel_width": 0.25}):
        fits = zest.solve(PROBES, outputs, settings=zest.SolveSettings(**options))
        signature = zest.sign(host_box(), PROBES, **options)
        real = np.arange(PROBES.max_segments) < PROBES.n_segments[:, None]
        np.testing.assert_allclose(signature.weights, fits.weights[real], atol=1e-4)
        np.testing.assert_allclose(signature.r2, fits.r2, atol=1e-3)
        assert (signature.intercept is None) == (fits.intercept is None)


def test_several_models_in_one_pass_equal_one_at_a_time():
    boxes = [linear_box(WEIGHTS, label="a"), host_box(label="b"), linear_box(WEIGHTS[:, :2], label="c")]
    together = zest.sign_many(boxes, PROBES)
    for box, signature in zip(boxes, together, strict=True):
        assert signature.label == box.label
        np.testing.assert_allclose(signature.weights, zest.sign(box, PROBES).weights, atol=1e-4)


@pytest.fixture
def compiled():
    """What JAX compiles, as it counts itself."""
    events = []

    def listen(event, *_args, **_kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_second_model_of_the_same_shape_compiles_nothing_new(compiled):
    first = linear_box(pixel_weights((9, 9), classes=5))
    probes = make_probes(n=20, samples=70, max_k=6, size=(9, 9))
    zest.sign(first, probes)
    fresh = len(compiled)
    assert fresh >= 2  # the forward pass with composition, and the fit
    zest.sign(type(first)(first.apply, pixel_weights((9, 9), classes=5, seed=2), label="second"), probes)
    # Other references and masks of the same shape, other counts of segments and of distinct masks.
    other = make_probes(n=20, samples=70, max_k=6, size=(9, 9), seed=5)
    assert np.diff(other.distinct.start).max() != np.diff(probes.distinct.start).max()
    zest.sign(first, other)
    assert len(compiled) == fresh
    weights = pixel_weights((9, 9), classes=5)
    zest.sign(host_box(lambda x: x.reshape(len(x), -1) @ weights), probes)
    composing = len(compiled)
    assert composing == fresh + 1
    zest.sign(host_box(lambda x: x.reshape(len(x), -1) @ (weights + 2)), probes)
    assert len(compiled) == composing


def test_all_blocks_of_references_share_one_compiled_fit():
    def compiled() -> int:
        return solving.__dict__["_fit_factored"]._cache_size()

    before = compiled()
    probes = make_probes(n=50, samples=48, max_k=5, seed=3)
    assert len(set(probes.n_segments.tolist())) > 1
    # Blocks of 16, rounded up to eight devices: four of them, the last one with two references only.
    zest.sign(host_box(), probes)
    assert compiled() == before + 1


def test_signature_says_what_it_was_made_from():
    box = host_box(label="mine", class_names=["a", "b", "c", "d"], mean=(0.5,), std=(0.25,))
    signature = zest.sign(box, PROBES, ridge=1.5)
    assert signature.label == "mine"
    assert signature.class_names == ("a", "b", "c", "d")
    assert signature.probe_hash == PROBES.hash
    assert signature.settings["solve"]["ridge"] == 1.5
    assert signature.settings["model"]["mean"] == (0.5,)
    assert signature.settings["outputs"] == "logits"
    assert signature.preview is not None
    i = signature.preview.reference_index
    np.testing.assert_array_equal(signature.preview.content, PROBES.references[i])


# --- outputs: logits or probabilities ---------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_probabilities_are_detected_and_can_be_fitted_either_way():
    small = WEIGHTS / 20
    logits, probabilities = (
        host_box(lambda x: x.reshape(len(x), -1) @ small),
        host_box(lambda x: softmax(x.reshape(len(x), -1) @ small)),
    )
    a = zest.sign(logits, PROBES, targets="probabilities")
    b = zest.sign(probabilities, PROBES, targets="probabilities")
    assert (a.settings["outputs"], b.settings["outputs"]) == ("logits", "probabilities")
    np.testing.assert_allclose(a.weights, b.weights, atol=1e-4)
    # The logarithm of a softmax is the logits less a constant per input.
    c = zest.sign(probabilities, PROBES, targets="logits")
    centred = small - small.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(c.weights, planted(PROBES, centred), atol=1e-3)


def test_logits_and_probabilities_are_not_compared_as_they_are():
    a = zest.sign(host_box(), PROBES)
    b = zest.sign(host_box(lambda x: softmax(x.reshape(len(x), -1) @ WEIGHTS)), PROBES)
    with pytest.raises(
        ProbeMismatchError, match="answers with logits, .* with probabilities; .*targets='probabilities'"
    ):
        zest.distance(a, b)


def test_negative_probabilities_are_refused():
    with pytest.raises(ModelOutputError, match="is said to return probabilities but answered -"):
        zest.sign(host_box(returns="probabilities"), PROBES, targets="logits")


def test_unknown_targets_are_refused():
    with pytest.raises(ValueError, match="`targets` is 'labels'"):
        zest.sign(host_box(), PROBES, targets="labels")


# --- refused before any query, or said afterwards ---------------------------------------------------------------------


def test_an_underdetermined_fit_is_refused_before_the_model_is_asked():
    asked = []
    few = make_probes(n=6, samples=4)
    box = host_box(lambda x: asked.append(1) or x.reshape(len(x), -1) @ WEIGHTS)
    with pytest.raises(ValueError, match="masks of reference 2 have 3 distinct samples of rank 3 for 4 segments"):
        zest.sign(box, few)
    assert not asked
    assert np.isfinite(zest.sign(box, few, underdetermined="minimum-norm").weights).all()
    assert np.isfinite(zest.sign(box, few, ridge=1.0).weights).all()


def test_what_is_no_black_box_is_refused_first():
    with pytest.raises(TypeError, match="a black box was expected, got function; wrap the model with from_flax"):
        zest.sign(lambda x: x, PROBES)
    with pytest.raises(ValueError, match="no models were given"):
        zest.sign_many([], PROBES)


def test_constant_outputs_are_said_and_have_no_distance():
    with pytest.warns(UserWarning, match="frozen gave the same outputs whatever was masked"):
        constant = zest.sign(host_box(lambda x: np.ones((len(x), 4)), label="frozen"), PROBES)
    with pytest.raises(DegenerateSignatureError, match="the signature of frozen says nothing"):
        zest.distance(constant, zest.sign(host_box(), PROBES))
    with pytest.warns(UserWarning, match="dead gave the same outputs"):
        zero = zest.sign(host_box(lambda x: np.zeros((len(x), 4)), label="dead"), PROBES)
    with pytest.raises(DegenerateSignatureError, match="all its weights are 0"):
        zest.distance_matrix([zero, zero])


# --- interrupts and checkpoints ---------------------------------------------------------------------------------------


class Stops:
    """Answers until it has been asked often enough, then fails with `error`."""

    def __init__(self, calls, error=KeyboardInterrupt, weights=WEIGHTS):
        self.left, self.error, self.asked, self.weights = calls, error, 0, weights

    def __call__(self, x):
        self.left -= 1
        if self.left < 0:
            raise self.error
        self.asked += len(x)
        return x.reshape(len(x), -1) @ self.weights


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionError])
@pytest.mark.parametrize("options", [{}, {"intercept": True}, {"targets": "probabilities"}], ids=str)
def test_an_interrupted_run_goes_on_where_it_was(tmp_path, error, options):
    checkpoint = tmp_path / "model.partial"
    probes = make_probes(n=40, samples=64, max_k=6)
    whole = zest.sign(host_box(), probes, batch_size=16, **options)
    calls = 2 * probes.n_queries // 3 // 16
    with pytest.raises((KeyboardInterrupt, ModelOutputError)):
        zest.sign(host_box(Stops(calls, error), label="m"), probes, batch_size=16, checkpoint=checkpoint, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["model.partial"]

    again = Stops(10**9)
    signature = zest.sign(host_box(again, label="m"), probes, batch_size=16, checkpoint=checkpoint, **options)
    np.testing.assert_allclose(signature.weights, whole.weights, atol=1e-5)
    np.testing.assert_allclose(signature.r2, whole.r2, atol=1e-4)
    if options.get("intercept"):
        np.testing.assert_allclose(signature.intercept, whole.intercept, atol=1e-5)
    # What is left, and three times the first batch: to see that it is the same model, and that it is deterministic.
    assert again.asked <= probes.n_queries - 16 * (calls - 5) + 16 * 7

    # The finished checkpoint is a whole run: nothing more is asked but the first batch.
    third = Stops(10**9)
    same = zest.sign(host_box(third, label="m"), probes, batch_size=16, checkpoint=checkpoint, **options)
    np.testing.assert_array_equal(same.weights, signature.weights)
    assert third.asked == 3 * 16
    assert [p.name for p in tmp_path.iterdir()] == ["model.partial"]


@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_an_interrupt_inside_a_fit_loses_no_answer(tmp_path, monkeypatch, n_models, fails_at):
    boxes = [host_box(label="m"), linear_box(2 * WEIGHTS, label="n")][:n_models]
    probes = make_probes(n=40, samples=64, max_k=6)
    whole = zest.sign_many(boxes, probes)
    calls = []

    def interrupted(self, block, outputs):
        calls.append(block.start)
        if len(calls) == fails_at:
            raise KeyboardInterrupt
        return fit(self, block, outputs)

    fit = Blocks.fit
    with monkeypatch.context() as patch:
        patch.setattr(Blocks, "fit", interrupted)
        if fails_at <= 3 * n_models:
            with pytest.raises(KeyboardInterrupt):
                zest.sign_many(boxes, probes, batch_size=16, checkpoint=tmp_path / "c")
    for again, before in zip(zest.sign_many(boxes, probes, checkpoint=tmp_path / "c"), whole, strict=True):
        np.testing.assert_allclose(again.weights, before.weights, atol=1e-4)


def test_answers_of_an_unfinished_block_are_kept_too(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        zest.sign(host_box(Stops(7), label="m"), PROBES, batch_size=16, checkpoint=tmp_path / "c")
    again = Stops(10**9)
    signature = zest.sign(host_box(again, label="m"), PROBES, batch_size=16, checkpoint=tmp_path / "c")
    np.testing.assert_allclose(signature.weights, planted(PROBES, WEIGHTS), atol=1e-4)
    assert again.asked == 16 * (-(-(PROBES.n_queries - 5 * 16) // 16) + 3)


@pytest.fixture
def left(tmp_path):
    """A checkpoint that an interrupted run left."""
    checkpoint = tmp_path / "model.partial"
    probes = make_probes(n=40, samples=64, max_k=6)
    with pytest.raises(KeyboardInterrupt):
        zest.sign(host_box(Stops(40), label="m"), probes, batch_size=16, checkpoint=checkpoint)
    return probes, checkpoint


def test_a_checkpoint_of_another_model_is_refused(left):
    probes, checkpoint = left
    with pytest.raises(
        ProbeMismatchError, match="left by another model: m now answers the first questions differently"
    ):
        zest.sign(host_box(lambda x: x.reshape(len(x), -1) @ -WEIGHTS, label="m"), probes, checkpoint=checkpoint)
    with pytest.raises(ProbeMismatchError, match="belongs to another run: models was"):
        zest.sign(host_box(label="other"), probes, checkpoint=checkpoint)
    assert checkpoint.exists()


def test_a_checkpoint_of_other_probes_or_settings_is_refused(left):
    probes, checkpoint = left
    with pytest.raises(ProbeMismatchError, match="probe_hash was"):
        zest.sign(host_box(label="m"), make_probes(n=40, samples=64, max_k=6, seed=1), checkpoint=checkpoint)
    with pytest.raises(ProbeMismatchError, match="solve was"):
        zest.sign(host_box(label="m"), probes, ridge=1.0, checkpoint=checkpoint)
    with pytest.raises(ProbeMismatchError, match="inputs was .*'mean': None.* is .*'mean': .0.5"):
        zest.sign(host_box(label="m", mean=(0.5,)), probes, checkpoint=checkpoint)


def test_a_damaged_checkpoint_is_refused(left):
    probes, checkpoint = left
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(zest.ZestError, match="is not a checkpoint of `sign`, or is truncated"):
        zest.sign(host_box(label="m"), probes, checkpoint=checkpoint)
