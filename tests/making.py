"""Small data and models, made without training."""

import dataclasses

import numpy as np

from zest_jax.data import Dataset
from zest_jax.models.registry import ModelConfig
from zest_jax.training import Checkpoint, start_checkpoint

RESNET20 = ModelConfig(name="resnet20", num_classes=3)
# Compiled in a second: with a batch normalisation, with dropout.
M5 = ModelConfig(name="m5", num_classes=3, options={"widths": (4, 4, 4, 4)})
LSTM = ModelConfig(name="lstm", num_classes=3, options={"vocabulary": 20, "embedding": 8, "hidden": 8, "dropout": 0.5})


def images(n: int = 24, *, classes: int = 3, size: int = 8, seed: int = 0, name: str = "noise") -> Dataset:
    """Random images [n, size, size, 3]."""
    rng = np.random.default_rng(seed)
    return Dataset(
        inputs=rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8),
        labels=(np.arange(n) % classes).astype(np.int32),
        class_names=tuple("abcdefghij"[:classes]),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.25),
        name=name,
    )


def striped(n: int = 24, **settings: int) -> Dataset:
    """Images of which a column of pixels tells the class, so that there is something to learn."""
    data = images(n, **settings)
    pictures = data.inputs // 4
    pictures[np.arange(n), :, data.labels] = 255
    return dataclasses.replace(data, inputs=pictures)


def sounds(n: int = 24, *, samples: int = 512, seed: int = 0) -> Dataset:
    """Tones of three pitches with noise, int16 [n, samples]."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3).astype(np.int32)
    phase = np.arange(samples) * (1 + labels[:, None]) / 12 + rng.uniform(0, 6, (n, 1))
    waves = 8000 * np.sin(phase) + rng.normal(0, 500, (n, samples))
    return Dataset(
        inputs=waves.astype(np.int16),
        labels=labels,
        class_names=("low", "middle", "high"),
        mean=(0.0,),
        std=(1.0,),
        modality="audio",
        name="tones",
    )


def texts(n: int = 24, *, seed: int = 0) -> Dataset:
    """Sentences of which one word tells the class."""
    rng = np.random.default_rng(seed)
    telling, others = ("goal", "market", "planet"), ("the", "a", "is", "of", "and", "in")
    labels = (np.arange(n) % 3).astype(np.int32)
    found = [" ".join([*rng.choice(others, 5), telling[label], *rng.choice(others, 3)]) for label in labels]
    return Dataset(
        inputs=np.array(found, object),
        labels=labels,
        class_names=("sport", "business", "science"),
        mean=(),
        std=(),
        modality="text",
        name="sentences",
    )


def untrained(seed: int = 0, *, classes: int = 3) -> Checkpoint:
    """A ResNet20 with random weights."""
    config = dataclasses.replace(RESNET20, num_classes=classes)
    return start_checkpoint(config, images(classes=classes), seed=seed)
