"""The report as HTML: what stands in it, and that nothing of a stranger's model gets out of its place."""

import base64
import dataclasses
import datetime as dt
import io
import itertools
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import zest_jax as zest
from tests.report.making import undraw, world
from zest_jax.errors import MissingExtraError, ProbeMismatchError
from zest_jax.report import page as page_module
from zest_jax.report.page import Headline, Page, Section, picture_folder, render, write_page
from zest_jax.report.suspect_page import suspect_page, verdict_of
from zest_jax.report.zoo_page import zoo_page
from zest_jax.screening import SearchSettings, compare_all, investigate
from zest_jax.signature import Preview

pytest.importorskip("jinja2")

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


@pytest.fixture(scope="module")
def found():
    made = world()
    return investigate(made.suspect, made.models, unrelated=made.unrelated)


@pytest.fixture(scope="module")
def report(found):
    return suspect_page(found, name="models.store", made=DAY, probes=world().probes, references=2)


@pytest.fixture(scope="module")
def zoo_report():
    made = world()
    return zoo_page(compare_all([made.suspect, *made.models, *made.unrelated]), name="models.store", made=DAY)


@pytest.fixture
def undrawn(monkeypatch):
    undraw(monkeypatch)


def sections(page: Page) -> dict[str, Section]:
    return {section.name: section for section in page.sections}


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


def test_verdict_and_nearest_models_are_told(report, found):
    read = Reader(render(report))
    assert (found.judgement.related, report.verdict.headline) == (True, "Related")
    nearest, judged = found.nearest[0], found.judgement
    assert f"suspect is {judged.relative:.2f} times as far from model-0 as unrelated models" in read.words
    assert f"None of {judged.unrelated} unrelated pairs is as near." in read.words
    facts = dict(report.verdict.facts)
    assert facts["Its distance"] == f"{nearest.distance:.4f}"
    assert facts["95% interval of the distance"] == f"{nearest.interval.low:.4f} to {nearest.interval.high:.4f}"
    assert facts["Models compared"] == "3"
    assert facts["p-value, at most"].startswith(f"{judged.p_value:.2g}, corrected for 3 models")
    assert judged.text in read.words
    (table,) = sections(report)["nearest"].tables
    assert [row[:3] for row in table.rows] == [
        (str(near.rank), near.entry.name, f"{near.distance:.4f}") for near in found.nearest
    ]
    assert "not legal evidence by itself" in read.words


def test_verdicts_of_every_kind_are_worded(found):
    judged = found.judgement
    for change, tone, headline, words in (
        ({}, "related", "Related", "nearer than chance explains"),
        ({"related": False, "nearer": 9}, "no-sign", "No sign of a relation", "come as near by chance"),
        ({"related": None}, "open", "Can't tell", "too few to tell that from chance"),
    ):
        told = verdict_of(found._replace(judgement=judged._replace(**change)))
        assert (told.tone, told.headline) == (tone, headline)
        assert words in told.paragraphs[0]
    assert (
        "9 of 66 unrelated pairs are as near"
        in verdict_of(found._replace(judgement=judged._replace(nearer=9, related=False))).paragraphs[0]
    )


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("none given", "no unrelated models were given, so nothing tells what distance chance gives"),
        ("a single model", "a single model was compared, and no unrelated models were given"),
        ("other classes", "model-0 has 3 classes, and the unrelated models have 2"),
    ],
)
def test_without_a_verdict_the_reason_is_told(undrawn, case, reason):
    made = world()
    if case == "other classes":
        few = made.suspect.select_classes([0, 1])
        found = investigate(few, made.models, unrelated=[each.select_classes([0, 1]) for each in made.unrelated])
    else:
        found = investigate(made.suspect, made.models[:1] if case == "a single model" else made.models)
    told = verdict_of(found)
    assert (told.tone, told.headline) == ("none", "No verdict")
    assert reason in told.paragraphs[0]
    words = Reader(render(suspect_page(found, name="s", made=DAY))).words
    assert reason in words


def test_equal_and_undefined_models_are_remarked_on(undrawn):
    made = world()
    same = dataclasses.replace(made.models[0], label="same")
    one = same.select_classes([0])
    weights = np.stack([np.zeros(len(one.weights)), -one.weights[:, 0]], axis=1).astype(np.float32)
    empty = dataclasses.replace(made.models[1].select_classes([0, 1]), label="empty", weights=weights)
    found = investigate(one, [made.models[0].select_classes([0]), empty])
    notes = " ".join(verdict_of(found).notes)
    assert "The distance to model-0 is 0: the suspect has the very same weights" in notes
    assert "1 model has no distance, since the classes that match carry no weights: empty." in notes
    page = suspect_page(found, name="s", made=DAY)
    assert sections(page)["distances"].tables == ()
    page = suspect_page(found, name="s", made=DAY, probes=made.probes)
    assert {row[3] for row in sections(page)["distances"].tables[0].rows} == {"-"}


@pytest.mark.parametrize(("modality", "noun"), [("image", "photograph"), ("text", "text"), ("audio", "sound")])
def test_references_of_every_kind_are_drawn_with_both_models(modality, noun):
    made = world(modality)
    found = investigate(made.suspect, made.models)
    page = suspect_page(found, name="s", made=DAY, probes=made.probes, references=2)
    evidence = sections(page)["references"]
    assert "Of 4 references 2 are drawn: from the one where the two models agree most" in evidence.paragraphs[0]
    pictures = [part.pictures[0] for part in evidence.parts]
    assert all(f", a {noun}, with the weights of suspect and of model-0" in picture.alt for picture in pictures)
    for picture in pictures:
        with Image.open(io.BytesIO(picture.png)) as image:
            assert min(image.size) > 200
    # The suspect's classes are the model's the other way round, by name.
    for picture in pictures:
        ours, theirs = re.findall("“(class-\\d)”", picture.caption)
        assert ours == theirs
    rows = sections(page)["distances"].tables[0].rows
    assert [row[0] for row in rows[:2]] == [part.heading.split()[-1] for part in evidence.parts]
    assert float(rows[0][2]) < float(rows[1][2])


def test_without_the_probe_set_what_the_signatures_keep_is_drawn(undrawn):
    made = world()
    page = suspect_page(investigate(made.suspect, made.models), name="s", made=DAY)
    evidence = sections(page)["references"]
    assert [part.heading for part in evidence.parts] == ["Reference 2"]
    assert "Without the probe set only what the signatures keep can be drawn: one reference" in evidence.paragraphs[0]
    bare = dataclasses.replace(made.suspect, preview=None)
    page = suspect_page(investigate(bare, made.models), name="s", made=DAY)
    assert sections(page)["references"].parts == ()
    assert "The signatures keep no reference to draw" in sections(page)["references"].paragraphs[0]


def test_a_forged_reference_in_a_signature_is_reported_and_the_rest_is_drawn(undrawn):
    made = world()
    forged = dataclasses.replace(
        made.suspect, preview=Preview(1, np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5), np.int32))
    )
    page = suspect_page(investigate(forged, made.models), name="s", made=DAY)
    (part,) = sections(page)["references"].parts
    assert "it cannot be drawn: `segments` has labels 0 to 0" in part.warnings[0]
    outside = dataclasses.replace(made.suspect, preview=made.suspect.preview._replace(reference_index=99))
    page = suspect_page(investigate(outside, made.models), name="s", made=DAY)
    assert sections(page)["references"].parts == ()


def test_another_probe_set_and_no_references_are_refused(undrawn, found):
    with pytest.raises(ProbeMismatchError, match="pass the probe set that the model was signed with"):
        suspect_page(found, name="s", made=DAY, probes=world("text").probes)
    with pytest.raises(ValueError, match="`references` is 0; give at least 1"):
        suspect_page(found, name="s", made=DAY, references=0)


def test_poor_fits_are_warned_of(undrawn):
    made = world()
    poor = dataclasses.replace(made.suspect, r2=np.full_like(made.suspect.r2, 0.02))
    page = suspect_page(investigate(poor, made.models), name="s", made=DAY)
    assert "linear explanations hardly fit suspect (suspect) (0.02)" in sections(page)["fit"].warnings[0]
    zoo = zoo_page(compare_all([poor, *made.models]), name="s", made=DAY)
    assert "linear explanations hardly fit 1 model: suspect." in sections(zoo)["models"].warnings[0]


def test_references_that_no_fit_explains_are_not_shown_as_evidence(undrawn):
    made = world()
    r2 = made.suspect.r2.copy()
    r2[[0, 3]] = -5
    odd = dataclasses.replace(made.suspect, r2=r2)
    page = suspect_page(investigate(odd, made.models), name="s", made=DAY, probes=made.probes, references=2)
    evidence = sections(page)["references"]
    assert {part.heading for part in evidence.parts} == {"Reference 1", "Reference 2"}
    assert "Of 4 references 2 are explained by the linear fits of both models" in evidence.paragraphs[0]


def test_settings_and_hashes_are_told_and_differences_marked(undrawn, found):
    page = suspect_page(found, name="models.store", made=DAY, suspect_file="f" * 64, files={"model-0": "e" * 64})
    compared, asked = sections(page)["settings"].tables
    values = dict(compared.rows)
    assert values["Probe set"] == found.suspect.probe_hash
    assert values["This page made by"] == f"zest_jax {zest.__version__}"
    assert values["Classes of suspect and nearest matched"] == "by name"
    rows = {row[0]: row[1:] for row in asked.rows}
    assert rows["file of the signature (SHA-256)"] == ("≠", "f" * 64, "e" * 64)
    assert rows["signature (SHA-256, as in a store)"][2] == found.nearest[0].entry.digest
    assert rows["solve.ridge"] == ("", "0", "0")


def test_a_zoo_has_its_families_pairs_and_models(undrawn, zoo_report):
    assert zoo_report.verdict.headline == "1 family among 15 models"
    (row,) = sections(zoo_report)["families"].tables[0].rows
    assert row[0] in ("suspect and 1 more", "model-0 and 1 more")
    assert set(row[4].split(", ")) == {"suspect", "model-0"}
    pairs = sections(zoo_report)["pairs"].tables[0].rows
    assert set(pairs[0][:2]) == {"suspect", "model-0"}
    assert len(pairs) == 10
    models = sections(zoo_report)["models"].tables[0].rows
    assert len(models) == 15
    assert all(re.fullmatch("[0-9a-f]{64}", row[-1]) for row in models)
    none = zoo_page(compare_all(world().unrelated), name="s", made=DAY, threshold=0.01)
    assert none.verdict.headline == "0 families among 11 models"
    assert "No group of models joins below 0.0100." in sections(none)["families"].paragraphs


def test_large_zoos_are_cut_and_say_so(undrawn, monkeypatch):
    monkeypatch.setattr("zest_jax.report.mapped.MOST_DRAWN", 4)
    monkeypatch.setattr("zest_jax.report.mapped.MOST_NEAREST", 2)
    monkeypatch.setattr("zest_jax.report.zoo_page.MOST_LISTED", 5)
    made = world()
    page = zoo_page(compare_all([made.suspect, *made.models, *made.unrelated]), name="s", made=DAY)
    note = "Drawn are the 4 models that have the nearest neighbours, of 15."
    assert sections(page)["heat-map"].notes == sections(page)["family-tree"].notes == (note,)
    assert len(sections(page)["models"].tables[0].rows) == 5
    assert "The 5 models with the lowest R², of 15." in sections(page)["models"].notes
    found = investigate(made.suspect, made.models, settings=SearchSettings(top=3))
    page = suspect_page(found, name="s", made=DAY)
    assert sections(page)["heat-map"].notes == ("Drawn are the suspect and the 2 models nearest to it, of 3 compared.",)


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


class TestWriting:
    def test_pictures_lie_beside_the_page_and_are_those_in_it(self, report, tmp_path):
        path = tmp_path / "suspect.html"
        written = write_page(report, path)
        assert path.read_text(encoding="utf-8") == render(report)
        assert written[0] == path
        folder = tmp_path / "suspect_files"
        assert {p.name for p in folder.iterdir()} == {f"{picture.name}.png" for picture in report.pictures()}
        assert {p: p.read_bytes() for p in written[1:]} == {
            folder / f"{picture.name}.png": picture.png for picture in report.pictures()
        }
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []

    def test_a_former_report_is_replaced_and_other_files_stay(self, report, zoo_report, tmp_path):
        path = tmp_path / "suspect.html"
        write_page(report, path)
        folder = picture_folder(path)
        for name in ("mine.png", "reference-x.png"):
            (folder / name).write_bytes(b"mine")
        write_page(zoo_report, path)
        assert path.read_text(encoding="utf-8") == render(zoo_report)
        assert {p.name for p in folder.iterdir()} == {"heat-map.png", "family-tree.png", "mine.png", "reference-x.png"}

    def test_no_pictures_on_demand(self, zoo_report, tmp_path):
        assert write_page(zoo_report, tmp_path / "a.html", pictures=False) == [tmp_path / "a.html"]
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]

    def test_a_page_that_cannot_be_written_leaves_the_old_one(self, zoo_report, tmp_path, monkeypatch):
        path = tmp_path / "a.html"
        path.write_text("old")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_page(zoo_report, path, pictures=False)
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
        assert path.read_text() == "old"

    def test_without_jinja_the_extra_is_named(self, zoo_report, monkeypatch):
        page_module._template.cache_clear()
        monkeypatch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(MissingExtraError, match=r"jinja2 is not installed.*zest_jax\[report\]"):
            render(zoo_report)
