"""Methods that count how often two models give the same label: on random inputs, and where the victim is wrong."""

import dataclasses
from typing import ClassVar

from zest_jax.baselines.answers import asked
from zest_jax.baselines.choosing import misclassified, random_inputs
from zest_jax.baselines.labels import label_agreement
from zest_jax.baselines.protocol import Access, Method, Prepared
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.data.datasets import Dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictionAgreement(Method):
    """Agreement of labels on random inputs (Jia et al., Zest, ICLR 2022, section 4.3).

    The score is (1/n) sum_i [argmax f(x_i) = argmax g(x_i)] in [0, 1] for victim f and suspect g: HIGHER means more likely
    made from the victim. Good models agree wherever both are right, so that related and unrelated ones overlap.

    >>> from zest_jax import from_jax
    >>> pixels = Dataset(
    ...     inputs=np.eye(3, dtype=np.float32).reshape(3, 1, 1, 3), labels=np.arange(3, dtype=np.int32),
    ...     class_names=("r", "g", "b"), mean=(0.5,) * 3, std=(0.5,) * 3, name="pixels")
    >>> victim, suspect = from_jax(lambda x: x[:, 0, 0]), from_jax(lambda x: x[:, 0, 0] * jnp.array([1, 1, -1]))
    >>> round(PredictionAgreement().fingerprint(victim, suspect, pixels, budget=3), 3)
    0.667
    """

    name: ClassVar[str] = "prediction agreement"
    access: ClassVar[Access] = Access("labels", "labels")

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        return asked(self.name, victim, random_inputs(inputs, budget, seed, method=self.name), label_agreement)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AKH(Method):
    """Agreement of labels on inputs that the victim misclassifies: the Anna Karenina heuristic.

    "Happy" answers are all alike; every wrong one is wrong in its own way (Godinot et al., Queries, Representation and
    Detection: The Next 100 Model Fingerprinting Schemes, AAAI 2025). The score is
    (1/n) sum_i [argmax f(x_i) = argmax g(x_i)] in [0, 1] over inputs with argmax f(x_i) != y_i, for victim f and suspect g:
    HIGHER means more likely made from the victim.

    >>> from zest_jax import from_jax
    >>> pixels = Dataset(
    ...     inputs=np.eye(3, dtype=np.float32).reshape(3, 1, 1, 3), labels=np.array([0, 2, 1], np.int32),
    ...     class_names=("r", "g", "b"), mean=(0.5,) * 3, std=(0.5,) * 3, name="pixels")
    >>> victim = from_jax(lambda x: x[:, 0, 0])                                     # wrong on the last two
    >>> suspect = from_jax(lambda x: x[:, 0, 0] * jnp.array([1, 1, -1]))            # as wrong on the second
    >>> AKH().fingerprint(victim, suspect, pixels, budget=2)
    0.5
    """

    name: ClassVar[str] = "AKH"
    access: ClassVar[Access] = Access("labels", "labels")

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        return asked(self.name, victim, misclassified(victim, inputs, budget, seed, method=self.name), label_agreement)
