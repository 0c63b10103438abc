"""Commands, options, targets and extras that documents name in passing, in code spans, are there."""

import contextlib
import functools
import importlib.util
import io
import re
import shlex

import pytest

from tests.docs import elsewhere
from tests.docs.markdown import Document, notebooks, pages
from zest_jax.cli.main import main

DOCUMENTS = [*pages(), *notebooks()]
#: Options of other programs, and whose.
OTHERS = {"--head": "ray start", "--port": "ray start", "--address": "ray start"}


@pytest.fixture(params=DOCUMENTS, ids=lambda document: document.name)
def document(request) -> Document:
    return request.param


@functools.cache
def help_of(*command: str) -> str:
    """What `zest COMMAND --help` prints; exits with 0."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")
        assert main([*command, "--help"]) == 0, f"there is no command zest {' '.join(command)}"
    return out.getvalue()


def subcommands(*command: str) -> list[str]:
    """Of `zest`, or of a command of commands."""
    listed = re.search(r"\{([\w,-]+)\}", help_of(*command))
    return listed[1].split(",") if listed else []


@functools.cache
def all_options() -> set[str]:
    found = {"--version", "--help"}
    for command in subcommands():
        inner = subcommands(command) if command in ("reuse", "store", "zoo") else []
        for words in [(command,), *((command, each) for each in inner)]:
            found |= options_of(words)
    return found


@functools.cache
def options_of(command: tuple[str, ...]) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", help_of(*command)))


def test_commands_of_zest_in_code_spans_have_the_options_that_they_show(document):
    for code, line in document.code:
        if not code.startswith("zest ") or code.startswith("zest --"):
            continue
        words = shlex.split(code)[1:]
        assert words[0] in subcommands() or words[0].isupper(), f"line {line}: `{code}`"
        if words[0].isupper():
            continue
        depth = 2 if words[0] in ("reuse", "store", "zoo") and len(words) > 1 and words[1].islower() else 1
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in options_of(tuple(words[:depth])) | {"--help"}, f"line {line}: `{code}` has no {option}"


def test_options_in_code_spans_are_options(document):
    for code, line in document.code:
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", code):
            known = option in all_options() or option in OTHERS or not re.match(r"(zest|--)", code)
            assert known, f"line {line}: `{code}`: no command of zest has {option}"


def test_other_commands_in_code_spans_can_be_run(document):
    """`make`, `pip install` of this project, and `python -m` of modules of the repository."""
    for code, line in document.code:
        words = code.split()
        if words[:1] == ["make"] and len(words) > 1:
            elsewhere._make(shlex.split(code)[1:])
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), f"line {line}: `{code}`"
