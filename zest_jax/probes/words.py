"""Cut texts into words, the units that the masks switch on and off (LIME's explainer of texts; paper, section 4.4)."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

# Everything between words: LIME splits at \W+.
_WORD = re.compile(r"\w+")

Span = tuple[int, int]
WordSegmenter = Callable[[str], Sequence[Span]]
Components = Literal["words", "occurrences"]


def segment_texts(texts: Sequence[str] | np.ndarray, method: Components | WordSegmenter = "words") -> np.ndarray:
    """Label every character of every text with the word it belongs to.

    Methods:
        "words": every different word is one segment, wherever it occurs; upper and lower case differ (LIME's default).
        "occurrences": every word at every place is a segment of its own (LIME's `bow=False`).
        a callable: takes a text and returns the places [(start, stop), ...] of its segments, text[start:stop], which must
            not overlap; sentences, lines, words of a language without blanks.

    Args:
        texts: N strings.
        method: one of the above.

    Returns:
        labels, int32 [N, characters of the longest]: in each text 0 to K - 1 in order of appearance, and -1 for what is never
        masked: signs, blanks, and what is after the end.

    Raises:
        ValueError: a text has no word, the method is unknown, or a callable returns something else.

    >>> segment_texts(["to be, to do"]).tolist()
    [[0, 0, -1, 1, 1, -1, -1, 0, 0, -1, 2, 2]]
    """
    if not callable(method) and method not in ("words", "occurrences"):
        raise ValueError(f"unknown segments {method!r} of a text; choose 'words', 'occurrences', or pass a callable")
    labels = np.full((len(texts), max(len(text) for text in texts)), -1, np.int32)
    for i, text in enumerate(texts):
        spans = _checked_spans(method(text), text, i) if callable(method) else [w.span() for w in _WORD.finditer(text)]
        if not spans:
            raise ValueError(f"text {i} has no word ({text[:40]!r}), so there is nothing to mask; leave it out")
        known: dict[str, int] = {}
        for number, (start, stop) in enumerate(spans):
            label = known.setdefault(text[start:stop], len(known)) if method == "words" else number
            labels[i, start:stop] = label
    return labels


def has_word(text: str) -> bool:
    """Whether there is anything in a text that "words" could mask.

    >>> has_word("..."), has_word("a.")
    (False, True)
    """
    return _WORD.search(text) is not None


def _checked_spans(given: Any, text: str, i: int) -> list[Span]:
    try:
        spans = sorted((int(start), int(stop)) for start, stop in given)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the segmenter returned {given!r:.80} for text {i}; return the places of its segments, [(start, stop), ...]"
        ) from error
    end = 0
    for start, stop in spans:
        if not end <= start < stop <= len(text):
            raise ValueError(
                f"the segmenter returned ({start}, {stop}) for text {i} of {len(text)} characters; segments must be "
                "within the text, not empty, and not overlap"
            )
        end = stop
    return spans
