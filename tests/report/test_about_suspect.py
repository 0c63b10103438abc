"""What stands in the report on a suspect."""

import dataclasses

import numpy as np
import pytest

import zest_jax as zest
from tests.report.making import made_signature, world
from tests.report.page_reader import DAY, Reader, sections
from zest_jax.report.about_suspect import pictures_of, suspect_page
from zest_jax.report.about_zoo import zoo_page
from zest_jax.report.mapped import map_nearest
from zest_jax.report.page import render
from zest_jax.report.verdict import verdict_of
from zest_jax.screening import SearchSettings, Store, compare_all, investigate, same_as
from zest_jax.screening.layout import entry_of

pytest.importorskip("jinja2")


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
    told = verdict_of(found)
    notes = " ".join(told.notes)
    assert (told.headline, told.tone) == ("The very same weights", "related")
    assert "The suspect has the very same weights as model-0 (1 class), so it is that model" in told.paragraphs[0]
    assert "1 model has no distance, since the classes that match carry no weights: empty." in notes
    page = suspect_page(found, name="s", made=DAY)
    assert sections(page)["distances"].tables == ()
    page = suspect_page(found, name="s", made=DAY, probes=made.probes)
    told = sections(page)["distances"]
    assert {row[3] for row in told.tables[0].rows} == {"-"}
    assert told.tables[0].caption == "References drawn above"
    assert told.notes == ("The distance is 0 but for rounding, so that there are no shares, and nothing to draw.",)
    assert told.pictures == ()
    assert pictures_of(found, 4, made.probes) == len(list(page.pictures()))


def test_only_what_is_the_same_is_called_the_same():
    made = world()
    model = made.models[0]
    renamed = dataclasses.replace(model, label="renamed")
    turned = renamed.select_classes([2, 0, 1])
    proportional = dataclasses.replace(renamed, weights=3 * model.weights)
    few = dataclasses.replace(renamed.select_classes([0, 2]), class_names=None)
    for suspect, words in (
        (
            renamed,
            "The suspect has the very same weights as model-0 (3 classes), so it is that model, an exact copy, or one",
        ),
        (turned, "The suspect has the very same weights as model-0 (3 classes)"),
        (proportional, "both have proportional weights for all 3 matched classes (of 3 and 3)."),
        (few, "both have proportional weights for all 2 matched classes (of 2 and 3)."),
    ):
        found = investigate(suspect, made.models)
        same = same_as(found)
        assert words in same.text
        assert ("very same weights" in same.text) == (suspect in (renamed, turned))
        told = verdict_of(found)
        assert (same.text in told.notes) == (suspect in (proportional, few)) == (told.headline == "No verdict")
    assert same_as(investigate(made.suspect, made.models)) is None


def test_a_suspect_among_the_models_is_said_and_the_next_one_judged():
    made = world()
    model = made.models[0]
    found = investigate(model, made.models, unrelated=made.unrelated)
    assert found.itself == ("model-0",)
    assert found.compared == len(made.models) - 1
    assert model.label not in {near.entry.name for near in found.nearest}
    assert found.signatures[0].label == found.nearest[0].entry.name
    assert found.judgement.text.startswith(f"nearest: {found.nearest[0].entry.name}")
    told = verdict_of(found)
    assert (
        told.paragraphs[0]
        == "model-0 among the signatures given is this very signature (the suspect itself, or an identical file of that name); the next one is judged."
    )
    alone = investigate(model, made.models[:1])
    assert (alone.itself, alone.nearest[0].entry.name) == ((), "model-0")
    words = "This very signature is among the signatures given as model-0: the SHA-256 are equal."
    assert same_as(alone).text == words


def test_a_model_of_the_same_file_is_said_first():
    made = world()
    of_file = {**made.suspect.settings, "model": {"file_sha256": "a" * 64}}
    suspect, model = (dataclasses.replace(each, settings=of_file) for each in (made.suspect, made.models[0]))
    found = investigate(suspect, [model, *made.models[1:]], unrelated=made.unrelated[:3])
    told = verdict_of(found)
    assert (found.judgement.related, told.headline, told.tone) == (None, "A model of the same file", "related")
    assert "A model of the same file is among the signatures given as model-0" in told.paragraphs[0]
    assert told.paragraphs[1].startswith("By the distance alone: suspect is ")


def test_relative_distances_are_those_to_models_of_as_many_classes(undrawn):
    made = world()
    wide = made_signature(
        "wide", made.probes.n_segments.tolist(), 9, 77, probe_hash=made.probes.hash, settings=made.suspect.settings
    )
    found = investigate(made.suspect, [*made.models, wide], unrelated=made.unrelated)
    (table,) = sections(suspect_page(found, name="s", made=DAY))["nearest"].tables
    place = [column.name for column in table.columns].index("Relative")
    relative = {row[1]: row[place] for row in table.rows}
    assert relative.pop("wide") == "-"
    assert relative["model-0"] == f"{found.judgement.relative:.2f}"
    assert all(float(value) > 0 for value in relative.values())


def test_the_line_of_unrelated_models_is_drawn_with_a_verdict_only(found):
    made = world()
    assert map_nearest(found).style["line"] == (found.yardstick, "unrelated on average")
    few = made.suspect.select_classes([0, 1])
    unjudged = investigate(few, made.models, unrelated=[each.select_classes([0, 1]) for each in made.unrelated])
    assert unjudged.yardstick is not None
    assert map_nearest(unjudged).style["line"] is None


def test_a_map_has_one_way_of_matching_and_says_so(undrawn):
    made = world()
    plain = dataclasses.replace(made.models[1], class_names=None)
    found = investigate(made.suspect, [made.models[0], plain, made.models[2]])
    assert found.align == "auto"
    mapped = map_nearest(found)
    drawn = [made.suspect, *found.signatures]
    np.testing.assert_allclose(mapped.distances, zest.distance_matrix(drawn, align="greedy"), atol=1e-9)
    page = suspect_page(found, name="s", made=DAY)
    assert (
        "all pairs are matched greedily here, and may be nearer than in the table."
        in sections(page)["heat-map"].notes[-1]
    )
    assert map_nearest(investigate(made.suspect, made.models)).remarks == ()
    nameless = dataclasses.replace(made.suspect, class_names=None)
    assert map_nearest(investigate(nameless, made.models)).remarks == (), (
        "its pairs are matched greedily in the table too"
    )


def test_models_without_a_common_reference_have_no_picture_of_it(undrawn):
    made = world()
    one, other = (np.zeros_like(made.suspect.weights) for _ in range(2))
    first = int(made.suspect.segment_counts[0])
    one[:first], other[first : 2 * first] = 1, 1
    suspect = dataclasses.replace(made.suspect, weights=one)
    found = investigate(suspect, [dataclasses.replace(made.models[0], weights=other)])
    for probes in (None, made.probes):
        page = suspect_page(found, name="s", made=DAY, probes=probes)
        told = sections(page)["distances"]
        assert told.pictures == ()
        assert "At no reference do both models have weights, so that there is no distance there" in told.notes[0]
    assert "At none of 4 references do both models have weights" in sections(page)["references"].paragraphs[0]


def test_everything_that_a_verdict_rests_on_is_told(undrawn, found):
    made = world()
    files = {entry_of(made.unrelated[3]).digest: "c" * 64}
    page = suspect_page(found, name="s", made=DAY, files=files)
    facts, _, compared, unrelated = sections(page)["settings"].tables
    values = dict(facts.rows)
    assert values["Verdict"] == (
        "at a level of 0.05, corrected for 3 models compared; 66 pairs of 11 unrelated models and the suspect"
    )
    assert values["95% intervals"] == "bootstrap over references, 1,000 resamples, seed 0"
    assert values["Models compared"] == "3, of which exactly 3 (all)"
    assert compared.caption == "Signatures of all models compared"
    for table, models in ((compared, made.models), (unrelated, made.unrelated)):
        assert [(row[0], row[3]) for row in table.rows] == [(each.label, entry_of(each).digest) for each in models]
    assert [row[4] for row in unrelated.rows] == ["-"] * 3 + ["c" * 64] + ["-"] * 7
    assert dict(page.verdict.facts)["Unrelated models"] == "11, listed under “Settings and hashes”"
    assert all(each.label in Reader(render(page)).words for each in made.unrelated)


def test_a_search_tells_its_candidates(undrawn, tmp_path):
    pytest.importorskip("lance")
    made = world()
    store = Store.create(tmp_path / "s", like=made.suspect)
    store.add([*made.models, *made.unrelated])
    found = investigate(made.suspect, store, settings=SearchSettings(top=2, candidates=5))
    facts, _, nearest = sections(suspect_page(found, name="s", made=DAY))["settings"].tables
    assert (
        dict(facts.rows)["Models compared"]
        == "14, of which exactly 5 (the 5 nearest by their sketches, or all if fewer)"
    )
    assert nearest.caption == "Signatures of the nearest models"
    assert [row[3] for row in nearest.rows] == [near.entry.digest for near in found.nearest]


def test_poor_fits_are_warned_of(undrawn):
    made = world()
    poor = dataclasses.replace(made.suspect, r2=np.full_like(made.suspect.r2, 0.02))
    page = suspect_page(investigate(poor, made.models), name="s", made=DAY)
    assert "linear explanations hardly fit suspect (suspect) (0.02)" in sections(page)["fit"].warnings[0]
    zoo = zoo_page(compare_all([poor, *made.models]), name="s", made=DAY)
    assert "linear explanations hardly fit 1 model: suspect." in sections(zoo)["models"].warnings[0]


def test_settings_and_hashes_are_told_and_differences_marked(undrawn, found):
    files = {found.nearest[0].entry.digest: "e" * 64}
    page = suspect_page(found, name="models.store", made=DAY, suspect_file="f" * 64, files=files)
    compared, asked, *_ = sections(page)["settings"].tables
    values = dict(compared.rows)
    assert values["Probe set"] == found.suspect.probe_hash
    assert values["This page made by"] == f"zest_jax {zest.__version__}"
    assert values["Classes of suspect and nearest matched"] == "by name"
    rows = {row[0]: row[1:] for row in asked.rows}
    assert rows["file of the signature (SHA-256)"] == ("≠", "f" * 64, "e" * 64)
    assert rows["signature (SHA-256, as in a store)"][2] == found.nearest[0].entry.digest
    assert rows["solve.ridge"] == ("", "0", "0")
    page = suspect_page(found, name="models.store", made=DAY, suspect_file="f" * 64)
    _, asked, *_ = sections(page)["settings"].tables
    (of_file,) = [row for row in asked.rows if row[0] == "file of the signature (SHA-256)"]
    assert of_file[1:] == ("", "f" * 64, "-"), "nothing to compare"
