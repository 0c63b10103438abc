"""Which inputs become questions: random ones, and those that the victim gets wrong."""

import dataclasses
import warnings

import numpy as np

from zest_jax.baselines.answers import ask
from zest_jax.baselines.labels import LabelSet, classes_in, label_set
from zest_jax.blackbox.batches import default_batch_size
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.data.datasets import Dataset


def random_inputs(inputs: Dataset, count: int, seed: int, *, minimum: int = 1, method: str) -> Dataset:
    """Draw inputs at random, without repeats; those of a larger `count` begin with those of a smaller one.

    Raises:
        ValueError: there are fewer than `minimum`.

    Warns:
        UserWarning: there are fewer than `count`; all are taken.
    """
    rows = np.random.default_rng(seed).permutation(len(inputs))[:count]
    _check_enough(len(rows), count, minimum, f"inputs in {inputs.name}", method, "give more inputs")
    return inputs.take(rows)


def misclassified(
    victim: BlackBox, inputs: Dataset, count: int, seed: int, *, minimum: int = 1, method: str
) -> Dataset:
    """Draw inputs at random of which the victim's label is not the true one.

    The victim is asked in random order until there are enough, so that large data sets are not asked whole.

    Raises:
        ModelOutputError: see `ask`.
        ValueError: the victim has other classes than the data, or it gets fewer than `minimum` inputs wrong.

    Warns:
        UserWarning: it gets fewer than `count` wrong; all of them are taken.
    """
    order = np.random.default_rng(seed).permutation(len(inputs))
    size = max(default_batch_size(inputs.input_shape, [victim]), count)
    found: list[np.ndarray] = []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        answers = ask(victim, inputs.take(rows))
        truth = LabelSet(inputs.name, inputs.num_classes, inputs.class_names)
        wrong = answers.labels != classes_in(truth, label_set(answers))[inputs.labels[rows]]
        found.append(rows[wrong])
        if sum(map(len, found)) >= count:
            break
    rows = np.concatenate(found)[:count]
    what = f"of the {len(inputs)} inputs in {inputs.name} that {victim.label} misclassifies"
    _check_enough(len(rows), count, minimum, what, method, "give more inputs, or such that it was not trained on")
    return inputs.take(rows)


def with_inputs(questions: Dataset, made: np.ndarray) -> Dataset:
    """Questions made from inputs: the same but for the inputs themselves, float32 in the plain scale."""
    return dataclasses.replace(questions, inputs=np.asarray(made, np.float32))


def _check_enough(found: int, count: int, minimum: int, what: str, method: str, remedy: str) -> None:
    if found < minimum:
        number = "none" if found == 0 else f"{found}"
        raise ValueError(f"{method} found {number} {what}, and needs at least {minimum}; {remedy}")
    if found < count:
        warnings.warn(f"{method} found only {found} {what}, for a budget of {count}; it asks those", stacklevel=5)
