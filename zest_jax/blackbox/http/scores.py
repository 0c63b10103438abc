"""What a service may answer for one input, and how rows of scores are made of it.

A service answers with a list of scores, with scores by label (of all classes, or of the best k), or with a label alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from zest_jax.blackbox.protocol import Returns
from zest_jax.errors import ModelOutputError

Answers = Literal["auto", "top-k", "labels"]

#: Of one input: scores in order, float32 [classes]; scores by label; or a label, by name or number.
Answer = np.ndarray | dict[str, float] | str | int

# Rounded probabilities may sum to a little more than 1.
_SUM_TOLERANCE = 1e-2


def normal_form(output: Any, label: str, *, named: bool = True) -> Answer:
    """Bring what a service answered for one input to one of the forms of `Answer`.

    Understood are a list of numbers; a mapping from labels to numbers; a list of {"label": ..., "score": ...}, or a single
    one; a label, as a string or whole number.

    Args:
        output: what JSON held for one input.
        label: the model, for the error messages.
        named: whether the classes are known, so that the labels of a mapping can be compared with them. Otherwise a mapping is
            refused: {"class_id": 3, "confidence": 0.93} would pass for scores of two classes.

    Raises:
        ModelOutputError: it is none of these, names a label twice, or a score is no finite number.

    >>> normal_form([{"label": "cat", "score": 0.75}, {"label": "dog", "score": 0.25}], "service")
    {'cat': 0.75, 'dog': 0.25}
    >>> normal_form(3, "service")
    3
    """
    if isinstance(output, str) or _is_whole(output):
        return output
    if isinstance(output, np.ndarray | list) and len(output) and not _is_labelled(output):
        if isinstance(output, np.ndarray) and output.ndim != 1:
            raise ModelOutputError(f"{label} answered scores {list(output.shape)} for one input, not [classes]")
        return _finite([_number(value, label) for value in output], label)
    if isinstance(output, Mapping) and set(output) == {"label", "score"}:
        output = [output]
    if isinstance(output, list) and output:
        pairs = [(str(entry["label"]), _number(entry["score"], label)) for entry in output]
    elif isinstance(output, Mapping) and output:
        if not named:
            raise ModelOutputError(
                f"{label} answered {_shown(dict(output))} for one input, numbers by names, and nothing tells whether they are "
                "scores by class. If they are, give all `class_names`; if not, say where label and score are with `answer` "
                "($label and $score)"
            )
        pairs = [(str(name), _number(value, label)) for name, value in output.items()]
    else:
        raise _no_answer(output, label)
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in [other for other, _ in pairs[:i]])
        raise ModelOutputError(f"{label} answered two scores for the class {twice!r} of one input; one is needed")
    _finite(list(found.values()), label)
    return found


class Columns:
    """Turns answers into rows of scores, always with the same classes in the same order.

    Args:
        label: the model, for the error messages.
        answers: "auto": all classes have scores; "top-k": only the best, the others are filled in (`spread_top_k`);
            "labels": no scores at all, the label becomes 1 and all else 0.
        class_names: of all classes in order. Without them pairs of label and score must always be of the same labels, whose
            order is that of the labels sorted.
        n_classes: how many classes there are, for labels that are numbers and come without names.
        returns: what the scores are; decides how a top-k answer is filled.
    """

    def __init__(
        self,
        label: str,
        *,
        answers: Answers,
        class_names: Sequence[str] | None,
        n_classes: int | None,
        returns: Returns,
    ) -> None:
        self.label, self.answers = label, answers
        self.returns: Returns = returns
        self.names = None if class_names is None else tuple(class_names)
        #: Whether labels in answers are compared with classes that were given.
        self.named = self.names is not None or answers != "auto"
        self.n_classes = n_classes if self.names is None else len(self.names)
        self._length: int | None = None
        self._settle()
        if answers != "auto":
            self._classes(answers)

    def _settle(self) -> None:
        self._place = {} if self.names is None else {name: i for i, name in enumerate(self.names)}
        if self.names is not None and len(self._place) != len(self.names):
            raise ValueError(f"`class_names` of {self.label} names a class twice; its answers go by the names")

    def check(self, answers: Sequence[Answer]) -> None:
        """Refuse answers of which no rows can be made; call it before they are kept.

        What was learnt of the classes from answers that are refused is forgotten.

        Raises:
            ModelOutputError: as for `rows`.
        """
        before = self.names, self.n_classes, self._length, self._place
        try:
            self.rows(answers)
        except BaseException:
            self.names, self.n_classes, self._length, self._place = before
            raise

    def _check_length(self, answer: np.ndarray) -> None:
        wanted = self._length or len(answer)
        if len(answer) != wanted:
            raise ModelOutputError(
                f"{self.label} answered {len(answer)} scores for one input and {wanted} for another; a black box must always "
                "have the same classes"
            )
        if self.n_classes not in (None, len(answer)):
            raise ModelOutputError(
                f"{self.label} answered {len(answer)} scores for one input, and has {self.n_classes} classes (by `class_names`, "
                "`n_classes` or answers before); give one name per score, in order"
            )
        self._length = wanted

    def rows(self, answers: Sequence[Answer]) -> np.ndarray:
        """Scores float32 [n, classes].

        Raises:
            ModelOutputError: the answers are of another form than `answers` says, or name other classes than before.
        """
        if not answers:
            return np.zeros((0, self.n_classes or self._length or 0), np.float32)
        return np.stack([self._row(answer) for answer in answers])

    def _row(self, answer: Answer) -> np.ndarray:
        if self.answers == "labels":
            return one_hot(self._label_place(answer), self._classes("labels"))
        if isinstance(answer, np.ndarray):
            self._check_length(answer)
            return answer
        if not isinstance(answer, dict):
            raise ModelOutputError(
                f'{self.label} answered a label alone ({answer!r}), no scores; `answers="labels"` signs it by its labels, '
                "which tells much less"
            )
        if self.answers == "top-k":
            places = [self._place_of(name) for name in answer]
            return spread_top_k(places, list(answer.values()), self._classes("top-k"), self.returns, label=self.label)
        return self._complete(answer)

    def _complete(self, answer: dict[str, float]) -> np.ndarray:
        if self.names is None:
            if self._length is not None:
                raise ModelOutputError(
                    f"{self.label} answered scores by label ({_some(list(answer))}) for one input and a list of {self._length} "
                    "scores for another; which score belongs to which class cannot be told: give `class_names`"
                )
            self.names = tuple(sorted(answer))
            self.n_classes = len(self.names)
            self._settle()
        if set(answer) != set(self.names):
            missing = [name for name in self.names if name not in answer]
            more = [name for name in answer if name not in self._place]
            told = "; ".join(
                part
                for part in (
                    f"{len(missing)} of {len(self.names)} known classes have no score ({_some(missing)})"
                    if missing
                    else "",
                    f"{_some(more)} is no known class" if more else "",
                )
                if part
            )
            raise ModelOutputError(
                f"{self.label} answered scores of {len(answer)} classes: {told}. If it tells only its best classes, ask it "
                'for all of them, or give the `class_names` of all and `answers="top-k"`, which fills in the rest'
            )
        return np.array([answer[name] for name in self.names], np.float32)

    def _label_place(self, answer: Answer) -> int:
        if isinstance(answer, np.ndarray | dict):
            raise ModelOutputError(
                f'{self.label} answered scores where labels were announced; leave out `answers="labels"`, scores tell more'
            )
        return self._place_of(answer)

    def _place_of(self, name: str | int) -> int:
        classes = self._classes("labels" if self.answers == "labels" else "top-k")
        if isinstance(name, str) and self.names is not None:
            if name in self._place:
                return self._place[name]
        elif (isinstance(name, int) or (name.isdecimal() and len(name) < 10)) and 0 <= int(name) < classes:
            return int(name)
        known = f"0 to {classes - 1}" if self.names is None else _some(self.names)
        raise ModelOutputError(
            f"{self.label} answered the class {name!r}, and its classes are {known}; give all of them with `class_names`, "
            "spelt as it answers them"
        )

    def _classes(self, answers: str) -> int:
        if self.n_classes is None:
            raise ValueError(
                f'{self.label} is asked with `answers="{answers}"`, where not every class shows in an answer; give all '
                "`class_names` in order, or `n_classes` if it answers with numbers"
            )
        return self.n_classes


def one_hot(place: int, classes: int) -> np.ndarray:
    """Scores of a label alone: 1 for it and 0 for all else, float32 [classes].

    Args:
        place: column of the label.
        classes: how many there are.

    Returns:
        the row of scores.

    >>> one_hot(1, 3).tolist()
    [0.0, 1.0, 0.0]
    """
    row = np.zeros(classes, np.float32)
    row[place] = 1
    return row


def spread_top_k(
    places: Sequence[int],
    scores: Sequence[float],
    classes: int,
    returns: Returns = "probabilities",
    *,
    label: str = "the model",
) -> np.ndarray:
    """Scores of all classes from those of the best k, float32 [classes].

    Probabilities: what is left of 1 is spread evenly over the other classes, which is all that is known of them; but no class
    gets more than the least that was told, since it would have been told otherwise. The row sums to 1, unless the told
    scores were rounded or thresholded.

    Logits have no rest to spread: each other class gets the least that was told. That is the most it can have, and no score
    jumps at the moment when a class comes into the best k or leaves them.

    Args:
        places: column of each told score.
        scores: the told scores, in the same order.
        classes: how many classes there are.
        returns: "logits", or "probabilities" ("auto" means these).
        label: the model, for the error messages.

    Returns:
        the row of scores, float32 [classes].

    Raises:
        ModelOutputError: "probabilities" are negative or sum to more than 1.

    >>> spread_top_k([2, 0], [0.75, 0.125], classes=4).tolist()
    [0.125, 0.0625, 0.75, 0.0625]
    >>> spread_top_k([2, 0], [5.0, 3.0], classes=4, returns="logits").tolist()
    [3.0, 3.0, 5.0, 3.0]
    """
    told = np.asarray(scores, np.float64)
    least = told.min()
    floor = least
    if returns != "logits":
        if least < 0 or told.sum() > 1 + _SUM_TOLERANCE:
            raise ModelOutputError(
                f"{label} answered top-k scores from {least:g} to {told.max():g} that sum to {told.sum():g}: no "
                'probabilities; give `returns="logits"`'
            )
        rest = max(0.0, 1 - told.sum()) / max(classes - len(told), 1)
        floor = min(rest, least)
    row = np.full(classes, floor, np.float32)
    row[list(places)] = told
    return row


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_labelled(output: Any) -> bool:
    return isinstance(output, list) and all(
        isinstance(entry, Mapping) and {"label", "score"} <= set(entry) for entry in output
    )


def _number(value: Any, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        shown = "null (no number)" if value is None else f"{_shown(value)}, a {type(value).__name__}"
        raise ModelOutputError(
            f"{label} answered {shown} where a score belongs; one list of numbers per input is needed"
        )
    return float(value)


def _finite(values: list[float], label: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        row = np.asarray(values, np.float64).astype(np.float32)
    if not np.isfinite(row).all():
        at = int(np.flatnonzero(~np.isfinite(row))[0])
        raise ModelOutputError(
            f"{label} answered {values[at]} as score {at} of an input; nothing of that answer is kept. Check what the service "
            "does with inputs of this scale"
        )
    return row


def _no_answer(output: Any, label: str) -> ModelOutputError:
    return ModelOutputError(
        f"{label} answered {_shown(output)} for one input; scores (a list of numbers, or numbers by label) or a label are "
        "needed. If they are elsewhere in its answer, say where with `answer`"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:4])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 4 else shown
