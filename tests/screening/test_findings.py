"""What is found out about a suspect and among models, from a store and from signatures at hand."""

import dataclasses

import numpy as np
import pytest
from many_models import copy_of, model

import zest_jax as zest
from zest_jax.errors import DegenerateSignatureError, ProbeMismatchError
from zest_jax.screening import Filter, Metadata, SearchSettings, Store, compare_all, investigate, load_models

pytest.importorskip("lance")


@pytest.fixture(scope="module")
def zoo():
    models = [model(f"m{i}", i) for i in range(6)]
    return [*models, copy_of(models[2], "copy", noise=0.1, seed=1, classes=[3, 1, 0, 2])]


@pytest.fixture(scope="module")
def store(zoo, tmp_path_factory):
    made = Store.create(tmp_path_factory.mktemp("zoo") / "models.store", like=zoo[0])
    made.add(zoo, metadata=Metadata(owner="us"))
    return made


@pytest.fixture(scope="module")
def suspect(zoo):
    return copy_of(zoo[2], "suspect", noise=0.2, seed=2)


def test_inputs_given_in_another_form_than_those_of_the_nearest_model_are_remarked(zoo):
    def told(signature, high):
        return dataclasses.replace(signature, settings={**signature.settings, "model": {"value_range": [0, high]}})

    suspect = dataclasses.replace(zoo[0], label="suspect", weights=zoo[0].weights + np.float32(0.01))
    models = [told(each, 1) for each in zoo]
    (remark,) = investigate(told(suspect, 255), models).remarks
    assert "right only if the models were trained so: suspect: values 0 to 255;" in remark
    assert investigate(told(suspect, 1), models).remarks == ()


def test_a_store_and_its_signatures_give_the_same(zoo, store, suspect):
    others = [model(f"other-{i}", 50 + i) for i in range(8)]
    settings = SearchSettings(top=3)
    stored = investigate(suspect, store, settings=settings, unrelated=others)
    at_hand = investigate(suspect, zoo, settings=settings, unrelated=others)
    assert [near.rank for near in stored.nearest] == [1, 2, 3]
    for a, b in zip(stored.nearest, at_hand.nearest, strict=True):
        assert (a.entry.name, a.entry.digest, a.entry.classes) == (b.entry.name, b.entry.digest, b.entry.classes)
        assert (a.distance, a.interval) == (b.distance, b.interval)
        assert b.entry.added is None
    assert stored.judgement == at_hand.judgement
    assert stored.yardstick == at_hand.yardstick
    assert [each.label for each in load_models(zoo, ["copy", "m1"])] == ["copy", "m1"]
    with pytest.raises(ValueError, match="none of the signatures is called 'nobody'; there are "):
        load_models(zoo, ["copy", "nobody"])
    assert [each.label for each in load_models(store, ["copy", "m1"])] == ["copy", "m1"]


def test_all_pairs_of_a_store_and_of_its_signatures_are_the_same(zoo, store):
    stored, at_hand = compare_all(store, top=2), compare_all(zoo)
    np.testing.assert_allclose(stored.distances, at_hand.distances, atol=1e-9)
    np.testing.assert_allclose(at_hand.distances, zest.distance_matrix(zoo), atol=1e-9)
    assert {stored.pairs[0].a, stored.pairs[0].b} == {"m2", "copy"}
    assert len(stored.pairs) == 2
    assert len(at_hand.pairs) == 21
    assert [pair.distance for pair in at_hand.pairs] == sorted(pair.distance for pair in at_hand.pairs)


def test_the_nearest_pairs_are_the_first_of_all(zoo):
    everything = compare_all(zoo)
    for top in (1, 5, 21, 99):
        assert compare_all(zoo, top=top).pairs == everything.pairs[:top]
    copies = [dataclasses.replace(zoo[0], label=f"same-{i}") for i in range(4)]
    pairs = compare_all([*zoo, *copies], top=3).pairs
    assert [(pair.a, pair.b) for pair in pairs] == [("m0", "same-0"), ("m0", "same-1"), ("m0", "same-2")]


def test_pairs_with_and_without_class_names_are_matched_in_one_way(tmp_path):
    named = [model(f"n{i}", i, class_names=tuple("abcd")) for i in range(3)]
    assert compare_all(named).align == "auto"
    np.testing.assert_allclose(compare_all(named).distances, zest.distance_matrix(named), atol=1e-9)
    mixed = [*named, model("plain", 7)]
    greedy = zest.distance_matrix(mixed, align="greedy")
    assert not np.allclose(greedy, zest.distance_matrix(mixed))
    store = Store.create(tmp_path / "s", like=mixed[0])
    store.add(mixed)
    for models in (mixed, store):
        found = compare_all(models)
        assert found.align == "greedy"
        assert "not all models have the same class names, so all are matched greedily" in found.remarks[0]
        np.testing.assert_allclose(found.distances, greedy, atol=1e-9)
    assert compare_all(named, unrelated=[named[0], model("plain", 7)]).align == "greedy"
    assert compare_all([model("plain", 7), named[0], model("other", 8)]).remarks == (), "no two have the same names"


def test_unrelated_models_give_a_zoo_its_yardstick(zoo, store):
    others = [model(f"other-{i}", 50 + i) for i in range(3)]
    table = zest.distance_matrix(others)
    for models in (zoo, store):
        found = compare_all(models, unrelated=others)
        assert found.yardstick == pytest.approx(table[np.triu_indices(3, 1)].mean())
        assert [entry.name for entry in found.unrelated] == ["other-0", "other-1", "other-2"]
    assert compare_all(zoo).yardstick is None


def test_signatures_and_alignments_of_the_nearest_are_kept(zoo, store, suspect, monkeypatch):
    asked = []
    monkeypatch.setattr(Store, "load", lambda self, names: asked.append(list(names)) or load_models(zoo, names))
    monkeypatch.setattr("zest_jax.screening.findings.MOST_INTERVALS", 2)
    found = investigate(suspect, store, settings=SearchSettings(top=4, candidates=5))
    assert asked == [[near.entry.name for near in found.nearest[:2]]]
    assert [each.label for each in found.signatures] == asked[0]
    assert [near.interval is None for near in found.nearest] == [False, False, True, True]
    for near, signature, matched in zip(found.nearest, found.signatures, found.alignments, strict=False):
        assert zest.distance(suspect, signature, align=matched) == pytest.approx(near.distance)
    assert (found.candidates, found.exact) == (5, 5)
    assert investigate(suspect, zoo).candidates is None


def test_unrelated_models_are_kept_as_entries(zoo, suspect):
    others = [model(f"other-{i}", 50 + i) for i in range(3)]
    found = investigate(suspect, zoo, unrelated=others)
    assert [entry.name for entry in found.unrelated] == ["other-0", "other-1", "other-2"]
    assert len({entry.digest for entry in found.unrelated} | {found.entry.digest}) == 4
    assert found.judgement.alpha == 0.05


def test_pairs_without_a_distance_are_counted_and_left_out():
    one = model("one", 0).select_classes([0])
    weights = np.stack([np.zeros(len(one.weights)), -one.weights[:, 0]], axis=1).astype(np.float32)
    empty = dataclasses.replace(model("empty", 1).select_classes([0, 1]), weights=weights)
    found = compare_all([one, empty, model("other", 2)])
    assert (found.undefined, len(found.pairs)) == (1, 2)
    assert investigate(one, [empty, model("other", 2)]).undefined == ("empty",)
    with pytest.raises(DegenerateSignatureError, match="leave empty out"):
        investigate(one, [empty])


def test_what_cannot_be_compared_is_refused(zoo, store, suspect):
    foreign = dataclasses.replace(zoo[0], label="foreign", probe_hash="0" * 64)
    foreign_too = dataclasses.replace(zoo[1], label="foreign too", probe_hash="0" * 64)
    few = dataclasses.replace(zoo[1].select_classes([0, 1]), label="few")
    for call, error, message in (
        (lambda: investigate(suspect, []), ValueError, "no signatures were given"),
        (lambda: investigate(suspect, [zoo[0], zoo[0]]), ValueError, "two of the signatures are called 'm0'"),
        (lambda: investigate(suspect, [foreign]), ProbeMismatchError, "cannot be compared"),
        (lambda: investigate(suspect, zoo, unrelated=[foreign]), ProbeMismatchError, "cannot be compared"),
        (lambda: investigate(suspect, zoo, where=Filter(owner=("us",))), ValueError, r"not filtered \(owner us\)"),
        (lambda: investigate(suspect, zoo, unrelated=[zoo[0], zoo[0]]), ValueError, "`unrelated` names a model twice"),
        (lambda: investigate(suspect, zoo, unrelated=[zoo[2]]), ValueError, "no pair besides the one to be judged"),
        (lambda: compare_all(zoo[:1]), ValueError, "1 signature was given"),
        (lambda: compare_all(zoo, unrelated=[zoo[0]]), ValueError, "`unrelated` names m0 alone"),
        (lambda: compare_all(zoo, unrelated=[zoo[0], zoo[0]]), ValueError, "`unrelated` names a model twice"),
        (lambda: compare_all(zoo, unrelated=[zoo[0], few]), ValueError, "few has 2 classes and m0 4"),
        (lambda: compare_all(zoo, unrelated=[foreign, foreign_too]), ProbeMismatchError, "cannot be compared"),
        (lambda: compare_all(store, unrelated=[foreign, foreign_too]), ProbeMismatchError, "a store has one probe set"),
        (lambda: compare_all([zoo[0], foreign]), ProbeMismatchError, "cannot be compared"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_unrelated_models_that_are_no_yardstick_are_refused_before_the_search(zoo, suspect, monkeypatch):
    monkeypatch.setattr("zest_jax.screening.findings.distances_to", None)
    same = dataclasses.replace(zoo[0], label="same")
    few = dataclasses.replace(zoo[1].select_classes([0, 1]), label="few")
    for unrelated, message in (
        ([zoo[0], zoo[0]], "`unrelated` names a model twice"),
        ([zoo[0], same], "same has the very same weights as m0; .* name one of the two"),
        ([few, zoo[0]], "few has 2 classes and suspect 4"),
    ):
        with pytest.raises(ValueError, match=message):
            investigate(suspect, zoo, unrelated=unrelated)


def test_matching_greedily_is_remarked_on_where_any_pair_would_have_gone_by_name():
    names = tuple("abcd")
    plain, others = model("plain", 1), [model(f"other-{i}", 50 + i) for i in range(3)]
    named = [model(f"named-{i}", 70 + i, class_names=names) for i in range(3)]
    for suspect, models, unrelated, remark in (
        (plain, [model("m", 2)], others, None),
        (plain, [named[0]], others, None),
        (plain, [model("m", 2)], named[1:], "the suspect has no class names, so all are matched greedily"),
        (named[0], [model("m", 2)], named[1:], "not all models have the suspect's class names, so all"),
    ):
        found = investigate(suspect, models, unrelated=unrelated)
        assert found.align == "greedy"
        assert [remark in text for text in found.remarks] == ([] if remark is None else [True])
