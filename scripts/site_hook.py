"""What the documentation site takes from elsewhere in the repository (a hook of MkDocs, named in mkdocs.yml).

* The repository's address and the site's own come from `[project.urls] Repository` in pyproject.toml.
* `<!-- file NAME -->` in a page stands for a file of the repository, `<!-- zest commands -->` for what every command of `zest`
  says about itself: what `zest COMMAND --help` prints, taken from the parser that reads the commands. `<!-- verdicts that do not
  hold -->` and `<!-- devices of the results -->` stand for what the results files say.
* Links that leave `docs/` work on GitHub as they stand. Here pictures come into the site, and all else leads to the repository.
* Equations between dollars become MathML, which browsers draw without scripts and fonts from elsewhere.
"""

import collections
import contextlib
import dataclasses
import html
import io
import json
import os
import posixpath
import re
import tomllib
import types
import typing
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PICTURES = (".png", ".svg", ".jpg")
# Pages of wide tables and figures, which get the place of both menus.
WIDE = ("reproduction.md",)
# Characters in a line of a command's help: what fits beside the table of contents.
HELP_WIDTH = 84

_FENCE = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)[ \t]*$", re.M | re.S)
# Blocks and words of code, which stay as they are.
_VERBATIM = re.compile(rf"{_FENCE.pattern}|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.M | re.S)
_LINK = re.compile(r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)(?P<title>\s+\"[^\"]*\")?\)")
_FILE = re.compile(r"^<!-- file (\S+) -->$", re.M)
_COMMANDS = re.compile(r"^<!-- zest commands -->$", re.M)
_FAILED = re.compile(r"^<!-- verdicts that do not hold -->$", re.M)
_DEVICES = re.compile(r"^<!-- devices of the results -->$", re.M)
_MATH = re.compile(r'<(?P<tag>span|div) class="arithmatex">(?P<tex>.*?)</(?P=tag)>', re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the addresses."""
    repository = repository_url()
    config.repo_url = repository
    config.site_url = pages_url(repository)
    config.repo_name = urllib.parse.urlparse(repository).path.strip("/")
    config.edit_uri = "edit/main/docs/"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring the pictures that pages show from outside `docs/` into the site."""
    docs = Path(config.docs_dir)
    for page in list(files.documentation_pages()):
        source = docs / page.src_uri
        for picture in pictures_of(with_files(source.read_text(encoding="utf-8")), source.parent):
            name = picture.relative_to(ROOT).as_posix()
            if picture.is_relative_to(docs) or files.get_file_from_path(name) is not None:
                continue
            if not picture.exists():
                raise PluginError(
                    f"docs/{page.src_uri} shows {name}, which is not there; the site is built from a clone"
                )
            files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what a page takes from elsewhere, and turn links that leave `docs/`."""
    text = with_files(markdown)
    text = _COMMANDS.sub(lambda _: commands_page(), text)
    text = _FAILED.sub(lambda _: what_does_not_hold(), text)
    text = _DEVICES.sub(lambda _: devices_of_results(), text)
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["navigation", "toc"]
    return with_links(text, page.file.src_uri, Path(config.docs_dir), config.repo_url or "")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn equations into MathML."""
    return with_mathml(html)


def repository_url(path: Path = ROOT / "pyproject.toml") -> str:
    """Where the repository is: the one setting that says so."""
    return tomllib.loads(path.read_text(encoding="utf-8"))["project"]["urls"]["Repository"].rstrip("/")


def pages_url(repository: str) -> str:
    """Where GitHub Pages shows the site of a repository; elsewhere it is beside the repository."""
    parts = urllib.parse.urlparse(repository)
    owner, _, name = parts.path.strip("/").partition("/")
    if parts.netloc == "github.com":
        return f"https://{owner.lower()}.github.io/{name}/"
    return f"{repository}/"


def with_files(text: str) -> str:
    """Put files of the repository where a page names them; their title is the page's own."""

    def contents(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        if not path.is_file():
            raise PluginError(f"a page takes in {match[1]}, which is not a file of the repository")
        return re.sub(r"\A# .*\n+", "", path.read_text(encoding="utf-8"))

    return _FILE.sub(contents, text)


def pictures_of(text: str, folder: Path) -> Iterator[Path]:
    """The pictures that a page in `folder` shows from files."""
    for match in _LINK.finditer(_FENCE.sub("", text)):
        target = match["target"].partition("#")[0]
        if target.endswith(PICTURES) and not urllib.parse.urlparse(target).scheme:
            yield Path(os.path.normpath(folder / target))


def with_links(text: str, page: str, docs: Path, repository: str) -> str:
    """Turn links that leave `docs`: pictures lie in the site under their place in the repository, all else is on GitHub."""
    folder = (docs / page).parent

    def turned(match: re.Match[str]) -> str:
        target, mark, anchor = match["target"].partition("#")
        if not target or urllib.parse.urlparse(target).scheme:
            return match[0]
        path = Path(os.path.normpath(folder / target))
        if path.is_relative_to(docs) or not path.is_relative_to(ROOT):
            return match[0]
        if not path.exists():
            raise PluginError(f"docs/{page} links to {target}, which is not in the repository")
        name = path.relative_to(ROOT).as_posix()
        if target.endswith(PICTURES):
            return f"{match['text']}({posixpath.relpath(name, posixpath.dirname(page) or '.')}{match['title'] or ''})"
        kind = "tree" if path.is_dir() else "blob"
        return f"{match['text']}({repository}/{kind}/main/{name}{mark}{anchor}{match['title'] or ''})"

    return _outside_code(text, lambda part: _LINK.sub(turned, part))


def _outside_code(text: str, change: typing.Callable[[str], str]) -> str:
    """Change a page but for its blocks and words of code."""
    parts, end = [], 0
    for kept in _VERBATIM.finditer(text):
        parts += [change(text[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*parts, change(text[end:])])


def with_mathml(page: str) -> str:
    r"""Turn what Arithmatex has marked into MathML.

    >>> with_mathml('<span class="arithmatex">\\(x &lt; 1\\)</span>').count("<mo>&#x0003C;</mo>")
    1
    """

    def drawn(match: re.Match[str]) -> str:
        tex = html.unescape(match["tex"]).strip()
        block = tex.startswith(r"\[")
        math = latex2mathml.converter.convert(tex[2:-2].strip(), display="block" if block else "inline")
        if left := re.search(r"\\[A-Za-z]+", math):
            raise PluginError(f"{left[0]} in the equation {tex} has no MathML; write it otherwise")
        return f'<div class="equation">{math}</div>' if block else math

    return _MATH.sub(drawn, page)


def what_does_not_hold(results: Path = ROOT / "benchmarks" / "results") -> str:
    """Every claim of the paper that did not hold or could not be told when it was measured, as a table; and those of the race."""
    head = ["| experiment | claim | verdict | measured |", "|---|---|---|---|"]
    words = {False: "does not hold", None: "can't be told"}
    of_paper, of_race = list(head), list(head)
    for path in sorted(results.glob("*/*/result.json")):
        rows = of_race if path.parent.parent.name == "race" else of_paper
        for claim, verdict in json.loads(path.read_text(encoding="utf-8")).get("verdicts", {}).items():
            if not verdict["holds"]:
                where = f"`{path.parent.parent.name}`, {path.parent.name}"
                rows.append(f"| {where} | {claim} | {words[verdict['holds']]} | {verdict['text']} |")
    told = "In the race, which is not in the paper, Zest did not find the most here, or not enough:"
    return "\n".join([*of_paper, *(["", told, "", *of_race] if len(of_race) > len(head) else [])])


def devices_of_results(results: Path = ROOT / "benchmarks" / "results") -> str:
    """On what every results file was measured, as a table."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for path in sorted(results.rglob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        where = result.get("environment") if isinstance(result, dict) else None
        if where is not None:
            device = where["processor"] if where["platform"] == "cpu" else where["device"]
            found[f"{where['platform']}, {device}", str(where["devices"])] += 1
    rows = [f"| {device} | {devices} | {files} |" for (device, devices), files in sorted(found.items())]
    return "\n".join(["| device | how many | results files |", "|---|---|---|", *rows])


def commands_page() -> str:
    """What every command says about itself, as a page."""
    parts = [f"## zest\n\n```text\n{help_of([])}\n```"]
    for words in command_names():
        title = "#" * (1 + len(words))
        parts.append(f"{title} zest {' '.join(words)}\n\n```text\n{help_of(words)}\n```")
    return "\n\n".join(parts)


def command_names() -> list[list[str]]:
    """All commands with their subcommands, in the order in which `zest --help` lists them.

    >>> ["store", "add"] in command_names()
    True
    """
    from zest_jax.cli.main import Command

    found: list[list[str]] = []
    for name, kind in _subcommands(Command):
        found.append([name])
        for field in dataclasses.fields(kind):
            hint = typing.get_type_hints(kind, include_extras=True)[field.name]
            found += [[name, inner] for inner, _ in _subcommands(hint)]
    return found


def _subcommands(kind: Any) -> Iterator[tuple[str, Any]]:
    """Names and types of the subcommands in a union."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return
    for each in typing.get_args(kind):
        names = [mark.name for mark in getattr(each, "__metadata__", ()) if type(mark).__name__ == "_SubcommandConfig"]
        if names:
            yield names[0], typing.get_args(each)[0]


def help_of(words: list[str]) -> str:
    """What `zest WORDS --help` prints."""
    from zest_jax.cli.main import main

    printed = io.StringIO()
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ.update(COLUMNS=str(HELP_WIDTH), NO_COLOR="1")
    try:
        with contextlib.redirect_stdout(printed):
            code = main([*words, "--help"])
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    if code:
        raise PluginError(f"zest {' '.join(words)} --help ended with {code}")
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
