"""Break a text into lines of characters of one width, so that what stands where is known before anything is drawn."""

import functools
import re
import unicodedata
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from matplotlib import font_manager

FONT_SIZE = 10.0
# Stands for what the font cannot draw.
UNKNOWN = "□"
# A line break, a blank, or what no line is broken within.
_UNITS = re.compile(r"\n|[^\S\n]|\S+")


class Run(NamedTuple):
    """A stretch of a line whose characters belong to one segment.

    Attributes:
        text: as it is drawn.
        label: the segment, or -1 for what is never masked.
        line, column: where it begins.
        width: columns that it takes.
    """

    text: str
    label: int
    line: int
    column: int
    width: int


class TextLayout(NamedTuple):
    """A text in lines.

    Attributes:
        runs: what stands where, in order.
        lines: how many there are.
        left_out: how many characters did not find room.
    """

    runs: list[Run]
    lines: int
    left_out: int


def lay_out(text: str, labels: Integer[np.ndarray, " characters"], *, columns: int, most_lines: int) -> TextLayout:
    """Break a text into lines, at blanks where possible, and join the characters of a line that share a label.

    >>> layout = lay_out("ab cd ef", np.array([0, 0, -1, 1, 1, -1, 2, 2]), columns=5, most_lines=2)
    >>> [(run.text, run.label, run.line, run.column) for run in layout.runs]
    [('ab', 0, 0, 0), (' ', -1, 0, 2), ('cd', 1, 0, 3), ('ef', 2, 1, 0)]
    """
    runs: list[Run] = []
    line = column = 0
    for unit in _UNITS.finditer(text):
        if unit[0] == "\n":
            # Empty lines say nothing here.
            line, column = (line + 1, 0) if column else (line, 0)
            continue
        drawn = [_glyph(character) for character in unit[0]]
        if column and column + sum(width for _, width in drawn) > columns:
            line, column = line + 1, 0
        if not column and unit[0].isspace():
            continue
        for at, (character, width) in enumerate(drawn, unit.start()):
            # A word longer than a line is broken wherever the line ends.
            if column + width > columns:
                line, column = line + 1, 0
            if line >= most_lines:
                return TextLayout(runs, most_lines, len(text) - at)
            _extend(runs, Run(character, int(labels[at]), line, column, width))
            column += width
    return TextLayout(runs, line + (column > 0), 0)


def column_width() -> float:
    """Width of a column in inches."""
    return _advance("0") / 72


@functools.cache
def font_file() -> str:
    """The file of the font with characters of one width."""
    return str(font_manager.findfont(font_manager.FontProperties(family="monospace")))


def _extend(runs: list[Run], new: Run) -> None:
    """Put a character after the others: into the last run if it goes on there."""
    if runs and new.width == 0:
        # An accent written as a character of its own, which `\\w+` does not take for part of a word.
        composed = unicodedata.normalize("NFC", runs[-1].text + new.text)
        if len(composed) == len(runs[-1].text) and _is_known(composed[-1]):
            runs[-1] = runs[-1]._replace(text=composed)
    elif runs and (last := runs[-1]).label == new.label and last.line == new.line:
        runs[-1] = last._replace(text=last.text + new.text, width=last.width + new.width)
    elif new.width:
        runs.append(new)


@functools.cache
def _glyph(character: str) -> tuple[str, int]:
    """What is drawn for a character, and the columns that takes: none for what only marks, joins or turns its neighbours."""
    if character.isspace():
        return " ", 1
    kind = unicodedata.category(character)
    if kind in ("Mn", "Me", "Cf"):
        return character, 0
    if kind[0] == "C" or not _is_known(character):
        return (UNKNOWN if _is_known(UNKNOWN) else "?"), 1
    # Wide characters take several columns, in fonts that have them.
    return character, max(1, int(np.ceil(_advance(character) / _advance("0") - 0.01)))


def _is_known(character: str) -> bool:
    return font_manager.get_font(font_file()).get_char_index(ord(character)) != 0


@functools.cache
def _advance(character: str) -> float:
    """How far the font moves on for a character, in points."""
    font = font_manager.get_font(font_file())
    font.set_size(FONT_SIZE, 72)
    # In 16.16 fixed point.
    return font.load_char(ord(character)).linearHoriAdvance / 65536
