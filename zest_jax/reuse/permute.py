"""The same model with its classes in another order: the answer that class alignment must find."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from zest_jax.reuse.derived import derived
from zest_jax.training.checkpoints import Checkpoint, LineageStep, weights_of
from zest_jax.training.run_folder import save_checkpoint


def permute_labels(
    victim: Checkpoint,
    permutation: Sequence[int] | None = None,
    *,
    seed: int | None = None,
    keep_names: bool = False,
    folder: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """Reorder the outputs of a model: class i of the new one is class `permutation[i]` of the victim.

    Args:
        victim: stays as it is.
        permutation: each class once; or None, and `seed` draws one.
        seed: of a random permutation.
        keep_names: whether class names stay where they are, as a thief would have it; otherwise they move along.
        folder: where the checkpoint is stored, if anywhere.

    Raises:
        ValueError: it is no permutation of the victim's classes, or not one of `permutation` and `seed` is given.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import CheckpointInfo
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> other, sounds = permute_labels(victim, [1, 0]), np.ones((3, 512), np.int16)
    >>> bool(np.allclose(other.outputs(sounds), victim.outputs(sounds)[:, [1, 0]]))
    True
    """
    n = victim.info.model.num_classes
    if (permutation is None) == (seed is None):
        raise ValueError("give either `permutation` or `seed`")
    order = np.random.default_rng(seed).permutation(n) if permutation is None else np.asarray(permutation)
    if sorted(order.tolist()) != list(range(n)):
        raise ValueError(f"`permutation` is {order.tolist()}; give each of the {n} classes, 0 to {n - 1}, once")
    weights = weights_of(victim.model)
    for name in ("head.kernel", "head.bias"):
        if name not in weights:
            raise ValueError(f"{victim.info.model.name} has no head whose outputs could be reordered")
        weights[name] = weights[name][..., order]
    names = victim.info.class_names
    info = victim.info
    if names and not keep_names:
        info = dataclasses.replace(info, class_names=tuple(names[i] for i in order))
    step = LineageStep(
        kind="permute", parent=victim.fingerprint, settings={"permutation": order.tolist(), "keep_names": keep_names}
    )
    made = derived(info, weights, step, folder=None, test=None)
    # The outputs are the same: so is the accuracy, when names are moved with them.
    if not keep_names:
        made = dataclasses.replace(made, info=dataclasses.replace(made.info, accuracy=victim.info.accuracy))
    return made if folder is None else save_checkpoint(folder, made)
