"""One compiled training step, and many of them in one call.

Everything that shapes the computation is in a `Plan`, which is hashable: equal plans share one compilation, whatever the
seed. Everything random is derived from the seed and the number of the step, so that a run that goes on from a checkpoint
does what it would have done without the interruption.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from zest_jax.data.augment import augment, resize
from zest_jax.training.objectives import Objective
from zest_jax.training.recipes import Recipe

# Pure trees of arrays: what nnx.as_pure makes of a state.
Tree = Any
as_pure = getattr(nnx, "as_pure", None) or nnx.pure  # its name before Flax 0.12.7


@dataclasses.dataclass(frozen=True)
class Preparation:
    """From stored inputs to what a model takes: `(x - mean) / std`.

    x is in [0, 1] for images (uint8 is divided by 255) and in [-1, 1] for sounds (int16 is divided by 32768). int32 are
    token ids, and are left as they are.

    Attributes:
        mean: per channel, or () where inputs are taken as they are.
        std: per channel, on the same scale.

    >>> Preparation(mean=(0.5,), std=(0.25,))(jnp.array([[0], [255]], jnp.uint8)).tolist()
    [[-2.0], [2.0]]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, stored: Array) -> Array:
        scale = {"uint8": 255.0, "int16": 32768.0}.get(stored.dtype.name)
        if scale is None and jnp.issubdtype(stored.dtype, jnp.integer):
            return stored
        x = stored.astype(jnp.float32) / (scale or 1.0)
        if not self.mean:
            return x
        return (x - jnp.asarray(self.mean, jnp.float32)) / jnp.asarray(self.std, jnp.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a compiled step depends on.

    Attributes:
        graphdef: the model's structure in training mode; its parameters are split into trained and frozen ones.
        recipe: for the optimiser, the augmentation and the data type.
        steps_per_epoch: for the schedule of learning rates.
        objective: the loss.
        preparation: of the stored inputs.
        size: (height, width) of the images in this part of the training, or None as they are stored.
    """

    graphdef: nnx.GraphDef
    recipe: Recipe
    steps_per_epoch: int
    objective: Objective
    preparation: Preparation
    size: tuple[int, int] | None = None

    @property
    def transform(self) -> optax.GradientTransformation:
        return self.recipe.transform(self.steps_per_epoch)


class TrainState(NamedTuple):
    """What changes from step to step; all of it is saved.

    Attributes:
        trained: parameters that follow the gradient.
        frozen: parameters that stay.
        rest: running statistics of BatchNorm and whatever else is no parameter.
        optimizer: state of the optimiser.
        step: steps done.
        recorded: sum of the updates of the batches that held a recorded input, or None (Graves et al. 2020).
    """

    trained: Tree
    frozen: Tree
    rest: Tree
    optimizer: Tree
    step: Int[Array, ""]
    recorded: Tree | None


class TrainData(NamedTuple):
    """A training set on the device.

    Attributes:
        inputs: as stored, [N, ...]; uint8 images stay uint8.
        targets: labels int32 [N], or rows of outputs float32 [N, classes].
        record: whether the updates of batches with this input are recorded, bool [N], or None.
        mask: factor of the updates, a tree like the trained parameters, or None; 0 keeps a weight as it is.
        extras: arrays for the objective.
    """

    inputs: Array
    targets: Array
    record: Array | None = None
    mask: Tree | None = None
    extras: Any = None


class StepMetrics(NamedTuple):
    """Of each step: the loss and the share of right answers."""

    loss: Float[Array, "..."] | Float[np.ndarray, "..."]
    accuracy: Float[Array, "..."] | Float[np.ndarray, "..."]


def train_step(
    plan: Plan, state: TrainState, data: TrainData, rows: Int[Array, " batch"], key: PRNGKeyArray
) -> tuple[TrainState, StepMetrics]:
    """One step of the optimiser on the inputs `rows`; `key` is that of the whole training."""
    key = jax.random.fold_in(key, state.step)
    inputs = plan.preparation(data.inputs[rows])
    targets = data.targets[rows]
    if inputs.ndim == 4:
        inputs = augment(inputs, key, plan.recipe.augment)
        if plan.size is not None and plan.size != inputs.shape[1:3]:
            inputs = resize(inputs, plan.size)

    def loss_of(trained: Tree) -> tuple[Array, tuple[Array, Tree]]:
        model = nnx.merge(plan.graphdef, trained, state.frozen, state.rest)
        loss, outputs = plan.objective(model, inputs, targets, data.extras)
        return loss, (outputs, as_pure(nnx.state(model, nnx.Not(nnx.Param))))

    (loss, (outputs, rest)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.trained)
    updates, optimizer = plan.transform.update(gradient, state.optimizer, state.trained)
    if data.mask is not None:
        updates = jax.tree.map(jnp.multiply, updates, data.mask)
    recorded = state.recorded
    if recorded is not None and data.record is not None:
        hit = data.record[rows].any()
        recorded = jax.tree.map(lambda total, update: total + jnp.where(hit, update, 0), recorded, updates)
    state = TrainState(
        optax.apply_updates(state.trained, updates), state.frozen, rest, optimizer, state.step + 1, recorded
    )
    wanted = targets if targets.ndim == 1 else targets.argmax(-1)
    return state, StepMetrics(loss, (outputs.argmax(-1) == wanted).mean())


@functools.partial(jax.jit, static_argnames="plan", donate_argnames="state")
def train_steps(
    plan: Plan, state: TrainState, data: TrainData, rows: Int[Array, "steps batch"], key: PRNGKeyArray
) -> tuple[TrainState, StepMetrics]:
    """Do one step for each row of `rows` under one `lax.scan`; metrics are [steps]."""
    if len(rows) == 1:
        # No loop around a single step: XLA's CPU backend does convolutions inside a loop several times as slowly.
        state, metrics = train_step(plan, state, data, rows[0], key)
        return state, jax.tree.map(lambda value: value[None], metrics)
    return jax.lax.scan(lambda s, batch: train_step(plan, s, data, batch, key), state, rows)


@functools.partial(jax.jit, static_argnames="plan", donate_argnames="states")
def train_steps_together(
    plan: Plan,
    states: TrainState,
    data: TrainData,
    rows: Int[Array, "runs steps batch"],
    keys: Key[Array, " runs"],
) -> tuple[TrainState, StepMetrics]:
    """Like `train_steps` for several runs at once (`jax.vmap`): states, rows and keys have a leading axis of runs."""
    return jax.vmap(lambda s, r, k: train_steps(plan, s, data, r, k))(states, rows, keys)
