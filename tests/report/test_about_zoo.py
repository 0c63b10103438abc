"""What stands in the report on many models."""

import dataclasses
import re

import numpy as np
import pytest

from tests.report.making import world
from tests.report.page_reader import DAY, sections
from zest_jax.report import clustered_figure
from zest_jax.report.about_suspect import suspect_page
from zest_jax.report.about_zoo import zoo_page
from zest_jax.report.mapped import map_all
from zest_jax.report.tree_leaves import family_name
from zest_jax.screening import SearchSettings, compare_all, families, find_families, investigate

pytest.importorskip("jinja2")


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
    assert "No two models are as near as 0.0100 (as given), so none are a family." in none.verdict.paragraphs
    assert "No group of models joins at 0.0100 or nearer." in sections(none)["families"].paragraphs


def test_large_zoos_are_cut_and_say_so(undrawn, monkeypatch):
    monkeypatch.setattr("zest_jax.report.mapped.MOST_DRAWN", 4)
    monkeypatch.setattr("zest_jax.report.mapped.MOST_NEAREST", 2)
    monkeypatch.setattr("zest_jax.report.about_zoo.MOST_LISTED", 5)
    made = world()
    page = zoo_page(compare_all([made.suspect, *made.models, *made.unrelated]), name="s", made=DAY)
    note = "Drawn are the 4 models that have the nearest neighbours, of 15; the tree and its families are those of all."
    assert sections(page)["heat-map"].notes == sections(page)["family-tree"].notes == (note,)
    assert len(sections(page)["models"].tables[0].rows) == 5
    assert "The 5 models with the lowest R², of 15." in sections(page)["models"].notes
    found = investigate(made.suspect, made.models, settings=SearchSettings(top=3))
    page = suspect_page(found, name="s", made=DAY)
    assert sections(page)["heat-map"].notes == ("Drawn are the suspect and the 2 models nearest to it, of 3 compared.",)


def copies_of(model, n: int):
    """A victim, and copies with a little noise each, all as far from it."""
    noise = np.random.default_rng(50).normal(size=(n, *model.weights.shape))
    noise *= 0.2 * np.linalg.norm(model.weights) / np.linalg.norm(noise, axis=(1, 2), keepdims=True)
    copies = [(f"copy-{i}", (model.weights + noise[i]).astype(np.float32)) for i in range(n)]
    return [model, *(dataclasses.replace(model, label=label, weights=weights) for label, weights in copies)]


def test_a_victim_and_its_copies_are_a_family_by_unrelated_models_and_cannot_be_told_without(undrawn):
    made = world()
    store = copies_of(made.models[0], 3)
    page = zoo_page(compare_all(store), name="s", made=DAY)
    assert page.verdict.headline == "Can't tell families among 4 models"
    assert "no pair is nearer than half the median distance" in page.verdict.paragraphs[0]
    assert "where most models of a store are related, this rule finds nothing" in page.verdict.paragraphs[0]
    assert "(--unrelated)" in page.verdict.paragraphs[0]
    found = compare_all(store, unrelated=made.unrelated[:4])
    page = zoo_page(found, name="s", made=DAY)
    assert page.verdict.headline == "1 family among 4 models"
    words = " ".join(page.verdict.paragraphs)
    assert f"at a distance of {found.yardstick / 2:.4f} (half the mean distance of the unrelated models)" in words
    facts, unrelated = sections(page)["settings"].tables
    assert (
        dict(facts.rows)["Families cut"]
        == f"at {found.yardstick / 2:.4f}, half the mean distance of the unrelated models"
    )
    assert [(row[0], row[3]) for row in unrelated.rows] == [(entry.name, entry.digest) for entry in found.unrelated]
    assert page.verdict.notes == ()
    assert map_all(found, find_families(found.distances)).style["line"] == (found.yardstick, "unrelated on average")


def test_unrelated_models_that_do_not_suit_are_told(undrawn):
    made = world()
    store = copies_of(made.models[0], 2)
    few = dataclasses.replace(made.models[1].select_classes([0, 1]), label="few")
    found = compare_all([*store, few], unrelated=[*made.unrelated[:3], store[0], store[2]])
    notes = zoo_page(found, name="s", made=DAY).verdict.notes
    assert any("1 model has another number of classes than the unrelated models (3)" in note for note in notes)
    assert any("model-0, copy-1 are named as unrelated to each other, and are in one family" in note for note in notes)
    assert any("Not all models have the same class names, so all are matched greedily" in note for note in notes)


def test_families_of_a_part_are_those_of_the_whole_table(undrawn, monkeypatch):
    # Families whose members differ in how near they are, so that the part's own tree would have others.
    rng = np.random.default_rng(12)
    n, kept = 70, 40
    points = rng.normal(size=(12, 30))[np.arange(n) % 12] + (0.3 + 0.9 * rng.random((n, 1))) * rng.normal(size=(n, 30))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    table = np.maximum(1 - points @ points.T, 0)
    np.fill_diagonal(table, 0)
    made = world()
    labels = [f"m{i}" for i in range(n)]
    found = compare_all(made.models)
    entries = tuple(found.entries[0]._replace(name=label) for label in labels)
    found = found._replace(entries=entries, distances=(table + table.T) / 2)
    monkeypatch.setattr("zest_jax.report.mapped.MOST_DRAWN", kept)
    monkeypatch.setattr("zest_jax.report.tree_leaves.MOST_NAMED", 5)
    known = find_families(found.distances)
    mapped = map_all(found, known)
    drawn = {
        frozenset(mapped.labels[i] for i in group) for group in families(mapped.style["known"].tree, known.threshold)
    }
    of_all = {frozenset(labels[i] for i in group) & set(mapped.labels) for group in known.groups} - {frozenset()}
    assert drawn == of_all
    own = find_families(mapped.distances, threshold=known.threshold)
    assert {frozenset(mapped.labels[i] for i in group) for group in own.groups} != of_all
    names = {family_name(found.distances, labels, group) for group in known.large}
    named = {text.get_text() for text in clustered_figure(mapped.distances, mapped.labels, **mapped.style).texts}
    assert named <= names
    assert len(named) > 3
