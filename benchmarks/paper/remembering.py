"""A model that is asked no question twice, however many methods ask it."""

import hashlib

import numpy as np

from zest_jax.blackbox.protocol import BlackBox, HostBlackBox

_BATCH = 256


class Remembering(HostBlackBox):
    """Keeps a model's answers by question.

    Args:
        box: the model; its answers must not depend on what else is asked.
    """

    def __init__(self, box: BlackBox) -> None:
        super().__init__(label=box.label, class_names=box.class_names, returns=box.returns, settings=box.settings)
        self.box = box
        self.known: dict[bytes, np.ndarray] = {}

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        keys = [hashlib.blake2b(question.tobytes(), digest_size=16).digest() for question in prepared]
        new = {key: row for row, key in enumerate(keys) if key not in self.known}
        rows = list(new.values())
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            # Always as many, so that nothing is compiled anew.
            answers = self.box(prepared[np.resize(part, _BATCH)])[: len(part)]
            self.known.update(zip(list(new)[start : start + _BATCH], answers, strict=True))
        return np.stack([self.known[key] for key in keys])
