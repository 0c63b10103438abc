"""Models for the baselines: tables that are looked up, and small networks that exist in JAX and in NumPy."""

import numpy as np

from tests.making import images
from zest_jax.baselines import IPGuard, ModelDiff, Zest
from zest_jax.blackbox import from_callable, from_jax
from zest_jax.data import Dataset

# Fewer steps than by default.
QUICK = {"IPGuard": IPGuard(steps=30, step=0.01, margin=0.1), "ModelDiff": ModelDiff(steps=5)}
GRID = {"segmenter": "grid", "segmenter_settings": {"rows": 2, "columns": 2}}
QUICK["Zest"] = Zest(**GRID)


def quick(kind):
    """A method with settings that let it end soon."""
    return QUICK.get(kind.name) or kind()


def indexed(labels, *, classes=3):
    """Images whose first value is their number, which a table looks up."""
    n = len(labels)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(n)
    return Dataset(
        inputs=pixels,
        labels=np.asarray(labels, np.int32),
        class_names=tuple("abcdefgh"[:classes]),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        name="indexed",
    )


def table(rows, *, label="table", asked=None, **settings):
    """A model that answers image i of `indexed` with rows[i]; `asked` collects the numbers of the images."""
    rows = np.asarray(rows, np.float32)

    def look_up(x):
        index = np.rint(x[:, 0, 0, 0] * 255).astype(int)
        if asked is not None:
            asked.extend(index.tolist())
        return rows[index]

    return from_callable(look_up, label=label, **settings)


def one_hot(labels, *, classes=3):
    """Scores of which the highest is the label."""
    return np.eye(classes, dtype=np.float32)[np.asarray(labels)]


def weights(seed=0, *, classes=3, hidden=16, inputs=8 * 8 * 3):
    """Weights of a network with one hidden layer."""
    rng = np.random.default_rng(seed)
    return {
        "first": (rng.normal(size=(inputs, hidden)) / np.sqrt(inputs) * 6).astype(np.float32),
        "second": rng.normal(size=(hidden, classes)).astype(np.float32),
    }


def network(state, x):
    """Scores of flat or square inputs; with the weights' own kind of arrays, JAX or NumPy."""
    flat = x.reshape(len(x), -1) - 0.5
    hidden = flat @ state["first"]
    return (hidden / (1 + abs(hidden))) @ state["second"]


def model(seed=0, *, label=None, permutation=None, nearby=0.0, **shape):
    """A network in JAX; its classes permuted, or its weights moved a little."""
    state = weights(seed, **shape)
    if nearby:
        rng = np.random.default_rng(99)
        state = {name: w + nearby * rng.normal(size=w.shape).astype(np.float32) for name, w in state.items()}
    if permutation is not None:
        state = {**state, "second": state["second"][:, list(permutation)]}
    return from_jax(network, state, label=label or f"network {seed}")


def on_the_host(seed=0, *, asked=None, **shape):
    """The network as a function on NumPy arrays, which can only be asked; `asked` collects batch sizes."""
    state = weights(seed, **shape)

    def answer(x):
        if asked is not None:
            asked.append(len(x))
        return network(state, x)

    return from_callable(answer, label=f"host {seed}")


def noise(n=60, **settings):
    """Images that the networks take."""
    return images(n, **settings)
