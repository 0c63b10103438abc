"""Cut texts into words, the units that the masks switch on and off (LIME's explainer of texts; paper, section 4.4)."""

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np


@functools.cache
def word_pattern() -> re.Pattern[str]:
    """What a word is: LIME's `\\w+`, with what tokenizers make a part of it, so that no token is half a word.

    Those are marks (accents on their own, the vowels of Hindi), joiners, and signs that become letters when a text is
    normalised (NFKC), such as the trade mark sign.

    >>> [found.group() for found in word_pattern().finditer("Foo™ (5㎏)")]
    ['Foo™', '5㎏']
    """
    extra = [
        code
        for code in range(0x80, 0x20000)
        if not re.match(r"\w", chr(code)) and (chr(code) in _JOINERS or _is_mark(chr(code)) or _has_letters(chr(code)))
    ]
    runs: list[list[int]] = []
    for code in extra:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return re.compile(rf"[\w{''.join(f'{chr(a)}-{chr(b)}' for a, b in runs)}]+")


_JOINERS = "\u200c\u200d"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _has_letters(character: str) -> bool:
    normal = unicodedata.normalize("NFKC", character)
    return normal != character and re.search(r"\w", normal) is not None


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
        masked (signs, blanks, and what is after the end).

    Raises:
        ValueError: a text has no word, the method is unknown, or a callable returns something else.

    >>> segment_texts(["to be, to do"]).tolist()
    [[0, 0, -1, 1, 1, -1, -1, 0, 0, -1, 2, 2]]
    """
    if not callable(method) and method not in ("words", "occurrences"):
        raise ValueError(f"unknown segments {method!r} of a text; choose 'words', 'occurrences', or pass a callable")
    labels = np.full((len(texts), max(len(text) for text in texts)), -1, np.int32)
    for i, text in enumerate(texts):
        spans = (
            _checked_spans(method(text), text, i)
            if callable(method)
            else [w.span() for w in word_pattern().finditer(text)]
        )
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
    return word_pattern().search(text) is not None


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
