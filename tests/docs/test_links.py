"""Every link, every file that is named, and every option of a document leads somewhere."""

import re
import urllib.parse

import pytest

from tests.docs.elsewhere import PYPROJECT
from tests.docs.markdown import ROOT, Document, notebooks, pages, slug_of

DOCUMENTS = [*pages(), *notebooks(), Document.read(ROOT / "CHANGELOG.md")]
REPOSITORY = PYPROJECT["project"]["urls"]["Repository"]


@pytest.fixture(params=DOCUMENTS, ids=lambda document: document.name)
def document(request) -> Document:
    return request.param


def test_links_lead_to_files_and_headings(document):
    wrong = []
    for link in document.links:
        path, _, anchor = link.target.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = document.path if not path else (document.path.parent / urllib.parse.unquote(path)).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            wrong.append(f"line {link.line}: {link.target} does not exist")
        elif anchor and anchor not in Document.read(target).anchors:
            wrong.append(f"line {link.line}: {path or document.name} has no heading #{anchor}")
    assert not wrong


def test_addresses_are_whole(document):
    """Nothing is fetched. Placeholders are allowed in the repository's address only, which pyproject.toml names."""
    wrong = []
    for link in document.links:
        if "://" not in link.target:
            continue
        parts = urllib.parse.urlsplit(link.target)
        plain = re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parts.netloc)
        rest = link.target.replace(REPOSITORY, "").replace(REPOSITORY.removeprefix("https://github.com/"), "")
        if parts.scheme not in ("http", "https") or not plain or re.search(r"[<>{}\s]|OWNER|TODO|example\.com", rest):
            wrong.append(f"line {link.line}: {link.target}")
    assert not wrong


# What commands write is there or not.
WRITTEN = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()}
# What a path in a code span may begin with, so that it means a file of the repository.
TOP = sorted(
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and not path.name.startswith((".", "_")) and path.name not in WRITTEN
)
# Where documents of the architecture count from.
ROOMS = (ROOT, ROOT / "zest_jax", ROOT / "benchmarks")


def test_files_that_are_named_exist(document):
    """Paths in code spans that begin with a folder of the repository, and paths of Python files."""
    wrong = []
    for code, line in document.code:
        if "/" not in code or not re.fullmatch(r"[\w./-]+", code):
            continue
        ours = code.partition("/")[0] in TOP or code.endswith(".py")
        if ours and not any((room / code).exists() for room in ROOMS):
            wrong.append(f"line {line}: `{code}` does not exist")
    assert not wrong


def test_python_files_of_the_architecture_exist():
    page = Document.read(ROOT / "docs" / "architecture.md")
    names = {path.name for top in TOP for path in (ROOT / top).rglob("*.py")}
    named = {code for code, _ in page.code if re.fullmatch(r"\w+\.py", code)}
    assert len(named) > 50
    assert named - names == set()


def test_slugs_are_those_of_github():
    assert slug_of("Texts and sounds, `--ray`: what's next?") == "texts-and-sounds---ray-whats-next"
