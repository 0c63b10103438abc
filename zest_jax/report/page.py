"""A report as one HTML page that holds everything, pictures too, and asks no other place for anything.

Names of models and classes come from strangers' files, so every text is escaped, what cannot be seen is replaced, and a content
security policy keeps the page from running or fetching anything, whatever it holds.
"""

import base64
import dataclasses
import datetime as dt
import functools
import importlib.resources
import io
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from zest_jax.atomic import atomic_write
from zest_jax.errors import missing_extra
from zest_jax.report.drawing import printable
from zest_jax.report.picture_folder import pictures_beside
from zest_jax.version import __version__

Tone = Literal["related", "no-sign", "open", "none"]
# Pictures have two dots for each of the page's pixels.
DOTS_PER_PIXEL = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as the page shows it.

    Attributes:
        name: of its file, without the ending.
        png: the file.
        alt: what it shows, for those who do not see it.
        caption: under it.
    """

    name: str
    png: bytes
    alt: str
    caption: str

    @property
    def address(self) -> str:
        """The picture itself as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def width(self) -> int:
        """In the page's pixels."""
        return self._size[0] // DOTS_PER_PIXEL

    @property
    def height(self) -> int:
        return self._size[1] // DOTS_PER_PIXEL

    @property
    def _size(self) -> tuple[int, int]:
        # A PNG begins with its signature, then the header: length, "IHDR", width, height.
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: its name, and what its cells are."""

    name: str
    kind: Literal["text", "number", "date", "code"] = "text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table; cell `heading` of each row names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    heading: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: warnings, paragraphs, pictures, tables and notes in this order, then parts of its own."""

    name: str
    heading: str
    warnings: tuple[str, ...] = ()
    paragraphs: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    parts: "tuple[Section, ...]" = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline:
    """What the page says first."""

    tone: Tone
    headline: str
    paragraphs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        title: over all.
        subtitle: below it.
        verdict: what it comes to.
        sections: everything else, in order.
        made: the day that the page gives as its own.
        version: of the package.

    >>> verdict = Headline(tone="open", headline="No verdict", paragraphs=(), facts=())
    >>> page = Page(title="Models", subtitle="of a zoo", verdict=verdict, sections=(), made=dt.date(2026, 1, 1))
    >>> page.title, list(page.pictures())
    ('Models', [])
    """

    title: str
    subtitle: str
    verdict: Headline
    sections: tuple[Section, ...]
    made: dt.date
    version: str = __version__

    def pictures(self) -> Iterator[Picture]:
        """All pictures, in order."""
        for section in self.sections:
            for part in (section, *section.parts):
                yield from part.pictures


def render(page: Page) -> str:
    """The page as HTML; equal reports give equal texts.

    Raises:
        MissingExtraError: Jinja2 is not installed.

    >>> verdict = Headline(tone="none", headline="No <verdict>", paragraphs=(), facts=())
    >>> html = render(Page(title="a & b", subtitle="", verdict=verdict, sections=(), made=dt.date(2024, 5, 1)))
    >>> "a &amp; b" in html, "No &lt;verdict&gt;" in html, "Made on 2024-05-01" in html
    (True, True, True)
    """
    return _template().render(page=page)


def write_page(page: Page, path: str | os.PathLike[str], *, pictures: bool = True) -> list[Path]:
    """Write a report: the page, and its pictures as PNGs into a folder beside it, `NAME_files` for `NAME.html`.

    The page is put in place all at once, after the pictures. Pictures of a former report of this page are replaced or removed, as
    long as they are what that report wrote; see `pictures_beside`.

    Args:
        page: the report.
        path: of the page.
        pictures: write the PNGs too.

    Returns:
        what was written, the page first.

    Raises:
        MissingExtraError: Jinja2 is not installed.
        ValueError: the folder holds pictures that this page's former report did not write.
        OSError: it cannot be written.

    >>> import tempfile
    >>> verdict = Headline(tone="open", headline="No verdict", paragraphs=(), facts=())
    >>> page = Page(title="Models", subtitle="of a zoo", verdict=verdict, sections=(), made=dt.date(2026, 1, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_page(page, f"{folder}/report.html")]
    ['report.html']
    """
    path = Path(path)
    text = render(page)
    files = {f"{picture.name}.png": picture.png for picture in page.pictures()} if pictures else {}
    with pictures_beside(path, files) as written, atomic_write(path) as file:
        file.write(text.encode())
    return [path, *written]


def png_of(figure: Figure) -> bytes:
    """A figure as PNG, without the name of the program in it, so that equal figures give equal files."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


@functools.cache
def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise missing_extra("jinja2", "report") from error
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["options"] = _with_whole_options
    source = importlib.resources.files("zest_jax.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _with_whole_options(text: str) -> Any:
    """A text, escaped, whose options are not broken after their hyphens."""
    from markupsafe import Markup, escape

    return Markup(
        re.sub(r"--[a-z]{1,20}(-[a-z]{1,20}){0,3}", r'<span class="option">\g<0></span>', str(escape(printable(text))))
    )
