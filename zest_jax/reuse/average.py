"""Averages of the weights of two models (Izmailov et al. 2018; Wortsman et al. 2022)."""

import os
from typing import Any

import jax
import numpy as np
from flax import nnx

from zest_jax.data.datasets import Dataset
from zest_jax.data.tokens import as_stored
from zest_jax.reuse.derived import derived
from zest_jax.training.checkpoints import Checkpoint, LineageStep, set_weights, weights_of

_BATCH = 128


def average(
    a: Checkpoint,
    b: Checkpoint,
    *,
    weight: float = 0.5,
    data: Dataset | None = None,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
) -> Checkpoint:
    """Average the weights of two models of the same architecture: `(1 - weight) a + weight b`.

    Args:
        a: stays as it is; normalisation, class names and lineage are its own.
        b: stays as it is.
        weight: of b, in (0, 1).
        data: with it, the statistics of batch normalisation are estimated anew on these inputs, as they must be when the
            two models lie far apart (Izmailov et al. 2018, section 3); otherwise they are averaged like the weights.
        folder: where the checkpoint is stored, if anywhere.
        test: where its accuracy is measured.

    Raises:
        FileFormatError: the architectures differ; what misses and what is too much is listed.
        ValueError: `weight` is out of range.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import CheckpointInfo
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> other = Checkpoint(config.build(seed=1), victim.info)
    >>> middle = weights_of(average(victim, other).model)["head.kernel"]
    >>> bool(np.allclose(middle, (weights_of(victim.model)["head.kernel"] + weights_of(other.model)["head.kernel"]) / 2))
    True
    """
    if not 0 < weight < 1:
        raise ValueError(f"`weight` is {weight}; give the share of the second model, in (0, 1)")
    first, second = weights_of(a.model), weights_of(b.model)
    # Checks names and shapes.
    set_weights(a.info.model.build(), second, origin="the second model")
    mixed = {name: ((1 - weight) * first[name] + weight * second[name]).astype(first[name].dtype) for name in first}
    if data is not None:
        mixed = _with_statistics_of(a, mixed, data)
    step = LineageStep(
        kind="average",
        parent=a.fingerprint,
        settings={"other": b.fingerprint, "weight": weight, "statistics": data.name if data else "averaged"},
    )
    return derived(a.info, mixed, step, folder=folder, test=test)


def _with_statistics_of(checkpoint: Checkpoint, weights: dict[str, np.ndarray], data: Dataset) -> dict[str, np.ndarray]:
    """The weights with the mean of each batch's statistics over the data."""
    model: Any = checkpoint.info.model.build()
    set_weights(model, weights, origin="the averaged model")
    model.train()
    for _, part in nnx.iter_modules(model):
        if isinstance(part, nnx.BatchNorm):
            part.momentum = 0.0  # a forward pass leaves the statistics of its batch
    graphdef, state = nnx.split(model)

    @jax.jit
    def statistics(state: Any, batch: jax.Array) -> Any:
        made: Any = nnx.merge(graphdef, state)
        made(checkpoint.preparation(batch))
        return nnx.state(made, nnx.BatchStat)

    inputs = as_stored(data.inputs, checkpoint.info.tokenizer, origin=data.name)
    batches = [inputs[i : i + _BATCH] for i in range(0, len(inputs), _BATCH)]
    full = [batch for batch in batches if len(batch) == len(batches[0])]
    sums: dict[str, np.ndarray] = {}
    for batch in full:
        for path, variable in nnx.to_flat_state(statistics(state, batch)):
            name = ".".join(map(str, path))
            sums[name] = sums.get(name, 0) + np.asarray(variable[...], np.float64)
    return weights | {name: (total / len(full)).astype(np.float32) for name, total in sums.items()}
