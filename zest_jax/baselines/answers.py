"""Asking models questions that were made once, and comparing the answers."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from zest_jax.baselines.protocol import Model, Prepared, black_box
from zest_jax.blackbox.batches import ask_plain, default_batch_size
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.blackbox.takes import check_takes
from zest_jax.data.datasets import Dataset
from zest_jax.errors import ModelOutputError
from zest_jax.fitting import detect_kind

Scores = Literal["as-is", "probabilities"]


class Answers(NamedTuple):
    """What a model answered.

    Attributes:
        label: what messages call the model.
        scores: its outputs, [questions, classes].
        class_names: names of the outputs, or None when unknown.
        kind: "logits" or "probabilities".
    """

    label: str
    scores: Float[np.ndarray, "questions classes"]
    class_names: tuple[str, ...] | None
    kind: str

    @property
    def labels(self) -> Int[np.ndarray, " questions"]:
        """The class of the highest output of each question; of equal ones the first."""
        return self.scores.argmax(axis=1)


def ask(box: BlackBox, questions: Dataset) -> Answers:
    """Ask a model every question once.

    Raises:
        ModelOutputError: its answers are no finite scores, one row per question.
        ValueError: it takes inputs of another kind, or has not as many class names as outputs.

    >>> from zest_jax import from_callable
    >>> pixels = Dataset(
    ...     inputs=np.array([[[[0, 255]]], [[[255, 0]]]], np.uint8), labels=np.array([0, 1], np.int32),
    ...     class_names=("left", "right"), mean=(0.5, 0.5), std=(0.5, 0.5), name="pixels")
    >>> ask(from_callable(lambda x: x[:, 0, 0] * 3), pixels).labels.tolist()
    [1, 0]
    """
    check_takes(box, questions.modality, questions.rate, what="the questions")
    inputs = questions.inputs
    size = default_batch_size(inputs.shape[1:], [box])
    # What does not fill a batch is asked as a batch of its own, so that no question is asked twice to fill one up.
    whole = len(inputs) // size * size
    parts = [part for part in (inputs[:whole], inputs[whole:]) if len(part)]
    answered = [ask_plain(box, part, batch_size=size) for part in parts]
    if len({part.shape[1] for part in answered}) > 1:
        raise ModelOutputError(
            f"{box.label} answered with {answered[0].shape[1]} classes and then with {answered[1].shape[1]}; a black box must "
            "always have the same classes"
        )
    scores = np.concatenate(answered)
    broken = ~np.isfinite(scores).all(axis=1)
    if broken.any():
        raise ModelOutputError(
            f"{box.label} answered {np.count_nonzero(broken)} of {len(scores)} questions with NaN or infinity, first question "
            f"{int(np.argmax(broken))}: {scores[broken][0, :5]}; check the model's normalisation and precision"
        )
    if box.class_names is not None and len(box.class_names) != scores.shape[1]:
        raise ValueError(
            f"{box.label} has {scores.shape[1]} outputs but {len(box.class_names)} class names; give one name per output"
        )
    kind = box.returns if box.returns != "auto" else detect_kind(scores)
    return Answers(box.label, scores, box.class_names, kind)


def comparable_scores(
    victim: Answers, suspect: Answers, scores: Scores
) -> tuple[Float[np.ndarray, "questions a"], Float[np.ndarray, "questions b"]]:
    """Bring the outputs of two models to one scale, in float64.

    Args:
        victim: answers of the one.
        suspect: answers of the other to the same questions.
        scores: "as-is", the outputs as they are; "probabilities", their softmax where a model answers with logits.

    Raises:
        ValueError: "as-is", and one model answers with logits, the other with probabilities.
    """
    if scores == "as-is" and victim.kind != suspect.kind:
        raise ValueError(
            f"{victim.label} answers with {victim.kind}, {suspect.label} with {suspect.kind}; compare them with "
            "scores='probabilities'"
        )
    return _scaled(victim, scores), _scaled(suspect, scores)


def _scaled(answers: Answers, scores: Scores) -> np.ndarray:
    found = answers.scores.astype(np.float64)
    return softmax(found, axis=1) if scores == "probabilities" and answers.kind == "logits" else found


def check_scores(scores: str) -> None:
    """Refuse a way to take outputs that does not exist.

    Raises:
        ValueError: names those that do.
    """
    if scores not in ("as-is", "probabilities"):
        raise ValueError(f"`scores` is {scores!r}; choose 'as-is' or 'probabilities'")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FixedQuestions(Prepared):
    """Questions that are the same for all suspects, with the victim's answers.

    Attributes:
        method: name of the method, for messages.
        questions: what is asked; its labels are not used any more.
        answers: the victim's.
        compare: the score of the victim's and a suspect's answers.
    """

    method: str
    questions: Dataset
    answers: Answers
    compare: Callable[[Answers, Answers], float]

    def score(self, suspect: Model) -> float:
        return self.compare(self.answers, ask(black_box(suspect, self.method), self.questions))

    def first(self, count: int) -> "FixedQuestions":
        """The first of the questions alone, all if there are fewer, with the answers that the victim gave."""
        questions = self.questions.take(np.arange(min(count, self.n_queries)))
        answers = self.answers._replace(scores=self.answers.scores[:count])
        return dataclasses.replace(self, n_queries=len(questions), questions=questions, answers=answers)


def asked(
    method: str, victim: BlackBox, questions: Dataset, compare: Callable[[Answers, Answers], float]
) -> FixedQuestions:
    """Ask the victim, and keep its answers with the questions."""
    return FixedQuestions(
        method=method, n_queries=len(questions), questions=questions, answers=ask(victim, questions), compare=compare
    )
