"""Weights with noise on them: a copy that hides itself."""

import os

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.reuse.derived import derived, kernels
from zest_jax.training.checkpoints import Checkpoint, LineageStep, weights_of


def add_noise(
    victim: Checkpoint,
    *,
    scale: float,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
) -> Checkpoint:
    """Add Gaussian noise to every kernel, of `scale` times the standard deviation of that kernel.

    Args:
        victim: stays as it is; so do its biases and batch normalisation in the copy.
        scale: above 0; 0.1 hardly changes a classifier, 1 destroys it.
        seed: of the noise.
        folder: where the checkpoint is stored, if anywhere.
        test: where its accuracy is measured.

    Raises:
        ValueError: `scale` is not above 0.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import CheckpointInfo
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> noisy = add_noise(victim, scale=0.1, seed=0)
    >>> noisy.info.lineage[-1].settings, noisy.fingerprint == victim.fingerprint
    ({'scale': 0.1, 'seed': 0}, False)
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"`scale` is {scale}; give a number above 0, such as 0.1")
    weights = weights_of(victim.model)
    rng = np.random.default_rng(seed)
    for name in sorted(kernels(weights)):
        kernel = weights[name]
        noise = rng.standard_normal(kernel.shape, np.float32)
        weights[name] = kernel + np.float32(scale) * kernel.std() * noise
    step = LineageStep(kind="noise", parent=victim.fingerprint, settings={"scale": scale, "seed": seed})
    return derived(victim.info, weights, step, folder=folder, test=test)
