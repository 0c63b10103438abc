"""What a training may do besides learning the labels of a data set, and what of it fits the data and the model."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.training.objectives import Objective


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extras:
    """What a training may do besides learning the labels of a data set; see `fit`."""

    targets: np.ndarray | None = None
    objective: Objective | None = None
    arrays: Any = None
    trained: Collection[str] | None = None
    mask: Mapping[str, np.ndarray] | None = None
    record: Sequence[int] | None = None
    record_together: bool = False


LABELS_ALONE = Extras()
"""Nothing besides."""


def checked_targets(targets: np.ndarray | Sequence[Any], data: Dataset, num_classes: int) -> np.ndarray:
    """What is to be learnt in place of the labels of a data set.

    Raises:
        ValueError: their number or classes do not fit, or some are not finite.
    """
    found = np.asarray(targets)
    if len(found) != len(data):
        raise ValueError(f"there are {len(found)} targets for {len(data)} inputs of {data.name}; give one for each")
    if found.ndim == 1 and found.dtype.kind in "iu":
        if found.min() < 0 or found.max() >= num_classes:
            raise ValueError(f"targets go from {found.min()} to {found.max()}, and the model has {num_classes} classes")
        return found.astype(np.int32)
    if found.ndim != 2 or found.shape[1] != num_classes:
        raise ValueError(
            f"targets have shape {found.shape}; give labels [N] or rows of outputs [N, {num_classes}], one per class"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(found))} of {found.size} targets are not finite")
    return found.astype(np.float32)


def checked_mask(mask: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Refuse masks of parameters that are not trained."""
    if unknown := sorted(set(mask) - set(names)):
        raise ValueError(f"`mask` names {', '.join(unknown[:5])}, which the model does not train")
