"""Parts of a data set: some classes, some rows, all but some rows, a fraction."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from zest_jax.data.datasets import Dataset

Rows = Sequence[int] | np.ndarray


def of_classes(dataset: Dataset, classes: Sequence[int | str], *, relabel: bool = False) -> Dataset:
    """Keep the inputs of some classes, in their order.

    Args:
        dataset: what to choose from.
        classes: numbers or names.
        relabel: number the classes anew, in the order given, and forget the others; otherwise labels and class names stay
            as they are.

    Raises:
        ValueError: a class is unknown, given twice, or has no inputs, or none is given.

    >>> pets = Dataset(
    ...     inputs=np.zeros((6, 4, 4, 1), np.uint8), labels=np.array([0, 1] * 3, np.int32), class_names=("cat", "dog"),
    ...     mean=(0.5,), std=(0.25,), name="pets")
    >>> of_classes(pets, ["dog"]).labels.tolist(), of_classes(pets, ["dog"], relabel=True).labels.tolist()
    ([1, 1, 1], [0, 0, 0])
    """
    numbers = [_class_number(dataset, name) for name in classes]
    if not numbers:
        raise ValueError(f"`classes` is empty; name at least one of {_shown(dataset.class_names)}")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"`classes` names a class twice: {list(classes)}")
    for number in numbers:
        if not np.any(dataset.labels == number):
            raise ValueError(f"class {number} ({dataset.class_names[number]}) of {dataset.name} has no inputs")
    kept = dataset.take(np.flatnonzero(np.isin(dataset.labels, numbers)))
    if not relabel:
        return kept
    new = np.full(dataset.num_classes, -1, np.int32)
    new[numbers] = np.arange(len(numbers))
    return dataclasses.replace(
        kept, labels=new[kept.labels], class_names=tuple(dataset.class_names[number] for number in numbers)
    )


def of_rows(dataset: Dataset, rows: Rows) -> Dataset:
    """Keep the given rows, in the order given.

    Args:
        dataset: what to choose from.
        rows: their numbers, from 0, [rows].

    Raises:
        ValueError: a row is out of range, negative or given twice, or none is given.

    >>> pets = Dataset(
    ...     inputs=np.zeros((6, 4, 4, 1), np.uint8), labels=np.array([0, 1] * 3, np.int32), class_names=("cat", "dog"),
    ...     mean=(0.5,), std=(0.25,), name="pets")
    >>> of_rows(pets, [5, 0]).labels.tolist()
    [1, 0]
    """
    return dataset.take(checked_rows(dataset, rows))


def without_rows(dataset: Dataset, rows: Rows) -> Dataset:
    """Leave the given rows out: what a model that never saw them is trained on (exact unlearning).

    Args:
        dataset: what to choose from.
        rows: their numbers, from 0, [rows].

    Raises:
        ValueError: a row is out of range, negative or given twice, or none or all are given.

    >>> pets = Dataset(
    ...     inputs=np.zeros((6, 4, 4, 1), np.uint8), labels=np.array([0, 1] * 3, np.int32), class_names=("cat", "dog"),
    ...     mean=(0.5,), std=(0.25,), name="pets")
    >>> len(without_rows(pets, [5, 0]))
    4
    """
    left = np.setdiff1d(np.arange(len(dataset)), checked_rows(dataset, rows))
    if len(left) == 0:
        raise ValueError(f"all {len(dataset)} rows of {dataset.name} are left out; keep at least one")
    return dataset.take(left)


def fraction(dataset: Dataset, share: float, seed: int, *, stratified: bool = True) -> Dataset:
    """Draw a share of the rows at random, without repeats, and keep them in their order.

    round(share * N) rows are kept, at least one. Drawn stratified, each class gives its share, rounded down or up; the
    classes that lose most by rounding down are rounded up.

    Args:
        dataset: what to choose from.
        share: above 0, up to 1.
        seed: the same seed draws the same rows.
        stratified: whether classes keep their proportions; otherwise rows are drawn whatever their class.

    Raises:
        ValueError: `share` is out of range.

    >>> pets = Dataset(
    ...     inputs=np.zeros((6, 4, 4, 1), np.uint8), labels=np.array([0, 1] * 3, np.int32), class_names=("cat", "dog"),
    ...     mean=(0.5,), std=(0.25,), name="pets")
    >>> sorted(fraction(pets, 0.7, seed=0).labels.tolist())
    [0, 0, 1, 1]
    """
    if not 0 < share <= 1:
        raise ValueError(f"`share` is {share}; give a fraction above 0 and up to 1")
    rng = np.random.default_rng(seed)
    wanted = max(1, round(share * len(dataset)))
    order = rng.permutation(len(dataset))
    if not stratified:
        return dataset.take(np.sort(order[:wanted]))
    exact = wanted * np.bincount(dataset.labels, minlength=dataset.num_classes) / len(dataset)
    counts = np.floor(exact).astype(int)
    # Of classes that lose alike, chance decides.
    most_lost = np.lexsort((rng.random(len(counts)), -(exact - counts)))
    counts[most_lost[: wanted - counts.sum()]] += 1
    labels = dataset.labels[order]
    chosen = [order[labels == number][:count] for number, count in enumerate(counts)]
    return dataset.take(np.sort(np.concatenate(chosen)))


def checked_rows(dataset: Dataset, rows: Rows) -> np.ndarray:
    """Row numbers as an array int64 [K], if they are rows of the data set.

    Raises:
        ValueError: see `of_rows`.
    """
    numbers = np.asarray(rows)
    span = f"the rows of {dataset.name} go from 0 to {len(dataset) - 1}"
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        if numbers.size == 0:
            raise ValueError(f"no rows are given; {span}")
        raise ValueError(
            f"rows of shape {numbers.shape} and type {numbers.dtype} are given; give a list of integers: {span}"
        )
    if numbers.size == 0:
        raise ValueError(f"no rows are given; {span}")
    outside = numbers[(numbers < 0) | (numbers >= len(dataset))]
    if outside.size:
        raise ValueError(f"{len(outside)} of {len(numbers)} rows are out of range ({_shown(outside.tolist())}); {span}")
    values, counts = np.unique(numbers, return_counts=True)
    if len(values) < len(numbers):
        raise ValueError(
            f"rows are given more than once ({_shown(values[counts > 1].tolist())}); {span}, each at most once"
        )
    return numbers.astype(np.int64)


def _class_number(dataset: Dataset, name: int | str) -> int:
    if isinstance(name, str) and name in dataset.class_names:
        return dataset.class_names.index(name)
    if isinstance(name, int | np.integer) and 0 <= name < dataset.num_classes:
        return int(name)
    raise ValueError(
        f"{dataset.name} has no class {name!r}; its {dataset.num_classes} classes, from 0: {_shown(dataset.class_names)}"
    )


def _shown(values: Sequence[object]) -> str:
    more = f", ... ({len(values)} in all)" if len(values) > 8 else ""
    return ", ".join(map(str, values[:8])) + more
