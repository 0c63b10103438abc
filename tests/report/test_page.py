"""The report as HTML: that nothing of a stranger's model gets out of its place."""

import base64
import dataclasses
import datetime as dt
import io
import itertools
import re

import pytest
from PIL import Image

from tests.report.making import world
from tests.report.page_reader import DAY, HOSTILE, Reader
from zest_jax.report.about_suspect import suspect_page
from zest_jax.report.about_zoo import zoo_page
from zest_jax.report.page import Headline, Page, render
from zest_jax.screening import compare_all, investigate

pytest.importorskip("jinja2")


def test_page_runs_and_fetches_nothing_and_says_so(report):
    read = Reader(render(report))
    (policy,) = [e["content"] for e in read.all("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "video", "audio", "base"}
    for tag, attributes in read.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            if name in attributes:
                assert (attributes[name] or "").startswith(("data:", "#")), (tag, attributes)
    assert "url(" not in render(report)
    assert "@import" not in render(report)


def test_page_is_well_built(report, zoo_report):
    for page in (report, zoo_report):
        read = Reader(render(page))
        assert read.all("html") == [{"lang": "en"}]
        levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
        names = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
        assert len(set(names)) == len(names)
        assert {link["href"] for link in read.all("a")} == {f"#{section.name}" for section in page.sections}
        assert all((picture["alt"] or "").strip() for picture in read.all("img"))
        assert len(read.all("table")) == len(read.all("caption")) > 1
        assert all(cell["scope"] in ("col", "row") for cell in read.all("th"))


def test_pictures_are_in_the_page_whole(report):
    read = Reader(render(report))
    pictures = list(report.pictures())
    expected = ["heat-map", "family-tree", "reference-", "reference-", "distances-by-reference"]
    assert all(picture.name.startswith(name) for picture, name in zip(pictures, expected, strict=True))
    for picture, element in zip(pictures, read.all("img"), strict=True):
        kind, _, data = (element["src"] or "").partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == picture.png
        with Image.open(io.BytesIO(picture.png)) as image:
            assert (int(element["width"] or 0), int(element["height"] or 0)) == (image.width // 2, image.height // 2)


def test_the_same_inputs_give_the_same_bytes(report, found):
    again = suspect_page(found, name="models.store", made=DAY, probes=world().probes, references=2)
    assert render(again) == render(report)
    other = dataclasses.replace(report, made=dt.date(2025, 1, 2))
    assert render(other) == render(report).replace("2024-05-01", "2025-01-02")


def test_hostile_names_stay_text(undrawn):
    made = world()
    names = (f"{HOSTILE} 0", f"{HOSTILE} 1", "c'\"&")
    suspect, model = (
        dataclasses.replace(each, label=label, class_names=names, settings={**each.settings, "note": HOSTILE})
        for each, label in ((made.suspect, HOSTILE), (made.models[0], f"{HOSTILE} original"))
    )
    page = suspect_page(
        investigate(suspect, [model, made.models[1]]), name=HOSTILE, made=DAY, probes=made.probes, references=1
    )
    zoo = zoo_page(compare_all([suspect, model, made.models[1]]), name=HOSTILE, made=DAY)
    for each in (page, zoo):
        html = render(each)
        read = Reader(html)
        assert "<script" not in html
        assert "\u202e" not in html
        shown = " ".join(HOSTILE.replace("\u202e", "�").split())
        assert shown in read.words
        assert "{{ 7*7 }}" in read.words
        assert len(read.all("img")) == len(list(each.pictures()))
        assert all(element["src"] != "x" for element in read.all("img"))


def test_what_has_no_meaning_in_html_is_replaced():
    verdict = Headline(tone="none", headline="a\x00b\x1bc\ud800d", paragraphs=(), facts=())
    html = render(Page(title="t", subtitle="", verdict=verdict, sections=(), made=DAY))
    assert "a�b�c�d" in html
    html.encode()
