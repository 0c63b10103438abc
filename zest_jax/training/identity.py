"""What tells one training from another: what must be the same for a run to go on, and what its model's lineage notes."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from zest_jax.training.beyond_labels import Extras
from zest_jax.training.checkpoints import Checkpoint, LineageStep, fingerprint
from zest_jax.training.feeding import Description
from zest_jax.training.recipes import Recipe


def noted(step: LineageStep, *, recipe: Recipe, seed: int, described: Description, extras: Extras) -> LineageStep:
    """The step with all that the training adds to it."""
    own: dict[str, Any] = {
        "recipe": recipe.to_json(),
        "seed": seed,
        "dataset": described.name,
        "data_hash": described.data_hash,
    }
    if extras.record is not None:
        own["recorded_rows"] = sorted(int(row) for row in extras.record)
        if extras.record_together:
            own["recorded_together"] = True
    return dataclasses.replace(step, settings={**step.settings, **own})


def identity(
    start: Checkpoint,
    step: LineageStep,
    *,
    recipe: Recipe,
    seed: int,
    described: Description,
    extras: Extras,
    trained: Sequence[str],
) -> dict[str, Any]:
    """What must be the same for a training to go on.

    Args:
        start: the model that is trained.
        step: as `noted` gives it.
        recipe, seed, extras: of the training.
        described: its data.
        trained: names of the parameters that are trained.
    """
    hashed = {
        "targets": extras.targets,
        "record": extras.record,
        "mask": None if extras.mask is None else np.frombuffer(fingerprint(extras.mask).encode(), np.uint8),
    }
    return {
        "kind": step.kind,
        "parent": step.parent,
        "settings": dict(step.settings),
        "model": start.info.model.to_json(),
        "start": start.fingerprint,
        "mean": start.info.mean,
        "std": start.info.std,
        "class_names": start.info.class_names,
        "input_shape": start.info.input_shape,
        "tokenizer": start.info.tokenizer and hashlib.sha256(start.info.tokenizer.encode()).hexdigest(),
        "dataset": described.name,
        "data_hash": described.data_hash,
        "recipe": recipe.to_json(),
        "seed": seed,
        "trained": "all" if extras.trained is None else list(trained),
        **{name: None if value is None else _digest(np.asarray(value)) for name, value in hashed.items()},
    }


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(
        f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
    ).hexdigest()
