"""Which parameters of a model are trained, and what that means for the rest of it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zest_jax.training.stored_state import named


def trained_names(model: Any, wanted: Collection[str] | None) -> list[str]:
    """Names of the parameters to train, from input to output.

    Raises:
        ValueError: a name is no parameter's, or none is given.
    """
    names = [".".join(map(str, path)) for path in model.depth_order()]
    if wanted is None:
        return names
    if unknown := sorted(set(wanted) - set(names)):
        raise ValueError(f"`trained` names {', '.join(unknown[:5])}; the parameters are {', '.join(names[:5])}, ...")
    if not wanted:
        raise ValueError("`trained` is empty; name at least one parameter")
    return [name for name in names if name in set(wanted)]


def among(names: Sequence[str]) -> Any:
    """Tell the parameters of these names from all other variables of a model, as a filter of `nnx.split`."""
    wanted = set(names)
    return lambda path, variable: isinstance(variable, nnx.Param) and ".".join(map(str, path)) in wanted


def set_modes(model: Any, names: Sequence[str]) -> None:
    """Training mode, but for normalisations of which no parameter is trained: their statistics stay too."""
    model.train()
    wanted = set(names)
    for path, part in nnx.iter_modules(model):
        if isinstance(part, nnx.BatchNorm):
            own = {".".join(map(str, (*path, name))) for name in ("scale", "bias")}
            if not own & wanted:
                part.eval()


def mask_like(trained: Any, mask: Mapping[str, np.ndarray]) -> Any:
    """Factors of the updates as a tree like that of the parameters; 1 where none is given.

    Raises:
        ValueError: a factor has another shape than its parameter.
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(trained)
    names = list(named(trained))
    leaves = []
    for name, (_, leaf) in zip(names, paths, strict=True):
        factor = np.asarray(mask.get(name, np.ones((), np.float32)), np.float32)
        if factor.shape not in ((), leaf.shape):
            raise ValueError(f"the mask of {name} has shape {factor.shape}, and the parameter {leaf.shape}")
        leaves.append(jnp.asarray(factor))
    return jax.tree.unflatten(treedef, leaves)
