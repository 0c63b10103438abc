"""What a method is that tells whether one model was made from another: prepared once for a victim, scored for suspects."""

import abc
import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Union

import numpy as np

from zest_jax.blackbox.protocol import BlackBox
from zest_jax.blackbox.takes import check_takes
from zest_jax.data.datasets import Dataset
from zest_jax.data.known import PLURAL, Modality

if TYPE_CHECKING:
    from zest_jax.training.checkpoints import Checkpoint

Need = Literal["labels", "scores", "gradients", "weights"]
Model = Union[BlackBox, "Checkpoint"]
"""What is compared: a black box; for methods that look at weights a checkpoint as well."""


class Access(NamedTuple):
    """What a method needs of either model; each kind includes those before it.

    Attributes:
        victim: of the victim: "labels", the highest output alone; "scores", all outputs; "gradients", of outputs by inputs;
            "weights".
        suspect: of the suspect, likewise.

    >>> str(Access("scores", "scores")), str(Access("gradients", "labels"))
    ('black box', 'gradients of the victim')
    """

    victim: Need
    suspect: Need

    def __str__(self) -> str:
        if "weights" in self:
            return "white box"
        if self.suspect == "gradients":
            return "gradients of the suspect"
        if self.victim == "gradients":
            return "gradients of the victim"
        return "black box" if "scores" in self else "labels"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Prepared(abc.ABC):
    """A method made ready for one victim; it serves any number of suspects.

    Attributes:
        n_queries: how many questions a suspect is asked, at most the budget. A suspect that accepts batches of one size
            alone gets its last batch filled up with repeats.

    >>> from zest_jax import from_jax
    >>> from zest_jax.baselines import PredictionAgreement
    >>> noise = Dataset(
    ...     inputs=np.random.default_rng(0).random((8, 4, 4, 3), np.float32), labels=np.zeros(8, np.int32),
    ...     class_names=("noise",), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> victim = from_jax(lambda x: x.mean((1, 2)))
    >>> prepared = PredictionAgreement().prepare(victim, noise, budget=8)
    >>> isinstance(prepared, Prepared), prepared.n_queries, prepared.score(victim)
    (True, 8, 1.0)
    """

    n_queries: int

    @abc.abstractmethod
    def score(self, suspect: Model) -> float:
        """How much speaks for the suspect being made from the victim: the higher, the more likely.

        Raises:
            ModelOutputError: the suspect's answers are no finite scores, one row per question.
            ValueError: the suspect takes other inputs, or cannot be compared with the victim by this method.
        """


class UninformativeVictimError(ValueError):
    """A victim answers the questions in a way that tells nothing about any suspect.

    >>> issubclass(UninformativeVictimError, ValueError)
    True
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(abc.ABC):
    """One way to tell whether a model was made from another; its fields are its settings.

    Attributes:
        name: what tables call it.
        access: what it needs of victim and suspect.
        minimum: the fewest questions with which it says anything.
        modalities: the kinds of inputs it works on.
        version: raised when the same settings give other scores than before, so that kept scores are measured again.

    >>> from zest_jax import from_jax
    >>> from zest_jax.baselines import PredictionAgreement
    >>> noise = Dataset(
    ...     inputs=np.random.default_rng(0).random((8, 4, 4, 3), np.float32), labels=np.zeros(8, np.int32),
    ...     class_names=("noise",), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> victim = from_jax(lambda x: x.mean((1, 2)))
    >>> method: Method = PredictionAgreement()
    >>> method.name, str(method.access), method.fingerprint(victim, from_jax(lambda x: -x.mean((1, 2))), noise, budget=8)
    ('prediction agreement', 'labels', 0.0)
    """

    name: ClassVar[str]
    access: ClassVar[Access]
    minimum: ClassVar[int] = 1
    modalities: ClassVar[tuple[Modality, ...]] = ("image", "text", "audio")
    version: ClassVar[int] = 1

    def prepare(self, victim: Model, inputs: Dataset, budget: int, *, seed: int = 0) -> Prepared:
        """Do all that depends on the victim alone.

        Args:
            victim: the model that may have been reused. Questions to it are not counted: its owner asks them.
            inputs: what questions are chosen or made from, with the true labels. Models agree on the data they learnt:
                take data that neither was trained on.
            budget: the most questions that a suspect may be asked.
            seed: of everything random; the same seed prepares the same questions.

        Raises:
            ModelOutputError: the victim's answers are no finite scores, one row per input.
            TypeError: the victim is no black box.
            ValueError: the budget is too small, the inputs are of a kind that the method or the victim does not take, or
                there are too few of those that the method needs.

        Warns:
            UserWarning: there are fewer inputs of the kind needed than the budget allows; all of them are asked.
        """
        if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < self.minimum:
            raise ValueError(
                f"{self.name} needs a budget of at least {self.minimum} questions to a suspect, got {budget}; raise it"
            )
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"`seed` is {seed!r}; give a whole number, 0 or more")
        if inputs.modality not in self.modalities:
            works = " and ".join(PLURAL[modality] for modality in self.modalities)
            raise ValueError(
                f"{self.name} works on {works}, and {inputs.name} holds {PLURAL[inputs.modality]}; choose a method that only "
                "asks, such as SAC-w or Zest"
            )
        box = black_box(victim, self.name)
        check_takes(box, inputs.modality, inputs.rate, what="the inputs")
        return self._prepare(box, inputs, int(budget), seed)

    @abc.abstractmethod
    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        """`prepare` with arguments that are checked."""

    def fingerprint(self, victim: Model, suspect: Model, inputs: Dataset, budget: int, *, seed: int = 0) -> float:
        """Score one suspect: `prepare(victim, inputs, budget, seed=seed).score(suspect)`, with the errors of both."""
        return self.prepare(victim, inputs, budget, seed=seed).score(suspect)


def black_box(model: object, method: str) -> BlackBox:
    """Return `model` if it can be asked.

    Raises:
        TypeError: it is no black box.

    >>> black_box("a name", "SAC-w")
    Traceback (most recent call last):
    TypeError: SAC-w asks black boxes, got str; wrap the model with from_checkpoint, from_flax, from_torch, ...
    """
    if not isinstance(model, BlackBox):
        raise TypeError(
            f"{method} asks black boxes, got {type(model).__name__}; wrap the model with from_checkpoint, from_flax, "
            "from_torch, from_onnx or another adapter of zest_jax.blackbox"
        )
    return model
