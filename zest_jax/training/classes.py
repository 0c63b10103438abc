"""Whether a data set is one for a model: its classes, in which order, and the rate of its sounds."""

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.training.checkpoints import CheckpointInfo


def labels_for(data: Dataset, info: CheckpointInfo) -> np.ndarray:
    """Labels of a data set, int32 [N], numbered as a model numbers its classes.

    Names decide where both sides have them; numbers as names ("0", "1", ...) count as none.

    Raises:
        ValueError: the numbers of classes or their names differ.
    """
    wanted = info.model.num_classes
    if data.num_classes != wanted:
        raise ValueError(
            f"{data.name} has {data.num_classes} classes and the model {wanted}; give data of the model's classes, or give "
            "the model a head for them with `transfer`"
        )
    ours, theirs = info.class_names, data.class_names
    if ours == theirs or not _named(ours) or not _named(theirs):
        return data.labels
    if sorted(ours) != sorted(theirs):
        unknown = [name for name in theirs if name not in ours]
        raise ValueError(
            f"{data.name} has classes that the model does not know ({', '.join(unknown[:5])}); it knows "
            f"{', '.join(ours[:5])}{', ...' if len(ours) > 5 else ''}; give data of its classes, or use `transfer`"
        )
    number = {name: i for i, name in enumerate(ours)}
    return np.array([number[name] for name in theirs], np.int32)[data.labels]


def check_rate(data: Dataset, info: CheckpointInfo) -> None:
    """Refuse sounds of another rate than those that a model takes, where both are known.

    Raises:
        ValueError: names both.
    """
    if data.rate is not None and info.rate is not None and data.rate != info.rate:
        raise ValueError(
            f"{data.name} has {data.rate:,} samples per second, and the model takes {info.rate:,}; load it with "
            f"`rate={info.rate}` (`--rate {info.rate}`)"
        )


def _named(names: tuple[str, ...]) -> bool:
    return len(set(names)) == len(names) and not all(name.isdecimal() for name in names)
