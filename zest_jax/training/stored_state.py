"""The state of a training as flat arrays by name, as a checkpoint keeps it, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zest_jax.training.checkpoints import DamagedCheckpointError
from zest_jax.training.engine import TrainState

# Prefix, in what a checkpoint keeps of a training, of the summed updates of recorded batches.
RECORDED = "recorded."


def named(tree: Any) -> dict[str, np.ndarray]:
    """Arrays of a pure state by dotted name."""
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path): np.asarray(a) for path, a in found}


def going_on(state: TrainState) -> list[tuple[str, Any]]:
    """Arrays of a state that are neither parameters (the model has them) nor keys (they follow from the seed)."""
    tree = {"optimizer": state.optimizer, "rest": state.rest, "step": state.step}
    found = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]
    return [(name, leaf) for name, leaf in found if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]


def restored(
    fresh: TrainState, weights: Mapping[str, np.ndarray], training: Mapping[str, np.ndarray], path: Path
) -> TrainState:
    """A fresh state with all values taken from a checkpoint."""

    def filled(tree: Any, values: Mapping[str, np.ndarray], prefix: str = "") -> Any:
        leaves = [jnp.asarray(values[prefix + name]) for name in named(tree)]
        return jax.tree.unflatten(jax.tree.structure(tree), leaves)

    tree = {"optimizer": fresh.optimizer, "rest": fresh.rest, "step": fresh.step}
    stored = {name for name, _ in going_on(fresh)}
    try:
        kept = jax.tree_util.tree_map_with_path(
            lambda at, leaf: jnp.asarray(training[name]) if (name := jax.tree_util.keystr(at)) in stored else leaf, tree
        )
        return TrainState(
            filled(fresh.trained, weights),
            filled(fresh.frozen, weights),
            kept["rest"],
            kept["optimizer"],
            kept["step"],
            None if fresh.recorded is None else filled(fresh.recorded, training, RECORDED),
        )
    except KeyError as error:
        raise DamagedCheckpointError(f"the state of the training in {path} lacks {error}") from error
