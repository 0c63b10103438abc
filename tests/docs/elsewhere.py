"""Commands of documents that no test of a document runs: what runs them instead, and what is checked of them here."""

import dataclasses
import re
import tomllib

import tyro

from tests.docs.markdown import ROOT
from zest_jax.cli.paper import Paper

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """A command that runs elsewhere.

    Attributes:
        words: how it begins.
        why: it is not run here.
        file, says: what runs it, or what stands nearest to it, and the text there that does so.
    """

    words: tuple[str, ...]
    why: str
    file: str
    says: str


ELSEWHERE = (
    Elsewhere(
        ("make", "demo"),
        "takes minutes, and an environment of its own; it is a step of CI",
        ".ci/run",
        " demo ",
    ),
    Elsewhere(("make", "test"), "runs these tests", ".ci/run", " test;"),
    Elsewhere(
        ("pip", "install"),
        "installs; that is done in empty environments, alone and with each extra",
        ".github/workflows/ci.yml",
        "make extras-check",
    ),
    Elsewhere(
        ("zest", "paper"),
        "trains for minutes on data that tests do not have; it is run at preset smoke on small data",
        "tests/test_benchmark_experiments.py",
        'main(["paper", *names',
    ),
    Elsewhere(
        ("ray", "start"),
        "would start a cluster that outlives the tests; nodes are started through Ray's own module",
        "tests/many/conftest.py",
        "initialize_head=True",
    ),
)


@dataclasses.dataclass(frozen=True)
class NotRun:
    """Python that a document shows as text, since it cannot run here: why, and which test runs the like with what there is."""

    page: str
    shown: str
    why: str
    file: str


NOT_RUN = (
    NotRun(
        "docs/how-to/scikit-learn-and-transformers.md",
        "zest.from_transformers(model, tokenizer)",
        "from_pretrained downloads",
        "tests/blackbox/test_from_texts.py",
    ),
)


def knows(words: list[str]) -> bool:
    """Whether a command runs elsewhere."""
    return any(tuple(words[: len(each.words)]) == each.words for each in ELSEWHERE)


def check(words: list[str]) -> int:
    """Take a command for run elsewhere, after a look at what it names; exit code 127 where nothing is known of it."""
    if not knows(words):
        print(f"nothing runs `{' '.join(words)}`; add it to tests/docs/elsewhere.py, with what runs it")
        return 127
    {"make": _make, "pip": _pip, "ray": _ray, "zest": _zest}[words[0]](words[1:])
    return 0


def _make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (word for word in words if "=" not in word):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.M), f"the Makefile has no target {target}"
    for name in (word.partition("=")[0] for word in words if "=" in word):
        assert re.search(rf"^\s*{name} [?:]?=", makefile, re.M), f"the Makefile has no variable {name}"


def _pip(words: list[str]) -> None:
    """The project itself from the folder or its repository, with extras that there are."""
    requirements = [word for word in words[1:] if not word.startswith("-")]
    assert requirements, words
    repository = PYPROJECT["project"]["urls"]["Repository"]
    for requirement in requirements:
        found = re.fullmatch(r"(?:\.|zest[-_]jax)(?:\[([\w,-]+)\])?(?: @ git\+(\S+)|==[\d.]+)?|git\+(\S+)", requirement)
        assert found, f"{requirement} is not this project; documents install nothing else"
        extras, *addresses = found.groups()
        for extra in (extras or "").split(","):
            assert not extra or extra in PYPROJECT["project"]["optional-dependencies"], f"there is no extra {extra}"
        for address in filter(None, addresses):
            assert address.removesuffix(".git") == repository, f"{address} is not the repository, {repository}"


def _zest(words: list[str]) -> None:
    """`zest paper`: its experiments and its options are there."""
    from benchmarks.paper.every import EXPERIMENTS

    known = {"all", *(experiment.name for experiment in EXPERIMENTS)}
    found = tyro.cli(Paper, args=words[1:])
    assert set(found.names) <= known, f"no experiment is called {', '.join(set(found.names) - known)}"


def _ray(words: list[str]) -> None:
    """Its options are options of Ray."""
    from ray.scripts.scripts import cli

    cli.commands[words[0]].make_context(words[0], words[1:])
