"""docs/tutorial.md shows what its Python prints."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
# Training on another machine ends with other roundings.
CLOSE = 0.06


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(python|text)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_shown_outputs_are_those_printed(capsys):
    pytest.importorskip("sklearn")
    names: dict = {"__name__": "__main__"}
    compared = 0
    for language, text in blocks():
        if language == "python":
            exec(compile(text, PAGE.name, "exec"), names)
            printed = capsys.readouterr().out
            continue
        number = r"\d+(?:\.\d+)?"
        assert re.sub(number, "N", text) == re.sub(number, "N", printed)
        shown, found = ([float(each) for each in re.findall(number, each)] for each in (text, printed))
        assert found == pytest.approx(shown, abs=CLOSE)
        compared += 1
    assert compared == 5
