"""Which references a report draws, and what it says of them."""

import dataclasses
import io
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from tests.report.making import made_signature, world
from tests.report.page_reader import DAY, sections
from zest_jax.errors import ProbeMismatchError
from zest_jax.evidence import reference_distances
from zest_jax.report.about_suspect import suspect_page
from zest_jax.report.references import choose, reference_part
from zest_jax.screening import investigate
from zest_jax.signature import Preview

pytest.importorskip("jinja2")


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
    for part, picture in zip(evidence.parts, pictures, strict=True):
        answered = made.suspect.of_reference(int(part.heading.split()[-1])).sum(axis=0).argmax()
        names = re.findall("“(class-\\d)”", picture.caption)
        assert names == [made.suspect.class_names[answered]] * 2
        assert "its answer here by the linear fit" in picture.caption
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
    assert "keeps reference 99, and there are 4; it is left out." in sections(page)["references"].warnings[0]


def test_another_probe_set_and_no_references_are_refused(undrawn, found):
    with pytest.raises(ProbeMismatchError, match="pass the probe set that the model was signed with"):
        suspect_page(found, name="s", made=DAY, probes=world("text").probes)
    with pytest.raises(ValueError, match="`references` is 0; give at least 1"):
        suspect_page(found, name="s", made=DAY, references=0)


def test_references_that_no_fit_explains_are_not_shown_as_evidence(undrawn):
    made = world()
    r2 = made.suspect.r2.copy()
    r2[[0, 3]] = -5
    odd = dataclasses.replace(made.suspect, r2=r2)
    page = suspect_page(investigate(odd, made.models), name="s", made=DAY, probes=made.probes, references=2)
    evidence = sections(page)["references"]
    assert {part.heading for part in evidence.parts} == {"Reference 1", "Reference 2"}
    assert "Of 4 references 2 are explained by the linear fits of both models" in evidence.paragraphs[0]


def test_an_answer_that_is_matched_with_no_class_is_named(undrawn):
    made = world()
    # A class that it answers everywhere, and that the model does not have.
    weights = np.concatenate([np.full((len(made.models[0].weights), 1), 50.0), made.models[0].weights], axis=1)
    suspect = made_signature(
        "wide",
        made.probes.n_segments.tolist(),
        4,
        probe_hash=made.probes.hash,
        settings=made.suspect.settings,
        weights=weights.astype(np.float32),
        class_names=("new", "x", "y", "z"),
    )
    # Orthogonal to the classes of the model, so that it stays without a match.
    found = investigate(suspect, [made.models[0]])
    assert found.alignments[0].a_classes.tolist() == [1, 2, 3]
    page = suspect_page(found, name="s", made=DAY, probes=made.probes, references=1)
    (part,) = sections(page)["references"].parts
    i = int(part.heading.split()[-1])
    best = int(suspect.of_reference(i)[:, 1:].sum(axis=0).argmax())
    assert (
        "By the linear fit wide answers “new” here, which is matched with no class of model-0. Of the matched classes it answers "
        f"“{'xyz'[best]}” of wide, whose weights are drawn, and those of its match “class-{best}” of model-0"
    ) in part.pictures[0].caption


def test_a_reference_without_any_r2_is_not_explained(undrawn):
    made = world()
    variance = made.suspect.variance.copy()
    variance[0] = 0
    flat = dataclasses.replace(made.suspect, variance=variance)
    for suspect, model in ((flat, made.models[0]), (made.models[0], dataclasses.replace(flat, label="flat"))):
        found = investigate(suspect, [model])
        page = suspect_page(found, name="s", made=DAY, probes=made.probes, references=2)
        evidence = sections(page)["references"]
        assert "Of 4 references 3 are explained by the linear fits of both models" in evidence.paragraphs[0]
        assert "Reference 0" not in {part.heading for part in evidence.parts}


@pytest.mark.parametrize(
    ("content", "segments", "message"),
    [
        (
            np.zeros((1, 20000, 3), np.uint8),
            np.arange(20000)[None] % 6,
            "the reference has 1 x 20000 pixels; one side can",
        ),
        (np.zeros((20000, 1, 3), np.uint8), np.arange(20000)[:, None] % 6, "the reference has 20000 x 1 pixels"),
        (
            np.broadcast_to(np.uint8(0), (4096, 4096, 3)),
            np.broadcast_to(0, (4096, 4096)),
            "4096 x 4096 pixels, and up to",
        ),
        ("a" * 9_000_000, np.broadcast_to(0, 9_000_000), "9000000 characters, and up to"),
    ],
    ids=["wide", "tall", "large", "long"],
)
def test_a_forged_reference_takes_no_more_room_than_a_page(content, segments, message):
    made = world()
    forged = dataclasses.replace(made.suspect, preview=Preview(1, content, segments.astype(np.int8)))
    model, matched = made.models[0], investigate(made.suspect, made.models).alignments[0]
    apart = reference_distances(forged, model, matched)
    tracemalloc.start()
    (shown,) = choose(forged, model, apart, None, 1).references
    part = reference_part(forged, model, matched, apart, shown)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message in part.warnings[0]
    assert peak < 2**26


def test_a_picture_that_cannot_be_made_leaves_the_rest(undrawn, monkeypatch):
    def too_large(_):
        raise ValueError("Image size of 99999x1 pixels is too large")

    made = world()
    found = investigate(made.suspect, made.models)
    monkeypatch.setattr("zest_jax.report.references.png_of", too_large)
    page = suspect_page(found, name="s", made=DAY, probes=made.probes, references=1)
    (part,) = sections(page)["references"].parts
    assert part.warnings == ("it cannot be drawn: Image size of 99999x1 pixels is too large",)
    assert sections(page)["distances"].pictures


def test_of_two_contents_of_a_reference_that_of_the_known_model_is_drawn():
    made = world()
    ours = made.suspect.preview
    theirs = ours._replace(content=255 - ours.content)
    matched = investigate(made.suspect, made.models).alignments[0]
    apart = reference_distances(made.suspect, made.models[0], matched)

    def shown(preview):
        return choose(made.suspect, dataclasses.replace(made.models[0], preview=preview), apart, None, 4)

    assert shown(ours).warnings == ()
    (kept,) = shown(theirs).references
    np.testing.assert_array_equal(kept.content, theirs.content)
    assert kept.kept_by == "model-0"
    (warning,) = shown(theirs).warnings
    assert "the signatures of suspect and model-0 keep different contents of reference 2" in warning
    for other in (
        ours._replace(content="text"),
        ours._replace(rate=8000),
        ours._replace(segments=ours.segments[:, ::-1]),
    ):
        assert len(shown(other).warnings) == 1
    both = shown(theirs._replace(reference_index=0))
    assert [each.kept_by for each in both.references] == ["model-0", "suspect"]
    part = reference_part(made.suspect, made.models[0], matched, apart, both.references[1])
    assert "The reference is as the signature of suspect keeps it." in part.pictures[0].caption
