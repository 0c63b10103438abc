"""docs/remote.md: its Python runs as written, its commands and templates are those that there are."""

import json
import re
from pathlib import Path

import pytest

from zest_jax.blackbox.http.protocols import TemplateProtocol

pytest.importorskip("httpx")
PAGE = (Path(__file__).parents[1] / "docs" / "remote.md").read_text(encoding="utf-8")


def test_the_python_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 2
    names: dict = {}
    for block in blocks:
        exec(block, names)
    names["suspect"].close()
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"distance -?0\.0000 for \d{3} inputs", first)
    # A linear model is all that a fit can want; of its labels a fit tells less.
    labels, scores = (float(number) for number in re.findall(r"\d\.\d\d", second))
    assert labels < scores == 1
    assert (tmp_path / "suspect.journal").exists()


def test_templates_are_templates():
    table = PAGE.split("| | request | answer |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| [^|]* \| `(.*?)` \| `(.*?)` \|$", table, re.M)
    assert len(rows) == 5
    for request, answer in rows:
        assert json.loads(request)
        TemplateProtocol(request=request, answer=answer)


def test_options_named_are_options(capsys):
    from zest_jax.cli.main import main

    assert main(["sign", "--help"]) == 0
    shown = capsys.readouterr().out
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE))
    assert len(options) > 20
    assert {option for option in options if option not in shown} == set()
