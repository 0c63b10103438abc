import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zest_jax.blackbox import from_callable, from_jax
from zest_jax.errors import ModelOutputError

WEIGHTS = np.random.default_rng(1).standard_normal((3, 10)).astype(np.float32)


def scores(weights, x):
    return x.mean((1, 2)) @ weights


def test_jax_functions_with_and_without_state_answer_alike(images):
    wanted = images.mean((1, 2)) @ WEIGHTS
    np.testing.assert_allclose(from_jax(scores, WEIGHTS)(images), wanted, atol=1e-5)
    np.testing.assert_allclose(from_jax(lambda x: scores(WEIGHTS, x))(images), wanted, atol=1e-5)


def test_two_states_of_one_function_share_one_compilation(images):
    traces = []

    def traced(weights, x):
        traces.append(1)
        return scores(weights, x)

    first, second = (from_jax(traced, WEIGHTS * scale, label=f"model {scale}") for scale in (1, 2))
    assert first.apply == second.apply
    assert hash(first.apply) == hash(second.apply)
    np.testing.assert_allclose(second(images), 2 * first(images), rtol=1e-5)
    assert len(traces) == 1


def test_a_callable_that_cannot_be_hashed_works_and_equals_only_itself(images):
    class Model:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other):
            return True

        def __call__(self, x):
            return scores(WEIGHTS, x)

    first, second = from_jax(Model()), from_jax(Model())
    assert first.apply != second.apply
    np.testing.assert_allclose(first(images), images.mean((1, 2)) @ WEIGHTS, atol=1e-5)


def test_inputs_are_normalised_stretched_and_transposed(images):
    box = from_callable(
        lambda x: x[:, :, 0, 0], mean=[1.0, 2.0, 3.0], std=[2.0, 4.0, 8.0], value_range=(-1.0, 1.0), layout="NCHW"
    )
    wanted = (2 * images[:, 0, 0] - 1 - [1, 2, 3]) / [2, 4, 8]
    np.testing.assert_allclose(box(images), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, lambda rows: [list(row) for row in rows], jnp.asarray])
def test_callables_may_answer_arrays_or_lists(images, kind):
    box = from_callable(lambda x: kind(scores(WEIGHTS, x)))
    np.testing.assert_allclose(box(images), images.mean((1, 2)) @ WEIGHTS, atol=1e-5)
    assert box(images).dtype == np.float32


def test_low_precision_answers_come_back_as_float32(images):
    box = from_jax(lambda x: scores(WEIGHTS, x).astype(jnp.bfloat16))
    assert box(images).dtype == np.float32
    assert jax.eval_shape(box.apply, box.state, jnp.asarray(images)).dtype == jnp.float32


def test_wrong_answers_name_the_model_and_the_setting(images):
    with pytest.raises(ModelOutputError, match=r"scores answered float32 \[6\], not one array .* with `output`"):
        from_callable(lambda x: x.mean((1, 2, 3)), label="scores")(images)
    with pytest.raises(ModelOutputError, match=r"twice answered 12 rows for 6 inputs"):
        from_jax(lambda x: jnp.concatenate([scores(WEIGHTS, x)] * 2), label="twice")(images)
    with pytest.raises(ModelOutputError, match=r"ragged answered \[0\] a list"):
        from_callable(lambda x: [[1.0], [1.0, 2.0]], label="ragged")(images)


def test_a_callable_that_raises_is_named(images):
    def broken(x):
        raise RuntimeError("out of order")

    with pytest.raises(ModelOutputError, match=r"broken failed on inputs \[6, 8, 8, 3\] float32: RuntimeError: out of"):
        from_callable(broken)(images)


@pytest.mark.parametrize("n", [1, 4, 6])
def test_a_callable_of_one_batch_size_answers_any_number(images, n):
    sizes = []

    def fixed(x):
        sizes.append(len(x))
        return scores(WEIGHTS, x)

    box = from_callable(fixed, fixed_batch=4)
    expected = scores(WEIGHTS, images[:n])
    np.testing.assert_allclose(box(images[:n]), expected, atol=1e-5)
    np.testing.assert_allclose(box.ask(images[:n]), expected, atol=1e-5)
    assert set(sizes) == {4}


def test_no_inputs_are_answered_by_no_rows(images):
    assert from_callable(lambda x: x.mean((1, 2)))(images[:0]).shape == (0, 3)


def test_settings_and_labels_are_kept():
    box = from_callable(
        lambda x: x.mean((1, 2)), label="scores", class_names=["cat", "dog"], returns="probabilities", fixed_batch=8
    )
    assert (box.label, box.class_names, box.returns, box.fixed_batch) == ("scores", ("cat", "dog"), "probabilities", 8)
    assert box.settings["returns"] == "probabilities"
    assert from_jax(lambda x: x).label == "function"


def test_an_unknown_kind_of_answer_is_refused(unchecked_types):
    with pytest.raises(ValueError, match="`returns` is 'scores'; choose 'auto', 'logits' or 'probabilities'"):
        from_callable(np.asarray, returns="scores")
