"""What every reader of texts gives, which of it can be used, and how it becomes a `TextSet`."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from zest_jax.data.bad_inputs import usable_rows
from zest_jax.data.reading import ReadOptions
from zest_jax.progress import progress_bar

_BLOCK = 512
_KINDS: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}
_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TextSet:
    """Texts, read from somewhere.

    Attributes:
        texts: [N], an object array of `str`, none of them empty.
        labels: class of each text, int64 [N], or None when unknown.
        class_names: name of each class, or None.
        skipped: names of the bad rows that were left out, such as "reviews.csv line 17".
        source: where they come from, as the user wrote it.

    >>> pool = TextSet(texts=np.array(["a good film", "a bad one"], object), labels=np.array([1, 0]))
    >>> len(pool), pool.texts[pool.labels == 1].tolist()
    (2, ['a good film'])
    """

    texts: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    source: str = ""

    def __len__(self) -> int:
        return len(self.texts)


class TextRow(NamedTuple):
    """One row as it was found.

    Bytes that are not UTF-8 are in `text` as `errors="surrogateescape"` decodes them. `label` is a number, a name, or None
    where there is none. `fault` says what is wrong where the reader knows already.
    """

    name: str
    text: object = None
    label: object = None
    fault: str | None = None


def text_set(
    rows: Iterable[TextRow],
    n: int,
    source: str,
    options: ReadOptions,
    class_names: tuple[str, ...] | None = None,
) -> TextSet:
    """Check n rows and make them a `TextSet`.

    With `class_names` labels are taken for their numbers. Without, they stay numbers if all are, or are names.

    Raises:
        FileFormatError: there are bad rows that are not to be skipped, or nothing else.
    """
    found: list[TextRow] = []
    faults: dict[int, str] = {}
    with progress_bar(f"reading {source}", n, unit="texts", show=options.progress) as update:
        for i, row in enumerate(rows):
            found.append(row)
            fault = row.fault or text_fault(row.text) or _label_fault(row.label)
            if fault:
                faults[i] = fault
            if (i + 1) % _BLOCK == 0 or i + 1 == n:
                update(i + 1)
    labelled = any(row.label is not None for row in found)
    if labelled:
        for i, row in enumerate(found):
            if row.label is None and i not in faults:
                faults[i] = "its `label` is missing"
    kept = usable_rows([row.name for row in found], faults, what="texts", source=source, options=options)
    labels, names = None, None
    if labelled:
        labels, names = _numbered([found[i].label for i in kept], class_names)
    return TextSet(
        texts=np.array([found[i].text for i in kept], object),
        labels=labels,
        class_names=names,
        skipped=tuple(found[i].name for i in sorted(faults)),
        source=source,
    )


def text_fault(text: object) -> str | None:
    """Say why something is no text that a model can be asked about, or None.

    >>> text_fault("fine"), text_fault(" "), text_fault(None)
    (None, 'it holds only white space', 'it is null, not a string')
    >>> text_fault(b"caf\\xe9".decode("utf-8", "surrogateescape"))
    'it is not UTF-8: byte 0xE9 follows the first 3 characters'
    """
    if not isinstance(text, str):
        return f"it is {kind_of(text)}, not a string"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            return f"it is not UTF-8: byte 0x{code - 0xDC00:02X} follows the first {error.start:,} characters"
        return f"it holds U+{code:04X}, half of a character written as two"
    if not text:
        return "it is empty"
    if not text.strip():
        return "it holds only white space"
    if "\0" in text:
        return "it holds NUL characters, which are in no text: it may be UTF-16, or no text at all"
    return None


def kind_of(value: object) -> str:
    """Name the kind of a value as JSON knows it.

    >>> kind_of(3.5), kind_of([])
    ('the number 3.5', 'a list')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | np.number):
        return f"the number {value}"
    return _KINDS.get(type(value), type(value).__name__)


def _label_fault(label: object) -> str | None:
    if label is None or (isinstance(label, int | np.integer) and not isinstance(label, bool)):
        return None
    if isinstance(label, str):
        fault = text_fault(label)
        return None if fault is None else f"its `label` cannot be used: {fault}"
    return f"its `label` is {kind_of(label)}; give the name or the number of a class"


def _numbered(
    labels: Sequence[object], class_names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    shown = [str(label) for label in labels]
    if class_names is not None or all(map(_NUMBER.fullmatch, shown)):
        return np.array([int(label) for label in shown], np.int64), class_names
    names, numbers = np.unique(shown, return_inverse=True)
    return numbers.astype(np.int64), tuple(names.tolist())
