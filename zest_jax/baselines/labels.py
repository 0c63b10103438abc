"""Agreement of labels, where it is known which class of one model is which of the other."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from zest_jax.baselines.answers import Answers


class LabelSet(NamedTuple):
    """The classes of a model or of data.

    Attributes:
        owner: what messages call it.
        size: how many classes there are.
        names: their names in order, or None when unknown.
    """

    owner: str
    size: int
    names: tuple[str, ...] | None

    @property
    def is_named(self) -> bool:
        """Whether the names tell classes apart; numbers as names ("0", "1", ...) count as none."""
        names = self.names
        return names is not None and len(set(names)) == len(names) and not all(name.isdecimal() for name in names)


def classes_in(source: LabelSet, target: LabelSet) -> Int[np.ndarray, " classes"]:
    """Say which class of `target` each class of `source` is: by name where both have names, else by number.

    Raises:
        ValueError: the numbers of classes differ, or the names do.

    >>> classes_in(LabelSet("data", 2, ("cat", "dog")), LabelSet("model", 2, ("dog", "cat"))).tolist()
    [1, 0]
    """
    if source.size != target.size:
        raise ValueError(
            f"{source.owner} has {source.size} classes and {target.owner} {target.size}, and labels can be compared only within "
            "the same label set; ModelDiff, SAC-m, FBI and Zest compare models of different label sets"
        )
    if source.names is None or target.names is None or not (source.is_named and target.is_named):
        return np.arange(source.size)
    if sorted(source.names) != sorted(target.names):
        unknown = [name for name in source.names if name not in target.names]
        raise ValueError(
            f"{source.owner} has classes that {target.owner} does not have ({', '.join(unknown[:5])}), and labels can be "
            "compared only within the same label set; if they are the same classes, give both the same `class_names`, else use "
            "ModelDiff, SAC-m, FBI or Zest"
        )
    number = {name: i for i, name in enumerate(target.names)}
    return np.array([number[name] for name in source.names])


def label_set(answers: Answers) -> LabelSet:
    """The classes of a model, from its answers."""
    return LabelSet(answers.label, answers.scores.shape[1], answers.class_names)


def label_agreement(victim: Answers, suspect: Answers) -> float:
    """Share of the questions to which two models give the same label: (1/n) sum_i [argmax f(x_i) = argmax g(x_i)], in [0, 1].

    Raises:
        ValueError: the models have different label sets.

    >>> rows = np.eye(4, dtype=np.float32)
    >>> label_agreement(Answers("f", rows, None, "logits"), Answers("g", rows[[0, 1, 3, 2]], None, "logits"))
    0.5
    """
    same = classes_in(label_set(suspect), label_set(victim))
    return float(np.mean(victim.labels == same[suspect.labels]))
