"""What the documentation site takes from elsewhere arrives in it."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")

import runpy

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/someone/something"


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "site_hook.py"))


def test_addresses_come_from_pyproject(hook, tmp_path):
    settings = tmp_path / "pyproject.toml"
    settings.write_text(f'[project.urls]\nRepository = "{REPOSITORY}/"\n', encoding="utf-8")
    assert hook["repository_url"](settings) == REPOSITORY
    assert hook["pages_url"](REPOSITORY) == "https://someone.github.io/something/"
    assert hook["repository_url"]() in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "://" not in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_links_that_leave_docs_lead_to_the_repository_and_pictures_into_the_site(hook):
    text = "[a](../README.md#speed) [b](../benchmarks) ![c](../benchmarks/results/race/small/figure.png) [d](index.md) [e](#here)"
    assert hook["with_links"](text, "limits.md", DOCS, REPOSITORY) == (
        f"[a]({REPOSITORY}/blob/main/README.md#speed) [b]({REPOSITORY}/tree/main/benchmarks) "
        "![c](benchmarks/results/race/small/figure.png) [d](index.md) [e](#here)"
    )
    titled = '[a](../README.md "the first page")'
    assert (
        hook["with_links"](titled, "limits.md", DOCS, REPOSITORY)
        == f'[a]({REPOSITORY}/blob/main/README.md "the first page")'
    )
    deeper = "![c](../../benchmarks/results/race/small/figure.png)"
    assert (
        hook["with_links"](deeper, "how-to/onnx.md", DOCS, REPOSITORY)
        == "![c](../benchmarks/results/race/small/figure.png)"
    )


def test_code_is_left_alone(hook):
    text = "`[a](../nothing.md)`\n\n```text\n[a](../nothing.md)\n```\n"
    assert hook["with_links"](text, "limits.md", DOCS, REPOSITORY) == text


@pytest.mark.parametrize("link", ["[a](../nothing.md)", "![a](../benchmarks/results/nothing.png)"])
def test_a_link_to_nothing_ends_the_build(hook, link):
    with pytest.raises(PluginError, match="not in the repository"):
        hook["with_links"](link, "limits.md", DOCS, REPOSITORY)


def test_every_command_of_zest_shows_its_help(hook):
    page = hook["commands_page"]()
    for command in ("zest probes", "zest reuse unlearn-sisa", "zest store add", "zest zoo build", "zest doctor"):
        assert re.search(rf"^#+ {command}$", page, re.M)
    assert "usage: zest sign [-h]" in page
    assert page.count("usage: zest") == page.count("```text") == 1 + len(hook["command_names"]())


def test_files_stand_in_place_of_their_names(hook):
    text = hook["with_files"]("# Changes\n\n<!-- file CHANGELOG.md -->\n")
    assert text.startswith("# Changes\n\n")
    assert "\n# Changelog" not in text
    assert "## [Unreleased]" in text
    with pytest.raises(PluginError, match=r"NOTHING\.md"):
        hook["with_files"]("<!-- file NOTHING.md -->")


def test_equations_become_mathml_and_what_has_none_is_named(hook):
    assert "<mfrac>" in hook["with_mathml"](r'<span class="arithmatex">\(\frac{a}{b}\)</span>')
    assert hook["with_mathml"](r'<div class="arithmatex">\[a &lt; b\]</div>').startswith('<div class="equation"><math')
    with pytest.raises(PluginError, match=r"\\nosuchcommand in the equation"):
        hook["with_mathml"](r'<span class="arithmatex">\(\nosuchcommand x\)</span>')


def test_claims_that_do_not_hold_come_from_the_results(hook, tmp_path):
    folder = tmp_path / "fig0" / "small"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(
        '{"verdicts": {"a": {"holds": false, "text": "by 0.5"}, "b": {"holds": true, "text": "all"}, '
        '"d": {"holds": null, "text": "0.1"}}}',
        encoding="utf-8",
    )
    table = hook["what_does_not_hold"](tmp_path).splitlines()
    assert table[2:] == [
        "| `fig0`, small | a | does not hold | by 0.5 |",
        "| `fig0`, small | d | can't be told | 0.1 |",
    ]
    (tmp_path / "race" / "small").mkdir(parents=True)
    (tmp_path / "race" / "small" / "result.json").write_text('{"verdicts": {"c": {"holds": false, "text": "0.2"}}}')
    table = hook["what_does_not_hold"](tmp_path).splitlines()
    assert table[2] == "| `fig0`, small | a | does not hold | by 0.5 |"
    assert table[-1] == "| `race`, small | c | does not hold | 0.2 |"
    assert len(hook["what_does_not_hold"]().splitlines()) > 2


def test_devices_are_those_that_results_name(hook, tmp_path):
    (tmp_path / "a.json").write_text(
        '{"environment": {"platform": "gpu", "device": "X", "devices": 4}}', encoding="utf-8"
    )
    (tmp_path / "b.json").write_text('{"no": "environment"}', encoding="utf-8")
    assert hook["devices_of_results"](tmp_path).splitlines()[2:] == ["| gpu, X | 4 | 1 |"]


def test_docstrings_are_put_into_markdown():
    pytest.importorskip("griffe")
    in_markdown = runpy.run_path(str(ROOT / "scripts" / "site_docstrings.py"))["in_markdown"]
    text = "Product <a, b>.\n\nArgs:\n    mean, std: of `<x>`.\n\n>>> 1 < 2\nTrue\n\nEnd."
    assert in_markdown(text) == (
        "Product &lt;a, b>.\n\nArgs:\n    mean,\N{NO-BREAK SPACE}std: of `<x>`.\n\n```pycon\n>>> 1 < 2\nTrue\n```\n\nEnd."
    )
