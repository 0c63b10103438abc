"""What Markdown documents hold: fenced blocks, links, headings, code spans; each with its line."""

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

# Of Material for MkDocs: admonitions, details and tabs, whose content is indented.
_CONTAINER = re.compile(r"( *)(!!!|\?\?\?\+?|===\+?) ")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the document on which the text begins, from 1."""

    language: str
    text: str
    line: int


@dataclasses.dataclass(frozen=True)
class Link:
    """A link or an image: where it leads, and its line."""

    target: str
    line: int


@dataclasses.dataclass(frozen=True)
class Document:
    """A Markdown file, or the Markdown cells of a notebook."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> "Document":
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        return cls(path, text)

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @functools.cached_property
    def tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(without_containers(self.text))

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(token.info.partition(" ")[0], token.content, token.map[0] + 2)
            for token in self.tokens
            if token.type == "fence" and token.map
        ]

    @property
    def links(self) -> list[Link]:
        """Of links and images, in Markdown or as HTML."""
        found = []
        for token, line in self._inline():
            if target := token.attrs.get("href") or token.attrs.get("src"):
                found.append(Link(str(target), line))
            elif token.type in ("html_inline", "html_block"):
                found += [Link(target, line) for target in re.findall(r"""(?:href|src)=["']([^"']+)""", token.content)]
        return found

    @property
    def headings(self) -> list[str]:
        """Their text, without marks."""
        return [
            "".join(child.content for child in inline.children or ())
            for token, inline in itertools.pairwise(self.tokens)
            if token.type == "heading_open"
        ]

    @property
    def anchors(self) -> set[str]:
        """What `#...` may name: headings as GitHub and MkDocs call them (of one heading twice, the second gets a number)."""
        found: dict[str, int] = {}
        names = set()
        for heading in self.headings:
            slug = slug_of(heading)
            n = found[slug] = found.get(slug, -1) + 1
            names |= {f"{slug}-{n}", f"{slug}_{n}"} if n else {slug}
        return names | set(re.findall(r"""\b(?:id|name)=["']([^"']+)""", self.text))

    @property
    def code(self) -> list[tuple[str, int]]:
        """Code spans, each with its line."""
        return [(token.content, line) for token, line in self._inline() if token.type == "code_inline"]

    def _inline(self) -> Iterator[tuple[Token, int]]:
        line = 1
        for token in self.tokens:
            line = token.map[0] + 1 if token.map else line
            if token.type == "html_block":
                yield token, line
            below = line
            for child in token.children or ():
                below += child.type in ("softbreak", "hardbreak")
                yield child, below


def slug_of(heading: str) -> str:
    """Its anchor on GitHub: small letters, no punctuation, hyphens for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def without_containers(text: str) -> str:
    """The text with what stands in admonitions and tabs moved to the left, line for line."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if not (found := _CONTAINER.match(line)):
            continue
        inner = len(found[1]) + 4
        for j in range(i + 1, len(lines)):
            if lines[j].strip() and len(lines[j]) - len(lines[j].lstrip(" ")) < inner:
                break
            lines[j] = lines[j][4:]
        lines[i] = ""
    return "\n".join(lines)


def pages() -> list[Document]:
    """README.md and all that lies in docs/."""
    return [Document.read(path) for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]]


def notebooks() -> list[Document]:
    """Of colab/."""
    return [Document.read(path) for path in sorted((ROOT / "colab").glob("*.ipynb"))]
