"""What the tests of documents assume about them holds: no line of their tables is left over, no block escapes."""

import re

from tests.docs import elsewhere, given, running, world
from tests.docs.markdown import ROOT, Document, pages, without_containers
from tests.docs.shrinking import ADDED, REPLACED

PAGES = pages()
BASH = "\n".join(block.text for page in PAGES for block in page.blocks if block.language == "bash")
PYTHON = "\n".join(block.text for page in PAGES for block in page.blocks if block.language == "python")


def test_every_block_says_what_it_is():
    unknown = [
        f"{page.name}, line {block.line}: {block.language or 'no language'}"
        for page in PAGES
        for block in page.blocks
        if block.language not in running.LANGUAGES
    ]
    assert not unknown, f"languages of blocks are {', '.join(running.LANGUAGES)}; bash and python are run"


def test_no_command_hides_in_a_block_that_is_not_run():
    for page in PAGES:
        for block in page.blocks:
            if not running.LANGUAGES[block.language]:
                assert not re.search(r"^\s*(\$ )?(zest|pip|make|python3?) [a-z-]", block.text, re.M), (
                    page.name,
                    block.line,
                )


def test_every_replacement_is_needed():
    unused = [each.shown for each in REPLACED if each.shown not in BASH + PYTHON]
    assert not unused


def test_every_command_made_small_is_shown():
    for command, options in ADDED.items():
        shown = re.findall(rf"zest {' '.join(command)} [^#\n]*", BASH)
        assert shown, command
        for option in options:
            assert any(option not in line for line in shown), f"every zest {' '.join(command)} has {option}"


def test_every_command_that_runs_elsewhere_is_shown_and_does_run_there():
    for each in elsewhere.ELSEWHERE:
        assert re.search(rf"^{' '.join(each.words)}\b", BASH, re.M), each.words
        assert each.says in (ROOT / each.file).read_text(encoding="utf-8"), f"{each.file} has no {each.says!r}"


def test_everything_given_is_named():
    unused = [name for name in world.GIVEN if name.removesuffix(".py") not in BASH + PYTHON]
    assert not unused
    for page, names in given.ON_PAGE.items():
        python = "\n".join(block.text for block in Document.read(ROOT / page).blocks if block.language == "python")
        assert [name for name in names if not re.search(rf"\b{name}\b", python)] == []


def test_blocks_in_admonitions_and_tabs_are_found():
    text = 'a\n\n!!! note\n\n    b\n\n    ```bash\n    zest one\n    ```\n\nc\n\n=== "Tab"\n\n    ```python\n    if x:\n        y\n    ```\n'
    found = Document(ROOT / "README.md", text).blocks
    assert [(block.language, block.text, block.line) for block in found] == [
        ("bash", "zest one\n", 8),
        ("python", "if x:\n    y\n", 16),
    ]
    assert without_containers(text).count("\n") == text.count("\n")
