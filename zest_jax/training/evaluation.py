"""How well a classifier does on data it has not seen."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zest_jax.training.engine import Preparation, as_pure

# Enough to fill a few cores; an accelerator takes more at once with little gain.
BATCH = 500


@functools.partial(jax.jit, static_argnames=("graphdef", "preparation"))
def _answer(graphdef: nnx.GraphDef, preparation: Preparation, state: Any, stored: jax.Array) -> jax.Array:
    model: Any = nnx.merge(graphdef, state)
    return model(preparation(stored)).astype(jnp.float32)


def outputs(model: nnx.Module, inputs: np.ndarray, preparation: Preparation, *, batch_size: int = BATCH) -> np.ndarray:
    """Logits of a model in evaluation mode on stored inputs, asked batch by batch.

    Args:
        model: which; it stays as it is.
        inputs: as stored in a data set, [N, ...].
        preparation: how stored inputs are normalised; `Checkpoint.preparation`.
        batch_size: inputs asked at once.

    Returns:
        float32 [N, classes].

    >>> model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    >>> outputs(model, np.ones((5, 4), np.float32), Preparation((), ()), batch_size=2).shape
    (5, 3)
    """
    graphdef, state = nnx.split(nnx.merge(*nnx.split(model)))  # a copy: the caller's mode stays as it is
    model = nnx.merge(graphdef, state)
    model.eval()
    graphdef, state = nnx.split(model)
    state = as_pure(state)
    rows = []
    for start in range(0, len(inputs), batch_size):
        batch = inputs[start : start + batch_size]
        missing = min(batch_size, len(inputs)) - len(batch)
        if missing:
            batch = np.concatenate([batch, np.repeat(batch[:1], missing, 0)])
        rows.append(np.asarray(_answer(graphdef, preparation, state, batch))[: len(inputs) - start])
    return np.concatenate(rows)


def accuracy(
    model: nnx.Module, inputs: np.ndarray, labels: np.ndarray, preparation: Preparation, *, batch_size: int = BATCH
) -> float:
    """Share of the inputs whose highest output is their label, in [0, 1].

    Args:
        model: which; it stays as it is.
        inputs: as stored in a data set, [N, ...].
        labels: class of each input, [N].
        preparation: how stored inputs are normalised; `Checkpoint.preparation`.
        batch_size: inputs asked at once.

    Returns:
        the share.

    >>> model, inputs = nnx.Linear(4, 3, rngs=nnx.Rngs(0)), np.eye(4, dtype=np.float32)
    >>> answers = outputs(model, inputs, Preparation((), ())).argmax(1)
    >>> accuracy(model, inputs, answers, Preparation((), ())), accuracy(model, inputs, answers + 1, Preparation((), ()))
    (1.0, 0.0)
    """
    return float((outputs(model, inputs, preparation, batch_size=batch_size).argmax(-1) == labels).mean())
