"""A configuration of a zoo, and images for it, small enough for a test."""

from pathlib import Path

import numpy as np

CONFIG = """
import dataclasses
from zest_jax import zoo as z
from zest_jax.models import ModelConfig
from zest_jax.training import recipe

RESNET20 = ModelConfig(name="resnet20", num_classes=2)
SHORT = dataclasses.replace(recipe("fine-tune"), epochs={epochs}, batch_size=8)
DATA = z.Data(source={data!r})
zoo = z.Zoo(
    name="tiny",
    models=(
        z.Train(name="victim", model=RESNET20, data=DATA, recipe=SHORT, seed={seed}, save_every=1),
        {more}
    ),
)
"""


def write_config(folder: Path, *, epochs: int = 1, seed: int = 0, more: str = "") -> Path:
    """Write the images and the configuration; the victim is trained, the rest is `more`."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(16) % 2
    arrays = {"x_train": inputs, "y_train": labels, "x_test": inputs[:8], "y_test": labels[:8]}
    np.savez(folder / "tiny.npz", **arrays)
    path = folder / "zoo.py"
    path.write_text(CONFIG.format(data=str(folder / "tiny.npz"), epochs=epochs, seed=seed, more=more))
    return path
