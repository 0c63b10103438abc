import dataclasses

import numpy as np
import pytest
from many_models import PROBES, copy_of, full, model

import zest_jax as zest
from zest_jax.errors import DegenerateSignatureError, FileFormatError, ProbeMismatchError, StoreError
from zest_jax.screening import (
    Filter,
    Metadata,
    SearchSettings,
    Store,
    distance_table,
    distances_from,
    exact,
    screen,
)
from zest_jax.screening import store as store_module

pytest.importorskip("lance")


@pytest.fixture(scope="module")
def zoo():
    """Unrelated models of 4 and 5 classes, some named, and copies of one of them."""
    models = [model(f"model-{i:02}", i, classes=4 + i % 2) for i in range(24)]
    named = [dataclasses.replace(full(f"named-{i}"), weights=model("x", 100 + i).weights) for i in range(4)]
    copies = [copy_of(models[6], f"copy-{i}", noise=0.1 * (i + 1), seed=i, classes=[2, 0, 3, 1]) for i in range(3)]
    return [*models, *named, *copies]


@pytest.fixture(scope="module")
def store(zoo, tmp_path_factory):
    made = Store.create(tmp_path_factory.mktemp("zoo") / "models.store", like=zoo[0])
    made.add(zoo[:12], metadata=Metadata(owner="us", architecture="a"))
    made.add(zoo[12:], metadata=Metadata(owner="them"))
    return made


def brute(suspect, models):
    return sorted((zest.distance(suspect, each), each.label) for each in models)


@pytest.mark.parametrize("suspect", ["copy", "unrelated", "named", "fewer classes", "more classes"])
def test_the_nearest_are_those_of_brute_force(zoo, store, suspect):
    signature = {
        "copy": lambda: copy_of(zoo[6], "s", noise=0.05, seed=20),
        "unrelated": lambda: model("s", 200),
        "named": lambda: copy_of(zoo[25], "s", noise=0.2, seed=21, classes=[3, 1, 0, 2]),
        "fewer classes": lambda: copy_of(zoo[6], "s", noise=0.05, seed=22, classes=[3, 1]),
        "more classes": lambda: model("s", 201, classes=5),
    }[suspect]()
    found = screen(signature, store, settings=SearchSettings(top=5, candidates=None))
    assert (found.compared, found.exact) == (len(zoo), len(zoo))
    expected = brute(signature, zoo)[:5]
    assert [hit.entry.name for hit in found.hits] == [name for _, name in expected]
    np.testing.assert_allclose([hit.distance for hit in found.hits], [d for d, _ in expected], atol=1e-9)


def test_few_candidates_find_the_planted_family(zoo, store):
    suspect = copy_of(zoo[6], "s", noise=0.05, seed=20, classes=[1, 3, 0, 2])
    found = screen(suspect, store, settings=SearchSettings(top=4, candidates=8))
    assert [hit.entry.name for hit in found.hits] == ["model-06", "copy-0", "copy-1", "copy-2"]
    assert (found.compared, found.exact) == (len(zoo), 8)
    for hit in found.hits:
        assert hit.sketched == pytest.approx(hit.distance, abs=0.05)


def test_pieces_do_not_matter(zoo, store, monkeypatch):
    suspect = copy_of(zoo[6], "s", noise=0.05, seed=20)
    whole = screen(suspect, store, settings=SearchSettings(top=20, candidates=25))
    monkeypatch.setattr(store_module, "SKETCH_BYTES", 1)
    monkeypatch.setattr(store_module, "SIGNATURE_BYTES", 1)
    pieces = screen(suspect, store, settings=SearchSettings(top=20, candidates=25))
    assert [hit.entry for hit in pieces.hits] == [hit.entry for hit in whole.hits]
    np.testing.assert_allclose([h.distance for h in pieces.hits], [h.distance for h in whole.hits], atol=1e-12)


def test_a_filter_leaves_models_out(zoo, store):
    suspect = copy_of(zoo[6], "s", noise=0.05, seed=20)
    found = screen(suspect, store, where=Filter(owner=("them",)), settings=SearchSettings(top=2))
    assert found.compared == len(zoo) - 12
    assert [hit.entry.name for hit in found.hits] == ["copy-0", "copy-1"]
    with pytest.raises(StoreError, match="no model of .* meets the filter \\(owner nobody\\)"):
        screen(suspect, store, where=Filter(owner=("nobody",)))


def test_all_distances_are_those_of_the_matrix(zoo, store, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK", 7)
    some = Filter(owner=("them",))
    entries, table = distance_table(store, where=some)
    models = zoo[12:]
    assert [entry.name for entry in entries] == [each.label for each in models]
    np.testing.assert_allclose(table, zest.distance_matrix(models), atol=1e-9)
    np.testing.assert_array_equal(table, table.T)
    assert not table.diagonal().any()


def test_distances_to_all_are_in_the_order_of_addition(zoo, store):
    suspect = model("s", 300)
    entries, found = distances_from(suspect, store)
    assert [entry.name for entry in entries] == [each.label for each in zoo]
    np.testing.assert_allclose(found, [zest.distance(suspect, each) for each in zoo], atol=1e-9)


def test_a_store_of_one_model_or_none(tmp_path):
    store = Store.create(tmp_path / "s", like=model("a", 0))
    for ask in (lambda: screen(model("s", 1), store), lambda: distances_from(model("s", 1), store)):
        with pytest.raises(StoreError, match="holds no models; add some"):
            ask()
    with pytest.raises(StoreError, match="holds no models.*distances among models need two"):
        distance_table(store)
    store.add([model("a", 0)])
    found = screen(model("s", 1), store)
    assert (found.compared, len(found.hits)) == (1, 1)
    with pytest.raises(StoreError, match="holds one model that is meant \\(any\\)"):
        distance_table(store)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"probe_hash": "cd" * 32}, ProbeMismatchError, "cdcdcdcdcdcdcdcd, the store .* holds signatures of abab"),
        (
            {"settings": {"solve": {"ridge": 1.0}, "targets": "as-is", "outputs": "logits"}},
            ProbeMismatchError,
            "fitted differently",
        ),
        ({"weights": np.zeros((60, 4), np.float32)}, DegenerateSignatureError, "all its weights are 0"),
    ],
)
def test_suspects_that_cannot_be_compared(store, changes, error, message):
    for ask in (screen, distances_from):
        with pytest.raises(error, match=message):
            ask(model("s", 0, **changes), store)


def halves():
    """A model, and another of which only the class without weights matches it."""
    empty = model("empty", 1, classes=2)
    empty.weights[:, 1] = 0
    only = model("only", 2, classes=1)
    only.weights[:] = -empty.weights[:, :1]
    return only, empty


def test_a_model_without_a_distance_is_left_out_and_named(tmp_path):
    only, empty = halves()
    store = Store.create(tmp_path / "s", like=only)
    store.add([empty])
    suspect = dataclasses.replace(only, label="s")
    with pytest.raises(DegenerateSignatureError, match="s and empty that match carry no weights"):
        screen(suspect, store)
    store.add([only, model("other", 5, classes=2)])
    found = screen(suspect, store)
    assert [hit.entry.name for hit in found.hits] == ["only", "other"]
    assert (found.compared, found.exact, found.undefined) == (3, 3, ("empty",))
    for hit in found.hits:
        assert hit.sketched == pytest.approx(hit.distance, abs=0.15)
    assert np.isnan(distances_from(suspect, store)[1]).tolist() == [True, False, False]
    _, table = distance_table(store)
    assert np.argwhere(np.isnan(table)).tolist() == [[0, 1], [1, 0]]
    assert table[0, 2] == pytest.approx(zest.distance(empty, model("other", 5, classes=2)), abs=1e-9)


def test_a_damaged_candidate_is_refused(zoo, tmp_path):
    import lance

    store = Store.create(tmp_path / "s", like=zoo[0])
    store.add(zoo[:5])
    lance.dataset(store.uri).update({"digest": "'" + "0" * 64 + "'"}, where="name = 'model-03'")
    with pytest.raises(FileFormatError, match="signature of model-03 in the store .* is not what was added"):
        screen(zoo[0], store.latest())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top": 0}, "`top` is 0"),
        ({"candidates": 5}, "at least as many as `top`, 10"),
        ({"align": "none"}, "'auto' or 'greedy'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(**settings)


def test_the_probe_set_is_that_of_the_models(store):
    assert store.header.probe_hash == PROBES
