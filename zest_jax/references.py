"""Phase 1: choose the N reference inputs around which the models are explained (paper, section 3)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from zest_jax.blackbox.batches import ask_plain
from zest_jax.blackbox.protocol import BlackBox

__all__ = ["choose_references"]

ReferenceMethod = Literal["random", "stratified", "first"]


def choose_references(
    inputs: np.ndarray,
    n: int,
    *,
    method: ReferenceMethod | Sequence[int] | np.ndarray = "random",
    labels: np.ndarray | Sequence[int] | None = None,
    model: BlackBox | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Choose which inputs become references.

    Args:
        inputs: the pool, [pool, ...].
        n: how many, 1 to the size of the pool.
        method: "random" without replacement (the paper's text); "first", the first n (the authors' code);
            "stratified", as many of each class as possible, where the class is `labels` or what `model` predicts; or the
            indices themselves.
        labels: class of every input of the pool, [pool]; only for "stratified".
        model: black box whose predicted class (argmax) stratifies when there are no labels. It is asked once per input.
        seed: for "random" and "stratified". The first references of a larger n are those of a smaller one.

    Returns:
        indices, int64 [n].

    Raises:
        ValueError: the pool is empty or smaller than n, or the labels do not fit it.

    >>> choose_references(np.zeros((10, 4, 4, 3)), 3, method="first")
    array([0, 1, 2])
    >>> labels = [0] * 7 + [1] * 3
    >>> np.bincount(np.take(labels, choose_references(np.zeros((10, 2)), 6, method="stratified", labels=labels)))
    array([3, 3])
    """
    pool = len(inputs)
    if pool == 0:
        raise ValueError(
            "the set of inputs is empty, so there is nothing to choose references from; pass at least one input"
        )
    if not isinstance(method, str):
        return _given(np.asarray(method), n, pool)
    if n < 1:
        raise ValueError(f"`n_references` is {n}; at least 1 is needed (the paper uses 128)")
    if n > pool:
        raise ValueError(
            f"{n} references were asked for but there are only {pool} inputs; lower `n_references` or add inputs"
        )
    if method == "first":
        return np.arange(n)
    rng = np.random.default_rng(seed)
    if method == "random":
        return rng.permutation(pool)[:n]
    if method == "stratified":
        return _stratified(_classes(inputs, labels, model), n, rng)
    raise ValueError(
        f"unknown way to choose references {method!r}; choose 'random', 'stratified', 'first' or give indices"
    )


def _given(indices: np.ndarray, n: int, pool: int) -> np.ndarray:
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"reference indices must be a list of integers; got shape {indices.shape} of {indices.dtype}")
    if len(indices) != n:
        raise ValueError(f"{len(indices)} reference indices were given but `n_references` is {n}; make them equal")
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= pool:
        raise ValueError(f"reference indices must lie between 0 and {pool - 1}; got {indices.tolist()[:10]}")
    if len(np.unique(indices)) != len(indices):
        raise ValueError("a reference index is given twice; a repeated reference only costs queries, so give each once")
    return indices.astype(np.int64)


def _classes(inputs: np.ndarray, labels: np.ndarray | Sequence[int] | None, model: BlackBox | None) -> np.ndarray:
    if labels is not None:
        classes = np.asarray(labels)
        if classes.shape != (len(inputs),):
            raise ValueError(f"`labels` has shape {classes.shape} for {len(inputs)} inputs; give one label per input")
        return classes
    if model is None:
        raise ValueError(
            "stratified references need `labels` (one class per input) or a `model` whose predictions serve as classes"
        )
    return ask_plain(model, inputs).argmax(axis=1)


def _stratified(classes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Deal one input of each class in turn, classes in random order, until n are chosen."""
    order = rng.permutation(len(classes))
    values, group = np.unique(classes[order], return_inverse=True)
    place = rng.permutation(len(values))[group]
    # The turn in which an input is dealt is its rank within its class.
    turn = np.empty(len(order), np.int64)
    for value in range(len(values)):
        members = np.flatnonzero(group == value)
        turn[members] = np.arange(len(members))
    return order[np.lexsort((place, turn))][:n]
