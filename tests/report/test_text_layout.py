import numpy as np
import pytest

from zest_jax.probes.words import segment_texts
from zest_jax.report.text_layout import UNKNOWN, TextLayout, lay_out

PANGRAM = "The quick brown fox, it jumps over the-lazy dog. "


def laid_out(text: str, columns: int = 20, most_lines: int = 100) -> TextLayout:
    return lay_out(text, segment_texts([text])[0], columns=columns, most_lines=most_lines)


def lines_of(layout: TextLayout) -> list[str]:
    lines = [""] * layout.lines
    for run in layout.runs:
        lines[run.line] = lines[run.line].ljust(run.column) + run.text
    return lines


@pytest.mark.parametrize("columns", [9, 20, 33, 90])
def test_no_line_is_too_long_no_place_is_taken_twice_and_no_word_is_lost(columns):
    layout = laid_out(PANGRAM * 3, columns)
    taken = np.zeros((layout.lines, columns), int)
    for run in layout.runs:
        assert run.column + run.width <= columns
        taken[run.line, run.column : run.column + run.width] += 1
    assert taken.max() == 1
    assert " ".join(lines_of(layout)).split() == (PANGRAM * 3).split()


def test_every_run_carries_the_label_of_its_word():
    text = PANGRAM
    labels = segment_texts([text])[0]
    for run in laid_out(text).runs:
        if run.label >= 0:
            start = int(np.flatnonzero(labels == run.label)[0])
            assert text.startswith(run.text, start)
        else:
            assert not any(c.isalnum() for c in run.text)


def test_a_word_longer_than_a_line_goes_on_in_the_next():
    layout = laid_out("a " + "b" * 25 + " c", columns=10)
    assert lines_of(layout) == ["a ", "b" * 10, "b" * 10, "b" * 5 + " c"]
    assert [run.label for run in layout.runs if "b" in run.text] == [1, 1, 1]


def test_line_breaks_are_kept_and_empty_lines_are_not():
    assert [line.strip() for line in lines_of(laid_out("one\r\n\n\n  two\tthree\n"))] == ["one", "two three"]


@pytest.mark.parametrize("most_lines", [1, 2, 3])
def test_what_finds_no_room_is_counted(most_lines):
    text = "ab cd " * 10 + "ef"
    layout = laid_out(text, columns=5, most_lines=most_lines)
    assert layout.lines == most_lines
    # Each line of five columns takes a blank of the text with it.
    assert layout.left_out == len(text) - 6 * most_lines
    assert laid_out(text, columns=5, most_lines=11).left_out == 0


def test_what_the_font_lacks_is_a_square_and_what_turns_the_line_around_is_left_out():
    layout = laid_out("漢字 🎉 a\u202eb \x07 \ue000 x")
    assert " ".join(lines_of(layout)).split() == [UNKNOWN * 2, UNKNOWN, "ab", UNKNOWN, UNKNOWN, "x"]


def test_an_accent_of_its_own_joins_its_letter():
    layout = laid_out("e\u0301tude")
    assert lines_of(layout) == ["étude"]
    assert [(run.column, run.width) for run in layout.runs] == [(0, 5)]
    # Also where it lies between two segments.
    labels = segment_texts(["e\u0301tude"], lambda text: [(0, 1), (2, 6)])[0]
    cut = lay_out("e\u0301tude", labels, columns=20, most_lines=1)
    assert [(run.column, run.width, run.label) for run in cut.runs] == [(0, 1, 0), (1, 4, 1)]
    # No letter has this accent: it is left out.
    assert lines_of(laid_out("q\u0301 z")) == ["q z"]


def test_neighbouring_segments_do_not_melt_into_one():
    layout = lay_out("abcd", np.array([0, 0, 1, 1]), columns=9, most_lines=1)
    assert [(run.text, run.column) for run in layout.runs] == [("ab", 0), ("cd", 2)]
