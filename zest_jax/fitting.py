"""One model while it is being signed: the answers that wait to be fitted, and the fits that are done."""

from typing import Literal

import numpy as np

from zest_jax.blackbox.outputs import change
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.errors import ModelOutputError
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.solving import LocalFits

Targets = Literal["as-is", "logits", "probabilities"]

# Outputs of an earlier run and of this one belong to the same model when they differ by less than this share of their
# spread.
RESUME_TOLERANCE = 1e-2


class ModelFits:
    """What is known about one model so far.

    Attributes:
        kind: what its outputs are, "logits" or "probabilities"; None before the first answers.
        first_outputs: its answers to the first batch, by which a resumed run knows it again.
        pending: the first query whose answer is still held, and the answers from there on, in pieces. One value, so that an
            interrupt finds both old or both new.
        weights: [sum of K_i, classes] float32; r2, variance [refs, classes]; intercept the same or None. They are as large as
            the signature and filled in place, so that a large model is never held twice.
    """

    def __init__(self, box: BlackBox, probes: ProbeSet, targets: Targets, *, intercept: bool) -> None:
        self.box, self.probes, self.targets, self.with_intercept = box, probes, targets, intercept
        self.kind: str | None = None
        self.first_outputs: np.ndarray | None = None
        self.pending: tuple[int, tuple[np.ndarray, ...]] = 0, ()
        # The first row of each reference's weights.
        self.rows = np.concatenate([[0], np.cumsum(probes.n_segments)])
        self._allocate(0)

    def _allocate(self, classes: int) -> None:
        refs = self.probes.n_references
        self.weights = np.zeros((int(self.rows[-1]), classes), np.float32)
        self.r2, self.variance = np.zeros((refs, classes), np.float32), np.zeros((refs, classes), np.float32)
        self.intercept = np.zeros((refs, classes), np.float32) if self.with_intercept else None

    @property
    def answered(self) -> int:
        """How many queries are answered, those forgotten included."""
        first, parts = self.pending
        return first + sum(len(part) for part in parts)

    def add_answers(self, outputs: np.ndarray) -> None:
        """Take answers float32 [batch, classes]; on the first batch decide what they are."""
        if self.first_outputs is None:
            self.first_outputs = outputs.copy()
            self.kind = self.box.returns if self.box.returns != "auto" else detect_kind(outputs)
            self._allocate(outputs.shape[1])
        first, parts = self.pending
        self.pending = first, (*parts, self._to_targets(outputs))

    def _to_targets(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs into what is fitted."""
        if self.targets == "probabilities" and self.kind == "logits":
            shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            return shifted / shifted.sum(axis=1, keepdims=True)
        if self.targets == "logits" and self.kind == "probabilities":
            if outputs.min() < 0:
                raise ModelOutputError(
                    f"{self.box.label} is said to return probabilities but answered {outputs.min():g}; pass "
                    "returns='logits'"
                )
            logs = np.log(np.maximum(outputs, np.finfo(np.float32).tiny))
            return logs - logs.mean(axis=1, keepdims=True)
        return outputs

    def answers(self, start: int, stop: int) -> np.ndarray:
        """What is to be fitted for queries start:stop, which must have been answered and not forgotten."""
        first, parts = self.pending
        return np.concatenate(parts)[start - first : stop - first]

    def forget(self, stop: int) -> None:
        """Drop the answers to the queries before `stop`."""
        self.pending = stop, (self.answers(stop, self.answered),)

    def store(self, fits: LocalFits, start: int, stop: int) -> None:
        """Keep the fits of references start:stop."""
        real = np.arange(fits.weights.shape[1]) < self.probes.n_segments[start:stop, None]
        self.weights[self.rows[start] : self.rows[stop]] = fits.weights[real]
        self.r2[start:stop], self.variance[start:stop] = fits.r2, fits.variance
        if self.intercept is not None:
            self.intercept[start:stop] = fits.intercept

    def tensors(self, references_done: int, queries_done: int) -> dict[str, np.ndarray]:
        """Everything that a checkpoint must hold when so many references are fitted and so many queries answered."""
        assert self.first_outputs is not None
        tensors = {
            "weights": self.weights[: self.rows[references_done]],
            "r2": self.r2[:references_done],
            "variance": self.variance[:references_done],
            "pending": self.answers(int(self.probes.distinct.start[references_done]), queries_done),
            "first_outputs": self.first_outputs,
        }
        return tensors if self.intercept is None else {**tensors, "intercept": self.intercept[:references_done]}

    def restore(self, tensors: dict[str, np.ndarray], references_done: int, kind: str) -> None:
        """Undo `tensors`."""
        self.kind, self.first_outputs = kind, tensors["first_outputs"]
        self.pending = int(self.probes.distinct.start[references_done]), (tensors["pending"],)
        self._allocate(self.first_outputs.shape[1])
        self.weights[: self.rows[references_done]] = tensors["weights"]
        self.r2[:references_done], self.variance[:references_done] = tensors["r2"], tensors["variance"]
        if self.intercept is not None:
            self.intercept[:references_done] = tensors["intercept"]

    def is_same_model(self, outputs: np.ndarray) -> bool:
        """Whether answers to the first batch, given now, could be those of the model that gave the first ones."""
        before = self.first_outputs
        assert before is not None
        if before.shape[1] != outputs.shape[1]:
            return False
        rows = min(len(before), len(outputs))
        return change(before[:rows], outputs[:rows]) < RESUME_TOLERANCE


def detect_kind(outputs: np.ndarray) -> str:
    """Tell probabilities (rows non-negative, summing to 1) from logits, on one batch of outputs [batch, classes]."""
    if outputs.shape[1] > 1 and outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return "probabilities"
    return "logits"
