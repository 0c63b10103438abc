"""Sample correlation: how alike a model's outputs on different inputs are, compared between models."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from zest_jax.baselines.answers import Answers, Scores, asked, check_scores, comparable_scores
from zest_jax.baselines.choosing import misclassified, with_inputs
from zest_jax.baselines.cosines import unit
from zest_jax.baselines.cutmix import cutmix
from zest_jax.baselines.protocol import Access, Method, Prepared
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.data.datasets import Dataset
from zest_jax.data.known import Modality

# Rows of the correlation matrices that are held at once: of 128,000 questions a whole one would take 131 GB. So few that they
# mostly stay in the cache.
_ROWS = 256


def correlation_distance(a: Float[np.ndarray, "questions classes"], b: Float[np.ndarray, "questions others"]) -> float:
    """Mean difference of two models' correlations, sum_ij |C_a - C_b|_ij / n^2 in [0, 1].

    C = (1 - O O^T) / 2 has the distances of all pairs of rows of O, a model's outputs scaled to length 1.

    >>> ahead, behind = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 0.0], [-3.0, 0.0]])
    >>> correlation_distance(ahead, ahead), correlation_distance(ahead, behind)
    (0.0, 0.25)
    """
    a, b = unit(a), unit(b)
    # a a^T - b b^T is one product. It is symmetric: what is right of the diagonal counts twice.
    left, right = np.hstack([a, -b]), np.hstack([a, b])
    total = 0.0
    for start in range(0, len(a), _ROWS):
        part = left[start : start + _ROWS]
        difference = part @ right[start:].T
        np.abs(difference, out=difference)
        total += 2 * float(difference.sum(dtype=np.float64)) - float(difference[:, : len(part)].sum(dtype=np.float64))
    return total / 2 / len(a) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SampleCorrelation(Method):
    """What SAC-w and SAC-m share: the comparison."""

    access: ClassVar[Access] = Access("scores", "scores")
    minimum: ClassVar[int] = 2

    scores: Scores = "as-is"

    def __post_init__(self) -> None:
        check_scores(self.scores)

    def _compare(self, victim: Answers, suspect: Answers) -> float:
        return -correlation_distance(*comparable_scores(victim, suspect, self.scores))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SACw(_SampleCorrelation):
    """Sample correlation on inputs that the victim misclassifies.

    SAC-w of Guan, Liang and He, Are You Stealing My Model? Sample Correlation for Fingerprinting Deep Neural Networks,
    NeurIPS 2022. With the outputs of a model as rows of length 1, O, and C = (1 - O O^T) / 2, the score is
    -sum_ij |C_victim - C_suspect|_ij / n^2 in [-1, 0]: HIGHER means more likely made from the victim. C does not depend on which
    class is which, nor on their number, so that models of different label sets compare. A row of zeros is at right angles
    to all others.

    Attributes:
        scores: "as-is", the outputs as both models give them; "probabilities", their softmax, where one of them answers with
            probabilities.

    >>> from zest_jax import from_jax
    >>> pixels = Dataset(
    ...     inputs=np.eye(2, dtype=np.float32).reshape(2, 1, 1, 2), labels=np.array([1, 0], np.int32),
    ...     class_names=("left", "right"), mean=(0.5, 0.5), std=(0.5, 0.5), name="pixels")
    >>> victim, opposed = from_jax(lambda x: 5 * x[:, 0, 0]), from_jax(lambda x: 8 * x[:, 0, 0] - 4)
    >>> SACw().fingerprint(victim, victim, pixels, budget=2), SACw().fingerprint(victim, opposed, pixels, budget=2)
    (0.0, -0.25)
    """

    name: ClassVar[str] = "SAC-w"

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        questions = misclassified(victim, inputs, budget, seed, minimum=self.minimum, method=self.name)
        return asked(self.name, victim, questions, self._compare)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SACm(_SampleCorrelation):
    """Sample correlation on inputs mixed by CutMix, which need no labels.

    SAC-m of Guan, Liang and He, NeurIPS 2022: the score of `SACw`, -sum_ij |C_victim - C_suspect|_ij / n^2 in [-1, 0], on
    inputs of which a part comes from another (`cutmix`): HIGHER means more likely made from the victim. Of sounds, a
    stretch of time comes from another.

    Attributes:
        scores: see `SACw`.

    >>> from zest_jax import from_jax
    >>> noise = Dataset(
    ...     inputs=np.random.default_rng(0).random((4, 8, 8, 3), np.float32), labels=np.zeros(4, np.int32),
    ...     class_names=("noise",), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> prepared = SACm().prepare(from_jax(lambda x: x.mean((1, 2))), noise, budget=10)
    >>> prepared.n_queries, round(prepared.score(from_jax(lambda x: x[..., ::-1].mean((1, 2)))), 6) == 0
    (10, True)
    """

    name: ClassVar[str] = "SAC-m"
    modalities: ClassVar[tuple[Modality, ...]] = ("image", "audio")

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        rng = np.random.default_rng(seed)
        mixed, rows = cutmix(inputs.inputs, budget, rng)
        return asked(self.name, victim, with_inputs(inputs.take(rows), mixed), self._compare)
