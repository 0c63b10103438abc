"""Small data and models, made without training."""

import numpy as np

from zest_jax.data import Dataset
from zest_jax.models.registry import ModelConfig
from zest_jax.training import Checkpoint, start_checkpoint


def images(n: int = 24, *, classes: int = 3, size: int = 8, seed: int = 0, name: str = "noise") -> Dataset:
    """Random images [n, size, size, 3]."""
    rng = np.random.default_rng(seed)
    return Dataset(
        inputs=rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8),
        labels=(np.arange(n) % classes).astype(np.int32),
        class_names=tuple("abcdefgh"[:classes]),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.25),
        name=name,
    )


def untrained(seed: int = 0, *, classes: int = 3) -> Checkpoint:
    """A ResNet20 with random weights."""
    return start_checkpoint(ModelConfig(name="resnet20", num_classes=classes), images(classes=classes), seed=seed)
