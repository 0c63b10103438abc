"""Reads pages strictly, as HTML and as what they were made of."""

import datetime as dt
from html.parser import HTMLParser

from zest_jax.report.page import Page, Section

DAY = dt.date(2024, 5, 1)
HOSTILE = "<script>alert('a')</script>\"><img src=x onerror=alert(1)> {{ 7*7 }} \u202e"
VOID = {"meta", "link", "img", "br"}


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def sections(page: Page) -> dict[str, Section]:
    return {section.name: section for section in page.sections}
