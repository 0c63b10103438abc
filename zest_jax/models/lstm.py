"""A text classifier: embedding, LSTM, pooling over the tokens, linear head."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from zest_jax.models.classifier import Classifier
from zest_jax.models.initializers import STANDARD_NORMAL, UNIFORM_FAN_IN
from zest_jax.models.layers import compute_dtype, dropout_layer, linear_head, positive

PADDING = 0


class LSTMClassifier(Classifier):
    """LSTM over token ids, int32 [batch, length]; its states are pooled by their mean and their maximum, side by side.

    Id 0 is padding: it feeds the LSTM a vector of zeros, and its states are left out of the pooling, so that zeros after
    a text change nothing. A text of zeros alone is pooled to zeros.

    `features` are the embedded tokens [batch, length, embedding], the states [batch, length, hidden] (both 0 at padding),
    and their mean and maximum over the tokens, float32 [batch, hidden].

    Args:
        num_classes: at least 2.
        vocabulary: number of token ids, padding included; an id from there on gives NaN.
        embedding: size of the embedded tokens.
        hidden: size of the LSTM's state.
        dropout: share of the head's inputs that are dropped in training, in [0, 1).
        dtype: the type to compute in; the LSTM's state is float32.
        rngs: source of the initial weights and of dropout.

    Raises:
        ValueError: a size is too small, `dropout` out of range.

    >>> model = LSTMClassifier(4, vocabulary=100, rngs=nnx.Rngs(0))
    >>> model(np.array([[5, 17, 99, 0], [8, 0, 0, 0]], np.int32)).shape
    (2, 4)
    """

    order: ClassVar[tuple[str, ...]] = ("embed", "lstm", "head")

    def __init__(
        self,
        num_classes: int,
        *,
        vocabulary: int = 20_000,
        embedding: int = 128,
        hidden: int = 128,
        dropout: float = 0.0,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        if vocabulary < 2:
            raise ValueError(f"`vocabulary` is {vocabulary}; give at least 2 token ids, of which 0 is padding")
        positive("embedding", embedding)
        positive("hidden", hidden)
        compute = compute_dtype(dtype)
        self.embed = nnx.Embed(vocabulary, embedding, embedding_init=STANDARD_NORMAL, dtype=compute, rngs=rngs)
        cell = nnx.OptimizedLSTMCell(
            embedding,
            hidden,
            kernel_init=UNIFORM_FAN_IN,
            recurrent_kernel_init=UNIFORM_FAN_IN,
            dtype=compute,
            rngs=rngs,
        )
        self.lstm = nnx.RNN(cell, rngs=False)
        self.head = linear_head(2 * hidden, num_classes, rngs)
        self.dropout = dropout_layer(dropout, rngs)
        self.hidden, self.compute_dtype = hidden, compute

    def features(self, x: Int[Array | np.ndarray, "batch length"]) -> tuple[Array, ...]:
        x = jnp.asarray(x)
        self.check_input(x.shape[1:])
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"tokens are {x.dtype}; lstm takes integer ids [batch, length], 0 for padding")
        valid = (x != PADDING)[..., None]
        embedded = jnp.where(valid, self.embed(x), 0)
        state = jnp.zeros((len(x), self.hidden), jnp.float32)
        states: Any = self.lstm(embedded, initial_carry=(state, state))
        mean = jnp.where(valid, states, 0).sum(1) / jnp.maximum(valid.sum(1), 1)
        maximum = jnp.where(valid, states, -jnp.inf).max(1)
        maximum = jnp.where(valid.any(1), maximum, 0)
        return embedded, jnp.where(valid, states, 0).astype(self.compute_dtype), mean, maximum

    def classify(self, features: tuple[Array, ...]) -> Float[Array, "batch classes"]:
        x = jnp.concatenate(features[2:], axis=-1)
        return self.head(x if self.dropout is None else self.dropout(x))

    def check_input(self, shape: Sequence[int]) -> None:
        if len(shape) != 1 or shape[0] < 1:
            raise ValueError(
                f"an input has shape {tuple(shape)}; lstm takes token ids [length], at least 1, 0 for padding"
            )
