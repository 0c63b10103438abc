"""Decision distance vectors: how far outputs move between pairs of inputs that are nearly the same."""

import dataclasses
import functools
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from zest_jax.baselines.answers import Answers, Scores, ask, asked, check_scores, comparable_scores
from zest_jax.baselines.choosing import random_inputs, with_inputs
from zest_jax.baselines.cosines import cosine
from zest_jax.baselines.gradients import climb, with_gradients
from zest_jax.baselines.protocol import Access, Method, Model, Prepared, black_box
from zest_jax.blackbox.protocol import BlackBox, in_plain_scale
from zest_jax.blackbox.takes import check_takes
from zest_jax.data.datasets import Dataset
from zest_jax.data.known import Modality
from zest_jax.errors import DegenerateSignatureError

Adversary = Literal["suspect", "victim"]
# Keeps the gradient of a length finite where the length is 0.
_TINY = 1e-12
# What rounding leaves of the cosine distance of equal rows is smaller.
_NO_DISTANCE = 1e-12


def decision_distances(outputs: Float[np.ndarray, "questions classes"]) -> Float[np.ndarray, " pairs"]:
    """The decision distance vector: DDV_i = 1 - cos(f(x_i), f(x'_i)), in [0, 2].

    Args:
        outputs: of the inputs x, then of their neighbours x'.

    >>> decision_distances(np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])).tolist()
    [0.0, 1.0]
    """
    pairs = len(outputs) // 2
    before, after = outputs[:pairs], outputs[pairs:]
    # Rows of zeros have no direction, and are equal all the same.
    return np.where((before == after).all(axis=1), 0, 1 - cosine(before, after))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelDiff(Method):
    """Cosine of decision distance vectors (Li et al., ModelDiff: Testing-Based DNN Similarity Comparison, ISSTA 2021).

    Each input x_i is paired with a neighbour x'_i within `epsilon` (maximum norm) that `adversary` tells apart from it:
    `steps` signed gradient steps of size `step` from a random start raise

        mean_i |f(x'_i) - f(x_i)| + diversity * mean_ij |f(x'_i) - f(x'_j)|

    With DDV_i = 1 - cos(f(x_i), f(x'_i)), the score is cos(DDV_victim, DDV_suspect) in [0, 1]: HIGHER means more likely made
    from the victim. DDVs do not depend on which class is which, nor on their number, so that models of different label sets
    compare. A pair is two questions. Where neighbours come from the suspect, they are made anew for each suspect, from its
    gradients, which count as no questions; a test of a suspect that can only be asked takes them from the victim. Images
    and sounds, the former in [0, 1], the latter in [-1, 1].

    Attributes:
        adversary: whose outputs the neighbours push apart, "suspect" or "victim".
        epsilon: how far neighbours are from inputs at most, in each pixel or sample.
        steps: how many are made.
        step: size of each, in each pixel or sample.
        diversity: how much it counts that the neighbours' outputs differ among themselves.
        scores: "as-is", the outputs as both models give them; "probabilities", their softmax where a model answers with logits.

    Raises:
        DegenerateSignatureError: when preparing or scoring, if a model answers every pair with the same twice.
        ValueError: a setting is out of its range.

    >>> from zest_jax import from_jax
    >>> noise = Dataset(
    ...     inputs=np.random.default_rng(0).random((8, 4, 4, 3), np.float32), labels=np.zeros(8, np.int32),
    ...     class_names=("noise",), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> victim = from_jax(lambda x: x.mean((1, 2)) - 0.5)
    >>> suspect = from_jax(lambda x: jnp.roll(x, 1, -1).mean((1, 2)) - 0.5)         # the same with its classes permuted
    >>> round(ModelDiff().fingerprint(victim, suspect, noise, budget=16), 3)
    1.0
    """

    name: ClassVar[str] = "ModelDiff"
    minimum: ClassVar[int] = 4  # vectors of one number have no direction
    modalities: ClassVar[tuple[Modality, ...]] = ("image", "audio")

    adversary: Adversary = "suspect"
    epsilon: float = 0.06
    steps: int = 50
    step: float = 0.01
    diversity: float = 1.0
    scores: Scores = "as-is"

    def __post_init__(self) -> None:
        check_scores(self.scores)
        if self.adversary not in ("suspect", "victim"):
            raise ValueError(f"`adversary` is {self.adversary!r}; choose 'suspect' or 'victim'")
        if not (0 < self.epsilon <= 1 and 0 < self.step <= 1 and self.steps >= 1 and self.diversity >= 0):
            raise ValueError(
                f"`epsilon` is {self.epsilon}, `step` {self.step}, `steps` {self.steps} and `diversity` {self.diversity}; give "
                "distances above 0 and up to 1, at least 1 step, and a diversity of 0 or more"
            )

    @property
    def access(self) -> Access:  # pyright: ignore[reportIncompatibleVariableOverride] # it depends on a setting
        """What it needs of victim and suspect."""
        return Access("scores", "gradients") if self.adversary == "suspect" else Access("gradients", "scores")

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        if self.adversary == "victim":
            with_gradients(victim, self, "victim")
        seeds = random_inputs(inputs, budget // 2, seed, minimum=self.minimum // 2, method=self.name)
        if self.adversary == "suspect":
            return _PairsOfSuspects(n_queries=2 * len(seeds), method=self, victim=victim, seeds=seeds, seed=seed)
        prepared = asked(self.name, victim, self.pairs(victim, seeds, seed), self.compare)
        self.compare(prepared.answers, prepared.answers)  # raises where the victim tells nothing
        return prepared

    def pairs(self, box: BlackBox, seeds: Dataset, seed: int) -> Dataset:
        """Inputs and then their neighbours, made with a model's gradients: twice as many questions as `seeds`."""
        check_takes(box, seeds.modality, seeds.rate, what="the questions")
        model = with_gradients(box, self, self.adversary)
        plain = in_plain_scale(seeds.inputs)
        noise = np.random.default_rng([seed, 1]).uniform(-self.epsilon, self.epsilon, plain.shape)
        neighbours = climb(
            model,
            _apart_and_diverse(self.diversity),
            plain,
            ask(box, seeds).scores,
            modality=seeds.modality,
            steps=self.steps,
            step=self.step,
            radius=self.epsilon,
            begin=np.clip(plain + noise, 0 if seeds.modality == "image" else -1, 1),
        )
        twice = seeds.take(np.tile(np.arange(len(seeds)), 2))
        return with_inputs(twice, np.concatenate([plain, neighbours]))

    def compare(self, victim: Answers, suspect: Answers) -> float:
        """Cosine of the decision distance vectors of two models, from their answers to `pairs`."""
        a, b = (decision_distances(rows) for rows in comparable_scores(victim, suspect, self.scores))
        for answers, vector in ((victim, a), (suspect, b)):
            if vector.max() < _NO_DISTANCE:
                raise DegenerateSignatureError(
                    f"{answers.label} answers both inputs of every pair alike, so that its decision distances say nothing; "
                    "raise `epsilon`, or compare by another method"
                )
        return float(cosine(a, b))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _PairsOfSuspects(Prepared):
    """Pairs are made with each suspect's gradients; the victim is asked about them too."""

    method: ModelDiff
    victim: BlackBox
    seeds: Dataset
    seed: int

    def score(self, suspect: Model) -> float:
        box = black_box(suspect, self.method.name)
        pairs = self.method.pairs(box, self.seeds, self.seed)
        return self.method.compare(ask(self.victim, pairs), ask(box, pairs))


@functools.cache
def _apart_and_diverse(weight: float) -> functools.partial:
    """The objective with its weight: always the same object, by which compilations are found again."""
    return functools.partial(_divergence, weight)


def _divergence(weight: float, outputs: jax.Array, before: jax.Array) -> jax.Array:
    apart = jnp.sqrt(jnp.square(outputs - before).sum(-1) + _TINY).mean()
    pairs = jnp.sqrt(jnp.square(outputs[:, None] - outputs[None]).sum(-1) + _TINY)
    return apart + weight * pairs.mean()
