"""Single operations as ONNX, with ONNX Runtime and JAX as each other's oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
from zest_jax.onnx_graph import UnsupportedOperationError  # noqa: E402 - after the check for onnx
from zest_jax.onnx_lowering import onnx_model  # noqa: E402

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
MATRIX = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)


def cumulated(x):
    last, rows = jax.lax.scan(lambda s, row: (s * 0.5 + row, s), jnp.zeros(len(x)), x.T, reverse=True)
    return jnp.concatenate([last[:, None], rows.T], axis=1)


FUNCTIONS = {
    "a condition": lambda x: jnp.where(x > 0.1, x, -2 * x),
    "bounds": lambda x: jnp.clip(x, -0.5, 0.5),
    "comparison with itself": lambda x: (x[:, :1] != x).astype(jnp.float32),
    "whether any": lambda x: jnp.where((x > 1).any(1, keepdims=True), x, 0),
    "whether all": lambda x: jnp.where((x > -1).all(1), 1.0, x[:, 0])[:, None],
    "powers and roots": lambda x: x**3 + jnp.square(x) + jax.lax.rsqrt(1 + x * x) + jnp.sqrt(jnp.abs(x)),
    "normalisation": lambda x: (x - x.mean(1, keepdims=True)) / (1e-3 + x.var(1, keepdims=True)),
    "softmax": jax.nn.softmax,
    "activations": lambda x: jax.nn.gelu(x) + jax.nn.silu(x) + jnp.tanh(x),
    "a matrix from the right": lambda x: x @ MATRIX,
    "a matrix from the left": lambda x: (MATRIX.T @ x.T).T,
    "outer products": lambda x: jnp.einsum("bi,bj->bij", x, x).reshape(len(x), -1),
    "what a batch needs not": lambda x: x + jnp.cumsum(jnp.ones(5)) @ np.eye(5, dtype=np.float32),
    "broadcasts that stay": lambda x: jnp.concatenate([x, jnp.broadcast_to(jnp.float32(2), x.shape)], axis=1),
    "the batch alone": lambda x: jnp.ones((len(x), 2)) * 3,
    "parts": lambda x: jnp.concatenate([jax.lax.slice_in_dim(x, 1, 5, 2, axis=1), *jnp.split(x, [2], axis=1)[::-1]], axis=1),
    "padding": lambda x: jnp.pad(x, ((0, 0), (1, 2)), constant_values=7),
    "a loop": cumulated,
    "a loop that carries a constant": lambda x: jax.lax.fori_loop(0, 3, lambda i, s: s * 2 + 1, x),
    "rows of a table": lambda x: jnp.take(TABLE, jnp.int32(jnp.abs(x) * 3), axis=0, mode="clip").sum(1),
    "rows that are not there": lambda x: jnp.take(TABLE, jnp.int32(jnp.abs(x) * 3), axis=0)[:, 0],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("opset", [18, 21])
def test_the_graph_answers_as_the_function_for_any_batch(name, opset):
    fn = FUNCTIONS[name]
    model = onnx_model(fn, (5,), jnp.float32, name="test", opset=opset)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        x = np.random.default_rng(batch).standard_normal((batch, 5)).astype(np.float32)
        (found,) = session.run(None, {"inputs": x})
        np.testing.assert_allclose(found, fn(jnp.asarray(x)), rtol=1e-5, atol=1e-5)


def test_what_is_unknown_is_named():
    for fn, text in (
        (jnp.sort, "the operation `sort` is not translated to ONNX"),
        (lambda x: jnp.pad(x, ((0, 0), (0, 0)))[:, ::-1], "`rev`"),
        (lambda x: jax.lax.pad(x, 0.0, ((0, 0, 0), (-1, 0, 0))), "`pad` that cuts or spreads"),
        (lambda x: jnp.asarray(TABLE)[jnp.int32(x[:, 0]), jnp.int32(x[:, 1])], "`gather` of anything but rows"),
    ):
        with pytest.raises(UnsupportedOperationError, match=text):
            onnx_model(fn, (5,), jnp.float32, name="test", opset=18)


def test_the_inputs_of_a_loop_are_counted_as_older_and_newer_versions_of_jax_tell_them():
    from zest_jax.onnx_lowering import _scanned

    class Groups:
        def unpack(self):
            return ("c", "d"), ("h",), ("x",)

    assert _scanned({"num_consts": 2, "num_carry": 1}) == _scanned({"ft_in": Groups()}) == (2, 1)
