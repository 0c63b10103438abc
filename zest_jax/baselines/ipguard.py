"""Agreement of labels near the victim's decision boundary."""

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from zest_jax.baselines.answers import Answers, ask, asked
from zest_jax.baselines.choosing import random_inputs, with_inputs
from zest_jax.baselines.gradients import climb, with_gradients
from zest_jax.baselines.labels import label_agreement
from zest_jax.baselines.protocol import Access, Method, Prepared
from zest_jax.blackbox.protocol import BlackBox, in_plain_scale
from zest_jax.data.datasets import Dataset
from zest_jax.data.known import Modality
from zest_jax.errors import ModelOutputError

Target = Literal["random", "least", "second"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class IPGuard(Method):
    """Agreement of labels on points near the victim's decision boundary (Cao, Jia and Gong, IPGuard, AsiaCCS 2021).

    Every point starts as an input, of label i, and is moved by signed gradient steps towards another label j, until

        ReLU(Z_i - Z_j + k) + ReLU(max_{t != i, j} Z_t - Z_i)

    is 0, with the victim's logits Z (the logarithm of its outputs, if those are probabilities: only differences matter): j
    is then ahead by k, and i next. Points that do not get so far in `steps` are asked as they are. The score is the
    share of points to which victim and suspect give the same label, in [0, 1]: HIGHER means more likely made from the
    victim. Gradients are needed of the victim, of suspects labels alone.

    Attributes:
        target: which label j is: "random", any other than i; "least", the least likely (both as in the paper); "second",
            the likeliest after i, whose boundary is nearest.
        margin: k, 0 or more, in logits. Small ones leave points on the boundary, where any change of the model shows; points
            of a large one resist changes of the model, and agree with more models.
        steps: at most so many.
        step: size of each, in the scale of [0, 1] for images and [-1, 1] for sounds.

    Raises:
        ValueError: a setting is out of its range.

    >>> from zest_jax import from_jax
    >>> noise = Dataset(
    ...     inputs=np.random.default_rng(0).random((8, 4, 4, 3), np.float32), labels=np.zeros(8, np.int32),
    ...     class_names=("noise",), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> victim = from_jax(lambda x: 9 * x.mean((1, 2)))
    >>> near = IPGuard(margin=0.5, target="second").prepare(victim, noise, budget=8)
    >>> near.score(victim), near.score(from_jax(lambda x: 9 * x.mean((1, 2)) + jnp.array([0, 0.7, 1.4]))) < 1
    (1.0, True)
    """

    name: ClassVar[str] = "IPGuard"
    access: ClassVar[Access] = Access("gradients", "labels")
    modalities: ClassVar[tuple[Modality, ...]] = ("image", "audio")

    target: Target = "random"
    margin: float = 10.0
    steps: int = 500
    step: float = 0.002

    def __post_init__(self) -> None:
        if self.target not in ("random", "least", "second"):
            raise ValueError(f"`target` is {self.target!r}; choose 'random', 'least' or 'second'")
        if not (0 <= self.margin < np.inf and self.steps >= 1 and 0 < self.step <= 1):
            raise ValueError(
                f"`margin` is {self.margin}, `steps` {self.steps} and `step` {self.step}; give a margin of 0 or more, at least "
                "1 step, and a step above 0 and up to 1"
            )

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        model = with_gradients(victim, self, "victim")
        seeds = random_inputs(inputs, budget, seed, method=self.name)
        answers = ask(model, seeds)
        objective = _near_by_probabilities if answers.kind == "probabilities" else _near
        points = climb(
            model,
            objective,
            in_plain_scale(seeds.inputs),
            answers.labels,
            self._targets(answers, seed),
            np.full(len(seeds), self.margin, np.float32),
            modality=seeds.modality,
            steps=self.steps,
            step=self.step,
        )
        return asked(self.name, victim, with_inputs(seeds, points), label_agreement)

    def _targets(self, answers: Answers, seed: int) -> np.ndarray:
        """Label j of each point."""
        n, classes = answers.scores.shape
        if classes < 2:
            raise ModelOutputError(
                f"{answers.label} has one class, and so no boundary between classes; {self.name} needs two"
            )
        if self.target == "random":
            ahead = np.random.default_rng([seed, 1]).integers(1, classes, n)
            return (answers.labels + ahead) % classes
        others = answers.scores.copy()
        others[np.arange(n), answers.labels] = np.inf if self.target == "least" else -np.inf
        return others.argmin(axis=1) if self.target == "least" else others.argmax(axis=1)


def _near(logits: jax.Array, labels: jax.Array, targets: jax.Array, margin: jax.Array) -> jax.Array:
    """Minus the objective, summed over the batch."""
    rows = jnp.arange(len(logits))
    own, wanted = logits[rows, labels], logits[rows, targets]
    others = logits.at[rows, labels].set(-jnp.inf).at[rows, targets].set(-jnp.inf).max(axis=1)
    return -(jax.nn.relu(own - wanted + margin) + jax.nn.relu(others - own)).sum()


def _near_by_probabilities(
    probabilities: jax.Array, labels: jax.Array, targets: jax.Array, margin: jax.Array
) -> jax.Array:
    tiny = jnp.finfo(probabilities.dtype).tiny
    return _near(jnp.log(jnp.maximum(probabilities, tiny)), labels, targets, margin)
