"""Streaming: every way to ask gives the same answers, and bad models are named."""

import jax
import numpy as np
import pytest
from flax import nnx
from worlds import linear_box, make_probes, pixel_weights

import zest_jax as zest
from zest_jax.blackbox.batches import ask_plain, default_batch_size
from zest_jax.errors import ModelOutputError
from zest_jax.probes import compose
from zest_jax.querying import stream

PROBES = make_probes(n=5, samples=64)
WEIGHTS = pixel_weights()
ONE = jax.devices()[:1]


def host_box(function=None, **settings):
    function = function or (lambda x: x.reshape(len(x), -1) @ WEIGHTS)
    return zest.from_callable(function, **settings)


@pytest.fixture(scope="module")
def expected():
    inputs = np.stack([compose(PROBES, i) for i in range(PROBES.n_references)])
    return inputs.reshape(5, 64, -1) @ WEIGHTS


@pytest.mark.parametrize("batch_size", [None, 1, 7, 32, 1000])
def test_answers_do_not_depend_on_the_batch_size(expected, batch_size):
    for box in (host_box(), linear_box(WEIGHTS)):
        got = zest.query(box, PROBES, batch_size=batch_size, devices=ONE)
        np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["loop", "callback"])
def test_both_ways_to_ask_a_host_model_agree(expected, mode):
    np.testing.assert_allclose(zest.query(host_box(), PROBES, batch_size=16, mode=mode), expected, atol=1e-4)


def test_eight_devices_answer_what_one_answers(expected):
    assert len(jax.devices()) == 8
    np.testing.assert_allclose(zest.query(linear_box(WEIGHTS), PROBES, batch_size=20), expected, atol=1e-4)


def test_several_models_share_a_pass(expected):
    boxes = [linear_box(WEIGHTS), host_box(), linear_box(2 * WEIGHTS), host_box(mean=(0.5,), std=(0.25,))]
    batches = list(stream(boxes, PROBES, batch_size=50))
    answers = [np.concatenate([b.outputs[i] for b in batches])[PROBES.distinct.inverse] for i in range(4)]
    np.testing.assert_allclose(answers[0], expected, atol=1e-4)
    np.testing.assert_allclose(answers[1], expected, atol=1e-4)
    np.testing.assert_allclose(answers[2], 2 * expected, atol=2e-4)
    np.testing.assert_allclose(answers[3], 4 * expected - 2 * WEIGHTS.sum(axis=0), atol=1e-3)


def test_every_distinct_input_is_asked_once_besides_the_checks():
    asked = []

    def count(x):
        asked.append(len(x))
        return x.reshape(len(x), -1) @ WEIGHTS

    zest.query(host_box(count), PROBES, batch_size=10)
    batches = -(-PROBES.n_queries // 10)
    assert PROBES.n_queries < 5 * 64
    assert asked == [10] * (batches + 2)


def test_a_model_that_takes_one_batch_size_only_gets_it(expected):
    sizes = set()

    def fixed(x):
        sizes.add(len(x))
        return x.reshape(len(x), -1) @ WEIGHTS

    box = host_box(fixed)
    box.fixed_batch = 6
    for options in ({}, {"batch_size": 12}, {"batch_size": 12, "mode": "callback"}):
        np.testing.assert_allclose(zest.query(box, PROBES, **options), expected, atol=1e-4)
    assert sizes == {6}
    with pytest.raises(ValueError, match="accepts only batches of 6"):
        zest.query(box, PROBES, batch_size=8)


def test_streaming_can_begin_anywhere(expected):
    rest = list(stream([host_box()], PROBES, batch_size=16, first=37))
    assert rest[0].start == 37
    assert rest[-1].stop == PROBES.n_queries
    flat = np.concatenate([b.outputs[0] for b in rest])
    whole = np.concatenate([b.outputs[0] for b in stream([host_box()], PROBES, batch_size=16)])
    np.testing.assert_allclose(flat, whole[37:], atol=1e-4)


def test_a_second_model_of_the_same_shape_compiles_nothing_new():
    traces = []

    def forward(w, x):
        traces.append(x.shape)
        return x.reshape(len(x), -1) @ w

    zest.query(zest.from_jax(forward, WEIGHTS), PROBES, batch_size=32)
    first = len(traces)
    assert first >= 1
    zest.query(zest.from_jax(forward, WEIGHTS + 1), PROBES, batch_size=32)
    zest.query(zest.from_jax(forward, WEIGHTS + 1), make_probes(n=5, samples=64, seed=9), batch_size=32)
    assert len(traces) == first


def test_default_batch_size_grows_with_small_inputs_and_respects_fixed_ones():
    box = host_box()
    assert default_batch_size((32, 32, 3), [box]) >= default_batch_size((224, 224, 3), [box]) >= 1
    box.fixed_batch = 5
    assert default_batch_size((32, 32, 3), [box]) % 5 == 0


def test_plain_inputs_are_asked_in_batches_of_one_size():
    images = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), np.uint8)
    answers = ask_plain(host_box(), images, batch_size=4)
    np.testing.assert_allclose(answers, (images / 255).reshape(11, -1) @ WEIGHTS, atol=1e-4)


# --- models that cannot be used ---------------------------------------------------------------------------------------


def test_nan_outputs_name_model_reference_and_sample():
    target = compose(PROBES, 3, slice(5, 6))[0]

    def sometimes_nan(x):
        out = x.reshape(len(x), -1) @ WEIGHTS
        out[np.abs(x - target).max(axis=(1, 2, 3)) < 1e-6] = np.nan
        return out

    sample = int(np.argmax((PROBES.masks[3] == PROBES.masks[3, 5]).all(axis=1)))
    with pytest.raises(
        ModelOutputError,
        match=f"shaky answered 1 of queries .* NaN or infinity, first .* reference 3, sample {sample} ",
    ):
        zest.query(host_box(sometimes_nan, label="shaky"), PROBES, batch_size=16)


def test_infinite_outputs_of_a_jax_model_are_refused():
    with pytest.raises(ModelOutputError, match="NaN or infinity"):
        zest.query(zest.from_jax(lambda x: 1 / (x.mean((1, 2)) * 0)), PROBES)


@pytest.mark.parametrize("mode", ["loop", "callback"])
def test_outputs_that_change_shape_are_refused(mode):
    calls = []

    def moody(x):
        calls.append(1)
        return x.reshape(len(x), -1) @ WEIGHTS[:, : 4 if len(calls) < 6 else 3]

    with pytest.raises(
        ModelOutputError, match=r"with 3 classes, earlier ones with 4|answered a batch of 16 inputs with \(16, 3\)"
    ):
        zest.query(host_box(moody), PROBES, batch_size=16, mode=mode)


@pytest.mark.parametrize(
    "function",
    [lambda x: x.mean(axis=(1, 2, 3)), lambda x: x, lambda x: x[:3].mean(axis=(1, 2))],
    ids=["flat", "image", "few"],
)
@pytest.mark.parametrize("make", [zest.from_jax, zest.from_callable])
def test_outputs_that_are_not_one_row_per_input_are_refused(make, function):
    with pytest.raises(ModelOutputError, match=r"\[.*classes\]"):
        zest.query(make(function), PROBES, batch_size=16)


def test_a_jax_model_of_the_wrong_shape_is_refused_before_it_runs():
    ran = []

    def wrong(x):
        jax.debug.callback(lambda: ran.append(1))
        return x.mean((1, 2, 3))

    with pytest.raises(ModelOutputError):
        zest.query(zest.from_jax(wrong), PROBES)
    assert not ran


@pytest.mark.parametrize("mode", ["loop", "callback"])
def test_a_model_that_is_not_deterministic_is_refused(mode):
    rng = np.random.default_rng(0)

    def dropout(x):
        return (x * (rng.random(x.shape) < 0.5) * 2).reshape(len(x), -1) @ WEIGHTS

    with pytest.raises(
        ModelOutputError, match="is not deterministic: asked the same 16 inputs twice.*Is dropout left on"
    ):
        zest.query(host_box(dropout), PROBES, batch_size=16, mode=mode)


def dropout_net(x, key):
    return (x * jax.random.bernoulli(key, 0.5, x.shape) * 2).reshape(len(x), -1) @ WEIGHTS


class WithDropout(nnx.Module):
    def __init__(self, rngs):
        self.head = nnx.Linear(8 * 8 * 3, 4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.head(self.dropout(x.reshape(len(x), -1)))


def test_dropout_left_on_in_a_jax_model_is_noticed():
    """Its random numbers are frozen with the model, so the same batch gets the same answer; places differ."""
    net = WithDropout(nnx.Rngs(0))
    net.eval()
    zest.query(zest.from_flax(net), PROBES, batch_size=16)
    net.train()
    frozen = zest.from_jax(lambda x: dropout_net(x, jax.random.key(0)))
    with pytest.warns(UserWarning, match="dropout|Dropout"):
        left_on = zest.from_flax(net)
    for box in (left_on, frozen):
        with pytest.raises(ModelOutputError, match="Is dropout or batch normalisation in training mode"):
            zest.query(box, PROBES, batch_size=16)
        zest.query(box, PROBES, batch_size=16, check=False)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_rounding_is_no_change_where_outputs_hardly_vary(batch_size):
    rng = np.random.default_rng(0)

    def rounds(x):
        return 100 + 1e-7 * rng.normal(size=(len(x), 4))

    zest.query(host_box(rounds), PROBES, batch_size=batch_size)


def test_batch_normalisation_in_training_mode_is_noticed():
    def batch_norm(x):
        return ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)).reshape(len(x), -1) @ WEIGHTS

    with pytest.raises(
        ModelOutputError, match="depend on the place in the batch or on what else is in it.*batch normalisation"
    ):
        zest.query(host_box(batch_norm), PROBES, batch_size=16)


@pytest.mark.parametrize("mode", ["loop", "callback"])
def test_the_models_own_error_comes_through(mode):
    calls = []

    def fails(x):
        calls.append(1)
        if len(calls) > 5:
            raise ConnectionError("the model went away")
        return x.reshape(len(x), -1) @ WEIGHTS

    with pytest.raises(ModelOutputError, match="fails failed on inputs.*ConnectionError: the model went away"):
        zest.query(host_box(fails), PROBES, batch_size=16, mode=mode)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="no models were given"):
        next(stream([], PROBES))
    with pytest.raises(ValueError, match="`batch_size` is 0"):
        zest.query(host_box(), PROBES, batch_size=0)
    with pytest.raises(ValueError, match="unknown mode 'telepathy'"):
        zest.query(host_box(), PROBES, mode="telepathy")
    with pytest.raises(TypeError, match="wrap the model with from_flax"):
        zest.query(lambda x: x, PROBES)
