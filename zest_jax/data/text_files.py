"""Texts from files: one a line, a column of a table, or a field of JSON lines.

Bytes that are not UTF-8 are kept as they are (`surrogateescape`) until each row is checked, so that one of them spoils its
own row alone.
"""

import codecs
import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from zest_jax.data.reading import ReadOptions
from zest_jax.data.text_rows import TextRow, kind_of
from zest_jax.errors import FileFormatError, WrongFileError

LABEL = "label"
_TEXT = "text"
# The longest cell, in characters; the csv module refuses more than 131,072 otherwise. A C long may have 32 bits.
_LONGEST = 2**31 - 1
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or an Excel file)",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"%PDF": "a PDF file",
}


class _Cells(NamedTuple):
    """A row of a table: the line it begins at, and its cells, or what is wrong with it."""

    line: int
    cells: list[str]
    fault: str | None = None


class _Malformed(NamedTuple):
    """A line that is no JSON, and why."""

    reason: str


def read_lines(path: Path, options: ReadOptions) -> tuple[Iterator[TextRow], int]:
    """Read one text a line, and how many."""
    lines = _lines(path)
    rows = options.rows(len(lines))
    return (TextRow(_name(path, row + 1), _decoded(lines[row])) for row in rows), len(rows)


def read_table(path: Path, column: str | None, options: ReadOptions) -> tuple[Iterator[TextRow], int]:
    """Read a column of a table whose first row names the columns, and how many rows.

    Cells may be quoted, in .tsv files too, and then hold line ends.

    Raises:
        FileFormatError: the column is missing or not clear, or a quote is never closed.
    """
    delimiter, called = ("\t", "tab") if path.suffix.lower() in (".tsv", ".tab") else (",", "comma")
    head, *table = _cells(_decoded(_content(path)), delimiter, path)
    names = [name.strip() for name in head.cells]
    if not any(names):
        reason = head.fault or "it is empty"
        raise FileFormatError(f"the first row of {path} names no columns: {reason}; write their names there")
    at = _column(names, column, delimiter, path)
    label = names.index(LABEL) if LABEL in names and names[at] != LABEL else None
    if not table:
        raise FileFormatError(f"{path} holds no texts: nothing follows the names of its columns ({_listed(names)})")
    rows = options.rows(len(table))

    def found() -> Iterator[TextRow]:
        for line, cells, fault in (table[row] for row in rows):
            if not (fault or cells):
                fault = "it is empty"
            elif not fault and len(cells) != len(names):
                fault = (
                    f"it has {len(cells)} cells for {len(names)} columns; a text that holds a {called}, a quote or a line "
                    "end must be quoted"
                )
            if fault:
                yield TextRow(_name(path, line), fault=fault)
            else:
                yield TextRow(
                    _name(path, line), cells[at], (cells[label].strip() or None) if label is not None else None
                )

    return found(), len(rows)


def read_json_lines(path: Path, column: str | None, options: ReadOptions) -> tuple[Iterator[TextRow], int]:
    """Read a field of the JSON objects, or the JSON strings, that stand one a line, and how many.

    Raises:
        FileFormatError: the field is in no object, or it is not clear which one is the text.
    """
    lines = _lines(path)
    rows = options.rows(len(lines))
    values = [_parsed(lines[row]) for row in rows]
    field = _field([value for value in values if isinstance(value, dict)], column, path)

    def found() -> Iterator[TextRow]:
        for row, value in zip(rows, values, strict=True):
            name = _name(path, row + 1)
            if isinstance(value, _Malformed):
                yield TextRow(name, fault=value.reason)
            elif isinstance(value, str) and column is None:
                yield TextRow(name, value)
            elif not isinstance(value, dict):
                wanted = "a string or an object" if column is None else f"an object with `{column}`"
                yield TextRow(name, fault=f"it is {kind_of(value)}, not {wanted}")
            elif field not in value:
                yield TextRow(name, fault=f"it has no `{field}`; its fields: {_listed(value)}")
            elif not isinstance(value[field], str):
                yield TextRow(name, fault=f"its `{field}` is {kind_of(value[field])}, not a string")
            else:
                yield TextRow(name, value[field], None if field == LABEL else value.get(LABEL))

    return found(), len(rows)


def _content(path: Path) -> bytes:
    """All bytes of a file in UTF-8, without the mark that some programs put before them."""
    content = path.read_bytes()
    if content.startswith(_UTF16):
        raise FileFormatError(
            f"{path} is written in UTF-16 or UTF-32; save it as UTF-8, such as by `iconv -f UTF-16 -t UTF-8`"
        )
    for start, what in _FOREIGN.items():
        if content.startswith(start):
            raise FileFormatError(f"{path} is {what}, whatever its name says; give a plain text file in UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise FileFormatError(f"{path} holds no texts: it is empty")
    return content


def _lines(path: Path) -> list[bytes]:
    """Lines, without their ends and without empty ones at the end of the file."""
    # Of bytes, `splitlines` knows \n, \r\n and \r, and not the dozen other separators that may stand inside a text.
    lines = _content(path).splitlines()
    while not lines[-1]:
        lines.pop()
    return lines


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _listed(names: Iterable[str]) -> str:
    # What was no UTF-8 can be shown only escaped.
    escaped = (name.encode("utf-8", "backslashreplace").decode() for name in names)
    return ", ".join(name or "(no name)" for name in escaped) or "(none)"


def _name(path: Path, line: int) -> str:
    return f"{path.name} line {line}"


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _cells(content: str, delimiter: str, path: Path) -> list[_Cells]:
    at_end = False

    def lines() -> Iterator[str]:
        nonlocal at_end
        yield from io.StringIO(content, newline="")
        at_end = True

    found: list[_Cells] = []
    with _long_cells():
        reader = csv.reader(lines(), delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                found.append(_Cells(line, next(reader)))
            except StopIteration:
                break
            except csv.Error as error:
                if at_end:
                    # How many texts it swallowed cannot be known, so that it cannot be counted as one bad row.
                    raise FileFormatError(
                        f'{path} has a quote that opens in line {line} and is never closed; close it, or write a " that '
                        'begins a text as """'
                    ) from error
                last = reader.line_num
                span = f"lines {line} to {last} are" if last > line else "it is"
                found.append(_Cells(line, [], f"{span} quoted wrongly ({error})"))
    while found and not (found[-1].cells or found[-1].fault):
        found.pop()
    return found


def _column(names: list[str], column: str | None, delimiter: str, path: Path) -> int:
    listed = _listed(names)
    if column is None:
        others = [name for name in names if name != LABEL]
        if len(names) == 1 and (other := next((sign for sign in ";\t|," if sign in names[0]), delimiter)) != delimiter:
            raise FileFormatError(
                f"{path} seems to separate its columns by {other!r}; separate them by {delimiter!r}, as its ending says "
                "(.csv: commas, .tsv: tabs), or pass `column` if it is all one column"
            )
        column = _TEXT if _TEXT in others else others[0] if len(others) == 1 else None
        if column is None:
            raise WrongFileError(
                f"{path} has the columns {listed}; pass `column` (`--column`), the one that holds the texts"
            )
    if column not in names:
        raise WrongFileError(f"{path} has no column {column!r}; its first row names {listed}")
    if names.count(column) > 1:
        raise FileFormatError(
            f"{path} has {names.count(column)} columns called {column!r}; give each a name of its own"
        )
    return names.index(column)


def _parsed(line: bytes) -> object:
    if not line.strip():
        return _Malformed("it is empty")
    try:
        return json.loads(_decoded(line))
    except (ValueError, RecursionError) as error:
        return _Malformed(f"it is no JSON ({error})")


def _field(objects: list[dict], column: str | None, path: Path) -> str | None:
    """Which field of the objects is the text; None where there are no objects."""
    names = list(dict.fromkeys(name for value in objects for name in value))
    if column is not None:
        if column not in names:
            raise WrongFileError(f"no line of {path} has the field {column!r}; their fields: {_listed(names)}")
        return column
    if not objects:
        return None
    texts = [name for name in names if name != LABEL and any(isinstance(value.get(name), str) for value in objects)]
    if _TEXT in texts:
        return _TEXT
    if len(texts) == 1:
        return texts[0]
    if not texts:
        raise WrongFileError(f"no field of the objects in {path} is a string; their fields: {_listed(names)}")
    raise WrongFileError(
        f"the objects in {path} have the fields {_listed(texts)}; pass `column` (`--column`), the one that holds the texts"
    )
