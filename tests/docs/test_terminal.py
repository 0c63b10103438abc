"""The terminal of the documents is bash, and lets nothing fail unseen."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import elsewhere
from tests.docs.terminal import Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="documents are run by bash")


@pytest.fixture
def terminal(tmp_path) -> Iterator[Terminal]:
    """With a `zest` that prints its words and fails as often as it gets words; `pip` is that of the documents."""

    def zest(words: list[str]) -> int:
        print(*words, sep="|")
        return len(words)

    made = Terminal(tmp_path, {"zest": zest, "pip": lambda words: elsewhere.check(["pip", *words])}, {"KEY": "secret"})
    yield made
    made.close()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("curl https://example.com", "bash ended with exit code 127"),
        ("zest one && echo done", "`zest one` ended with exit code 1"),
        ("zest one || true", "`zest one` ended with exit code 1"),
        ("cat nothing.txt", "bash ended with exit code 1"),
        ("pip install numpy", "numpy is not this project"),
        ('pip install ".[nothing]"', "there is no extra nothing"),
        ("pip uninstall numpy", "ended with exit code 127"),
    ],
)
def test_what_fails_fails(terminal, block, message):
    with pytest.raises(AssertionError, match=re.escape(message)):
        terminal.run(block)


def test_quotes_globs_variables_and_continuations_are_those_of_bash(terminal, tmp_path):
    (tmp_path / "b.sig").touch()
    (tmp_path / "a.sig").touch()
    with pytest.raises(AssertionError):
        terminal.run("""zest *.sig 'x: $KEY' "$KEY" \\\n  last # no words""")
    assert terminal.calls[-1].words == ["zest", "a.sig", "b.sig", "x: $KEY", "secret", "last"]
    assert terminal.calls[-1].out == "a.sig|b.sig|x: $KEY|secret|last\n"


def test_exports_and_the_folder_stay(terminal):
    terminal.run("export NAME='a  b'\nmkdir inner\ncd inner")
    terminal.run('test "$NAME" = "a  b" && zest')
    assert terminal.where.name == "inner"
    with terminal.inside():
        assert (Path.cwd().name, os.environ["NAME"]) == ("inner", "a  b")


def test_output_can_be_piped_and_kept(terminal, tmp_path):
    terminal.run("zest | head -n 1 > kept.txt")
    assert (tmp_path / "kept.txt").read_text() == "\n"
