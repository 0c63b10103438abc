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
    assert [each.label for each in load_models(store, ["copy", "m1"])] == ["copy", "m1"]


def test_all_pairs_of_a_store_and_of_its_signatures_are_the_same(zoo, store):
    stored, at_hand = compare_all(store, top=2), compare_all(zoo)
    np.testing.assert_allclose(stored.distances, at_hand.distances, atol=1e-9)
    np.testing.assert_allclose(at_hand.distances, zest.distance_matrix(zoo), atol=1e-9)
    assert {stored.pairs[0].a, stored.pairs[0].b} == {"m2", "copy"}
    assert len(stored.pairs) == 2
    assert len(at_hand.pairs) == 21
    assert [pair.distance for pair in at_hand.pairs] == sorted(pair.distance for pair in at_hand.pairs)


def test_pairs_without_a_distance_are_counted_and_left_out():
    one = model("one", 0).select_classes([0])
    weights = np.stack([np.zeros(len(one.weights)), -one.weights[:, 0]], axis=1).astype(np.float32)
    empty = dataclasses.replace(model("empty", 1).select_classes([0, 1]), weights=weights)
    found = compare_all([one, empty, model("other", 2)])
    assert (found.undefined, len(found.pairs)) == (1, 2)
    assert investigate(one, [empty, model("other", 2)]).undefined == ("empty",)
    with pytest.raises(DegenerateSignatureError, match="leave empty out"):
        investigate(one, [empty])


def test_what_cannot_be_compared_is_refused(zoo, suspect):
    foreign = dataclasses.replace(zoo[0], label="foreign", probe_hash="0" * 64)
    for call, error, message in (
        (lambda: investigate(suspect, []), ValueError, "no signatures were given"),
        (lambda: investigate(suspect, [zoo[0], zoo[0]]), ValueError, "two of the signatures are called 'm0'"),
        (lambda: investigate(suspect, [foreign]), ProbeMismatchError, "cannot be compared"),
        (lambda: investigate(suspect, zoo, unrelated=[foreign]), ProbeMismatchError, "cannot be compared"),
        (lambda: investigate(suspect, zoo, where=Filter(owner=("us",))), ValueError, r"not filtered \(owner us\)"),
        (lambda: investigate(suspect, zoo, unrelated=[zoo[0], zoo[0]]), ValueError, "`unrelated` names a model twice"),
        (lambda: investigate(suspect, zoo, unrelated=[zoo[2]]), ValueError, "no pair besides the one to be judged"),
        (lambda: compare_all(zoo[:1]), ValueError, "1 signature was given"),
        (lambda: compare_all([zoo[0], foreign]), ProbeMismatchError, "cannot be compared"),
    ):
        with pytest.raises(error, match=message):
            call()
