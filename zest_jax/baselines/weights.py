"""Cosine of weights, for who may look into both models."""

import dataclasses
from typing import ClassVar

import jax
import numpy as np
from flax import nnx

from zest_jax.baselines.cosines import cosine
from zest_jax.baselines.protocol import Access, Method, Model, Prepared
from zest_jax.blackbox.flax import from_flax
from zest_jax.blackbox.protocol import BlackBox, JaxBlackBox
from zest_jax.data.datasets import Dataset
from zest_jax.errors import ModelOutputError

_SHOWN = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightCosine(Method):
    """Cosine between the kernels of two models of one architecture, for those who can read both.

    The score is <v, s> / (|v| |s|) in [-1, 1] for the kernels of victim and suspect in a row, that is all arrays with two axes
    or more: HIGHER means more likely made from the victim. Kernels that one of them lacks or has in another shape, as the new
    head of a model that was moved to other classes, are left out, as long as those that correspond hold at least half of the
    weights of both (as those of ResNet20 do in ResNet32). Biases, scales and running statistics are left out: they are alike in
    most models. The comparison of weights that ModelDiff is measured against (Li et al., ISSTA 2021); it says nothing about a
    copy of another architecture or one that was trained anew, and permuting the units of a layer hides a model from it.

    It takes checkpoints, or black boxes in JAX, which hold their weights (`from_checkpoint`, `from_flax`, `from_linen`, or
    `from_jax` with a state). A suspect is asked nothing: inputs are not looked at and any budget is enough.

    Raises:
        TypeError: a model shows no weights.
        ValueError: less than half of the weights of either correspond to one of the other: the architectures differ; what
            differs is named.

    >>> from zest_jax import from_flax
    >>> first, second = (from_flax(nnx.Linear(3, 2, rngs=nnx.Rngs(seed))) for seed in (0, 1))
    >>> pixels = Dataset(
    ...     inputs=np.zeros((1, 1, 1, 3), np.uint8), labels=np.zeros(1, np.int32), class_names=("any",),
    ...     mean=(0.5,) * 3, std=(0.5,) * 3, name="pixels")
    >>> prepared = WeightCosine().prepare(first, pixels, budget=0)
    >>> prepared.n_queries, round(prepared.score(first), 4), prepared.score(second) < 0.9
    (0, 1.0, True)
    """

    name: ClassVar[str] = "weight cosine"
    access: ClassVar[Access] = Access("weights", "weights")
    minimum: ClassVar[int] = 0
    version: ClassVar[int] = 2

    def prepare(self, victim: Model, inputs: Dataset, budget: int, *, seed: int = 0) -> Prepared:
        return _Kernels(n_queries=0, label=label_of(victim), kernels=kernels_of(victim))

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        return self.prepare(victim, inputs, budget, seed=seed)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Kernels(Prepared):
    """The victim's kernels by name."""

    label: str
    kernels: dict[str, np.ndarray]

    def score(self, suspect: Model) -> float:
        others = kernels_of(suspect)
        names = sorted(self.kernels.keys() | others.keys())
        shapes = {name: (_shape(self.kernels, name), _shape(others, name)) for name in names}
        different = [f"{name}: {one} and {other}" for name, (one, other) in shapes.items() if one != other]
        same = [name for name, (one, other) in shapes.items() if one == other]
        shared = sum(self.kernels[name].size for name in same)
        if 2 * shared < max(sum(kernel.size for kernel in of.values()) for of in (self.kernels, others)):
            more = f", ... ({len(different)} in all)" if len(different) > _SHOWN else ""
            raise ValueError(
                f"{self.label} and {label_of(suspect)} have different architectures ({', '.join(different[:_SHOWN])}{more}), so "
                "that most weights of one correspond to none of the other; compare them by what they answer, with SAC-w or Zest"
            )
        flat = (np.concatenate([part[name].ravel() for name in same]) for part in (self.kernels, others))
        return float(cosine(*flat))


def kernels_of(model: Model) -> dict[str, np.ndarray]:
    """All arrays of two axes or more that a model consists of, by their path, float64.

    Raises:
        ModelOutputError: a weight is not finite.
        TypeError: the model shows no weights.
    """
    if isinstance(model, JaxBlackBox):
        state = model.state
    elif isinstance(getattr(model, "model", None), nnx.Module):  # a checkpoint
        state = from_flax(model.model).state  # pyright: ignore[reportAttributeAccessIssue]
    else:
        raise TypeError(
            f"{WeightCosine.name} compares weights, which a {type(model).__name__} does not show; give a checkpoint, or a model "
            "in JAX (from_checkpoint, from_flax, from_linen, from_jax with a `state`), or use a method that only asks, such as "
            "SAC-w"
        )
    leaves = jax.tree_util.tree_leaves_with_path(state)
    kernels = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf, np.float64)
        for path, leaf in leaves
        if np.ndim(leaf) >= 2
    }
    if not kernels:
        raise TypeError(
            f"{label_of(model)} holds no kernels: its weights, if it has any, are inside a function; give them to `from_jax` as "
            "`state`"
        )
    for name, kernel in kernels.items():
        if not np.isfinite(kernel).all():
            raise ModelOutputError(f"{label_of(model)} has weights that are not finite, first in {name}; it is damaged")
    return kernels


def label_of(model: Model) -> str:
    """What messages call a model."""
    return model.label if isinstance(model, BlackBox) else model.info.model.name


def _shape(kernels: dict[str, np.ndarray], name: str) -> str:
    return "x".join(map(str, kernels[name].shape)) if name in kernels else "absent"
