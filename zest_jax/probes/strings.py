"""Texts with some of their words masked, as strings: for models that read text themselves."""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from zest_jax.probes.probe_set import ProbeSet


class Piece(NamedTuple):
    """A stretch of a text that is kept or masked as one.

    Attributes:
        text: what stands there.
        label: the segment it belongs to, or -1 when it is never masked.
        masked: what stands there when it is masked.
    """

    text: str
    label: int
    masked: str


class StringComposer:
    """Composes the perturbed texts of a ProbeSet.

    A word is taken out (fill "") or replaced by the fill. Where taking a word out would join what stood left and right of it, a
    blank is left, so that no new word or sign comes into being: what remains has the tokens it had before.

    >>> from zest_jax.probes.text import text_probes
    >>> probes = text_probes(["not-so-good film"], 1, 3)
    >>> StringComposer(probes)(np.zeros(2, np.int32), np.array([[0b01100000], [0b10010000]], np.uint8)).tolist()
    ['-so-good ', 'not- - film']
    """

    def __init__(self, probes: ProbeSet) -> None:
        fill = str(probes.fill[0])
        self._columns = [
            _columns(pieces(text, labels, fill))
            for text, labels in zip(probes.references, probes.segments, strict=True)
        ]

    def __call__(self, reference: Int[np.ndarray, " batch"], packed: UInt8[np.ndarray, "batch octets"]) -> np.ndarray:
        """Compose a batch: an array of `str` objects [batch]."""
        composed = np.empty(len(reference), object)
        kept = np.unpackbits(packed, axis=-1).view(bool)
        # All copies of a reference together, which is faster than one after the other.
        for i in np.unique(reference).tolist():
            rows, columns = np.flatnonzero(reference == i), self._columns[i]
            stays = kept[rows][:, columns.bit] | columns.always
            composed[rows] = ["".join(row) for row in np.where(stays, columns.text, columns.masked).tolist()]
        return composed


class _Columns(NamedTuple):
    """The pieces of a text side by side: `bit` of the mask decides between `text` and `masked`, or nothing does."""

    text: np.ndarray
    masked: np.ndarray
    bit: np.ndarray
    always: np.ndarray


def _columns(found: list[Piece]) -> _Columns:
    labels = np.array([piece.label for piece in found])
    text, masked = (np.array([getattr(piece, name) for piece in found], object) for name in ("text", "masked"))
    return _Columns(text, masked, np.maximum(labels, 0), labels < 0)


def pieces(text: str, labels: Int[np.ndarray, " characters"], fill: str) -> list[Piece]:
    """Cut a text where the label of its characters changes.

    >>> pieces("a-b", np.array([0, -1, 1]), "")
    [Piece(text='a', label=0, masked=''), Piece(text='-', label=-1, masked='-'), Piece(text='b', label=1, masked='')]
    """
    own = labels[: len(text)]
    borders = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(text)]
    found = []
    for start, stop in itertools.pairwise(borders):
        label, part = int(own[start]), text[start:stop]
        if label < 0:
            found.append(Piece(part, -1, part))
            continue
        joins = start > 0 and stop < len(text) and not text[start - 1].isspace() and not text[stop].isspace()
        found.append(Piece(part, label, fill or (" " if joins else "")))
    return found
