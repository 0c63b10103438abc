"""Mutual information of predicted labels on unchanged inputs."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from zest_jax.baselines.answers import Answers, asked
from zest_jax.baselines.choosing import random_inputs
from zest_jax.baselines.protocol import Access, Method, Prepared, UninformativeVictimError
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.data.datasets import Dataset


def entropy(counts: Int[np.ndarray, "..."]) -> float:
    """Shannon entropy of observed frequencies, -sum p log p, in nats.

    >>> round(entropy(np.array([2, 2])), 4), entropy(np.array([5, 0]))
    (0.6931, 0.0)
    """
    seen = counts[counts > 0] / counts.sum()
    return float(abs(np.sum(seen * np.log(seen))))


def normalised_information(a: Int[np.ndarray, " questions"], b: Int[np.ndarray, " questions"]) -> float:
    """Mutual information of two labellings over the smaller of their entropies: I(a; b) / min(H(a), H(b)), in [0, 1].

    It is 1 when the one with less entropy follows from the other, and 0 when one of them is constant.

    >>> normalised_information(np.array([0, 0, 1, 1]), np.array([7, 7, 5, 5]))
    1.0
    >>> normalised_information(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    0.0
    """
    _, rows = np.unique(a, return_inverse=True)
    _, columns = np.unique(b, return_inverse=True)
    joint = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(joint, (rows, columns), 1)
    first, second = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    smaller = min(first, second)
    if smaller == 0:
        return 0.0
    return float(np.clip((first + second - entropy(joint)) / smaller, 0, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FBI(Method):
    """Mutual information of the labels that two models give to random inputs.

    Fingerprinting with benign inputs (Maho, Furon and Le Merrer, FBI: Fingerprinting Models with Benign Inputs, 2022). The
    score is I(F; G) / min(H(F), H(G)) in [0, 1], where F and G are the labels of victim and suspect on n inputs and all three
    are taken from observed frequencies: HIGHER means more likely made from the victim. Which class is which does not
    matter, nor how many there are. With few questions for many classes observed frequencies overstate the information:
    compare only scores of the same questions. A suspect that gives one label to all scores 0.

    >>> from zest_jax import from_jax
    >>> pixels = Dataset(
    ...     inputs=np.eye(4, dtype=np.float32).reshape(4, 1, 1, 4), labels=np.zeros(4, np.int32), class_names=("any",),
    ...     mean=(0.5,) * 4, std=(0.5,) * 4, name="pixels")
    >>> victim = from_jax(lambda x: x[:, 0, 0])
    >>> FBI().fingerprint(victim, from_jax(lambda x: x[:, 0, 0, ::-1]), pixels, budget=4)
    1.0
    """

    name: ClassVar[str] = "FBI"
    access: ClassVar[Access] = Access("labels", "labels")
    minimum: ClassVar[int] = 2

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        questions = random_inputs(inputs, budget, seed, minimum=self.minimum, method=self.name)
        prepared = asked(self.name, victim, questions, _compare)
        if len(np.unique(prepared.answers.labels)) == 1:
            raise UninformativeVictimError(
                f"{victim.label} gives all {len(questions)} questions the same label, which tells nothing about any suspect; "
                "raise the budget, or give inputs of other classes"
            )
        return prepared


def _compare(victim: Answers, suspect: Answers) -> float:
    return normalised_information(victim.labels, suspect.labels)
