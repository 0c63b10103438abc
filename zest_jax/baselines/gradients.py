"""Moving inputs along a model's gradient."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zest_jax.baselines.protocol import Method
from zest_jax.blackbox.protocol import BlackBox, InputSpec, JaxBlackBox
from zest_jax.data.known import Modality

Objective = Callable[..., jax.Array]

# Inputs moved at once: gradients keep every layer's outputs in memory.
_BATCH = 64
_LOWEST = {"image": 0.0, "audio": -1.0}


def with_gradients(box: BlackBox, method: Method, whose: str) -> JaxBlackBox:
    """Return a model if JAX can take its gradients.

    Args:
        whose: "victim" or "suspect".

    Raises:
        ValueError: it cannot; methods that need no gradients are named.

    >>> from zest_jax import from_callable
    >>> from zest_jax.baselines import IPGuard
    >>> with_gradients(from_callable(lambda x: x.mean((1, 2)), label="remote"), IPGuard(), "victim")
    Traceback (most recent call last):
    ValueError: IPGuard takes gradients of the victim, and remote can only be asked; ...
    """
    if isinstance(box, JaxBlackBox):
        return box
    from zest_jax.baselines import METHODS  # which needs this module

    free = [kind.name for kind in METHODS if not {"gradients", "weights"} & set(kind().access)]
    raise ValueError(
        f"{method.name} takes gradients of the {whose}, and {box.label} can only be asked; give a model in JAX "
        "(from_checkpoint, from_flax, from_linen, from_jax), or use a method that needs no gradients: "
        f"{', '.join(free)}" + (", or ModelDiff(adversary='victim')" if whose == "suspect" else "")
    )


def climb(
    box: JaxBlackBox,
    objective: Objective,
    start: np.ndarray,
    *arguments: np.ndarray,
    modality: Modality,
    steps: int,
    step: float,
    radius: float = np.inf,
    begin: np.ndarray | None = None,
) -> np.ndarray:
    """Raise an objective of a model's outputs by signed gradient steps: x <- clip(x + step * sign(dL/dx)).

    Projected gradient ascent in the maximum norm (Madry et al., ICLR 2018): after each step inputs are brought back to
    within `radius` of where they started, and into [0, 1] for images or [-1, 1] for sounds. An entry whose gradient is 0
    or not finite stays.

    Args:
        box: the model.
        objective: `objective(outputs, *arguments)` of a batch, summed over it; hashable, and the same object for all models,
            which then share a compilation.
        start: inputs in the plain scale, [n, ...].
        arguments: what the objective needs of each input, [n, ...].
        begin: where the first step is made from, within `radius`; `start` by default.

    Returns:
        float32 [n, ...].

    >>> from zest_jax import from_jax
    >>> box = from_jax(lambda x: x.sum((1, 2)))
    >>> start = np.full((1, 1, 1, 2), 0.5, np.float32)
    >>> climb(box, _first_minus_second, start, modality="image", steps=30, step=0.01, radius=0.25).ravel().tolist()
    [0.75, 0.25]
    """
    begin = start if begin is None else begin
    # XLA runs convolutions inside a loop on a CPU about ten times as slowly as outside of one (seen with JAX 0.10): there,
    # every step is a call.
    at_once = 1 if jax.default_backend() == "cpu" else steps
    limits = jnp.float32(step), jnp.float32(radius), jnp.float32(_LOWEST[modality])
    parts = []
    # As equal as can be, so that one or two shapes are compiled.
    for rows in np.array_split(np.arange(len(start)), -(-len(start) // _BATCH)):
        origin, given = jnp.asarray(start[rows], jnp.float32), tuple(argument[rows] for argument in arguments)
        moved = jnp.asarray(begin[rows], jnp.float32)
        for _ in range(0, steps, at_once):
            moved = _steps(box.apply, box.spec, objective, at_once, box.state, origin, moved, given, limits)
        parts.append(np.asarray(moved))
    return np.concatenate(parts)


def _first_minus_second(outputs: jax.Array) -> jax.Array:
    return (outputs[:, 0] - outputs[:, 1]).sum()


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _steps(
    apply: Callable,
    spec: InputSpec,
    objective: Objective,
    count: int,
    state: Any,
    start: jax.Array,
    moved: jax.Array,
    arguments: tuple[jax.Array, ...],
    limits: tuple[jax.Array, jax.Array, jax.Array],
) -> jax.Array:
    step, radius, lowest = limits

    def value(inputs: jax.Array) -> jax.Array:
        return objective(apply(state, spec.prepare(inputs)), *arguments)

    def once(_: Any, inputs: jax.Array) -> jax.Array:
        gradient = jax.grad(value)(inputs)
        inputs = inputs + step * jnp.where(jnp.isfinite(gradient), jnp.sign(gradient), 0)
        return jnp.clip(jnp.clip(inputs, start - radius, start + radius), lowest, 1)

    return once(0, moved) if count == 1 else jax.lax.fori_loop(0, count, once, moved)
