"""Pruning: the smallest weights of all convolutions become 0 (Han et al. 2015; paper, section 4.2)."""

import dataclasses
import os
from typing import Any

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.reuse.derived import derived, kernels
from zest_jax.training.checkpoints import Checkpoint, LineageStep, set_weights, weights_of
from zest_jax.training.loop import fit
from zest_jax.training.recipes import Recipe


def prune(
    victim: Checkpoint,
    *,
    sparsity: float,
    data: Dataset | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    progress: bool | None = False,
) -> Checkpoint:
    """Set the weights of smallest magnitude, over all kernels of convolutions together, to 0.

    With `data` and `recipe` the others are then trained further; those at 0 stay there.

    Args:
        victim: stays as it is.
        sparsity: share of the convolutions' weights that become 0, in (0, 1); the paper has 0.2, 0.5 and 0.8.
        data: to train further on, with `recipe`; or None, without.
        recipe: how; or None.
        seed: as in `fit`.
        folder: as in `fit`.
        test: as in `fit`.
        save_every: as in `fit`.
        progress: as in `fit`.

    Raises:
        ValueError: `sparsity` is out of range, only one of `data` and `recipe` is given, or the model has no convolution.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import CheckpointInfo
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> pruned = prune(victim, sparsity=0.5)
    >>> round(sparsity_of(pruned.model), 2), pruned.info.lineage[-1].kind
    (0.5, 'prune')
    """
    check_sparsity(sparsity)
    if (data is None) != (recipe is None):
        raise ValueError("fine-tuning after pruning needs both `data` and `recipe`; give both, or none")
    weights = weights_of(victim.model)
    mask = pruning_mask(weights, sparsity)
    pruned = {name: array * mask[name] if name in mask else array for name, array in weights.items()}
    settings = {"sparsity": sparsity}
    if data is None or recipe is None:
        step = LineageStep(kind="prune", parent=victim.fingerprint, settings=settings)
        return derived(victim.info, pruned, step, folder=folder, test=test)
    start: Any = victim.info.model.build()
    set_weights(start, pruned, origin="the pruned model")
    return fit(
        dataclasses.replace(victim, model=start, path=None),
        data,
        recipe,
        seed=seed,
        step=LineageStep(kind="prune", parent=victim.fingerprint, settings=settings),
        folder=folder,
        test=test,
        mask=mask,
        save_every=save_every,
        progress=progress,
    ).checkpoint


def check_sparsity(sparsity: float) -> None:
    """Refuse shares of weights that are not above 0 and below 1.

    Args:
        sparsity: the share.

    Raises:
        ValueError: it is not in (0, 1).

    >>> check_sparsity(50)
    Traceback (most recent call last):
    ValueError: `sparsity` is 50; give the share of weights to remove, above 0 (nothing) and below 1 (all); for 50% give 0.5
    """
    if not 0 < sparsity < 1:
        hint = f"; for {sparsity:g}% give {sparsity / 100:g}" if 1 < sparsity < 100 else ""
        raise ValueError(
            f"`sparsity` is {sparsity:g}; give the share of weights to remove, above 0 (nothing) and below 1 (all){hint}"
        )


def pruning_mask(weights: dict[str, np.ndarray], sparsity: float) -> dict[str, np.ndarray]:
    """For each kernel of a convolution, 0 where a weight is removed and 1 elsewhere.

    round(sparsity * n) of the n weights are removed; of equal ones the first.

    >>> pruning_mask({"c.kernel": np.array([[[1.0, -0.1, 3.0, 2.0]]])}, 0.5)["c.kernel"].ravel().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    names = kernels(weights, convolutions_only=True)
    if not names:
        raise ValueError("the model has no convolution to prune")
    magnitudes = np.concatenate([np.abs(weights[name]).ravel() for name in names])
    kept = np.ones(magnitudes.size, np.float32)
    kept[np.argsort(magnitudes, kind="stable")[: round(sparsity * magnitudes.size)]] = 0
    ends = np.cumsum([weights[name].size for name in names])
    return {
        name: part.reshape(weights[name].shape) for name, part in zip(names, np.split(kept, ends[:-1]), strict=True)
    }


def sparsity_of(model: Any) -> float:
    """Share of the weights of all convolutions that are 0.

    Args:
        model: of Flax NNX.

    Returns:
        the share, in [0, 1].

    Raises:
        ValueError: the model has no convolution.

    >>> from zest_jax.models import create
    >>> sparsity_of(create("m5", 2, widths=(4, 4, 4, 4)))
    0.0
    """
    weights = weights_of(model)
    names = kernels(weights, convolutions_only=True)
    if not names:
        raise ValueError("the model has no convolution")
    return sum(int((weights[name] == 0).sum()) for name in names) / sum(weights[name].size for name in names)
