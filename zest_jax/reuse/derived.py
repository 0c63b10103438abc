"""Models made from another without training: copied, changed, measured, stored."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.data.tokens import as_stored
from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo, LineageStep, set_weights
from zest_jax.training.classes import labels_for
from zest_jax.training.evaluation import accuracy
from zest_jax.training.run_folder import save_checkpoint
from zest_jax.version import __version__


def derived(
    info: CheckpointInfo,
    weights: Mapping[str, np.ndarray],
    step: LineageStep,
    *,
    folder: str | os.PathLike[str] | None,
    test: Dataset | None,
) -> Checkpoint:
    """Make a checkpoint of changed weights.

    Args:
        info: of the model it is made from; the step is added to its lineage.
        weights: of the new model, by dotted name.
        step: what was done.
        folder: where it is stored, if anywhere.
        test: where its accuracy is measured; None: it is not known.
    """
    model: Any = info.model.build()
    set_weights(model, weights, origin=f"the model made by {step.kind}")
    info = dataclasses.replace(info, accuracy=None, lineage=(*info.lineage, step), version=__version__)
    checkpoint = Checkpoint(model, info)
    if test is not None:
        labels = labels_for(test, info)
        stored = as_stored(test.inputs, info.tokenizer, origin=test.name)
        found = accuracy(model, stored, labels, checkpoint.preparation)
        checkpoint = dataclasses.replace(checkpoint, info=dataclasses.replace(info, accuracy=found))
    return checkpoint if folder is None else save_checkpoint(folder, checkpoint)


def kernels(weights: Mapping[str, np.ndarray], *, convolutions_only: bool = False) -> list[str]:
    """Names of the kernels of convolutions, and of dense layers unless those are not wanted.

    >>> kernels({"head.kernel": np.zeros((4, 2)), "conv.kernel": np.zeros((3, 3, 2, 4)), "head.bias": np.zeros(2)})
    ['head.kernel', 'conv.kernel']
    """
    least = 3 if convolutions_only else 2
    return [name for name, array in weights.items() if name.split(".")[-1] == "kernel" and array.ndim >= least]
