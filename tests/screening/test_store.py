"""The store: what goes in comes out, and what does not belong stays out."""

import dataclasses
import datetime as dt
import json
import sys

import numpy as np
import pytest
from many_models import PROBES, copy_of, full, model

from zest_jax.errors import (
    DegenerateSignatureError,
    FileFormatError,
    MissingExtraError,
    NotAStoreError,
    ProbeMismatchError,
    StoreError,
)
from zest_jax.screening import Filter, Metadata, SketchSettings, Store
from zest_jax.screening.layout import HEADER_KEY, VERSION_KEY

lance = pytest.importorskip("lance")


def create(tmp_path, *models, **settings) -> Store:
    store = Store.create(tmp_path / "models.store", like=models[0], **settings)
    store.add(models)
    return store


def same(a, b) -> bool:
    arrays = all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("weights", "segment_counts", "r2", "variance"))
    return arrays and (a.label, a.class_names, a.settings, a.version) == (b.label, b.class_names, b.settings, b.version)


class TestAddingAndReading:
    def test_what_goes_in_comes_out(self, tmp_path):
        models = [full(), model("plain", 1, classes=2), model('o\'hara; DROP "x" \\ %_ é 日本', 2)]
        store = create(tmp_path, *models)
        names = [each.label for each in models]
        again = Store.open(tmp_path / "models.store")
        for found, each in zip(again.load(names[::-1]), models[::-1], strict=True):
            assert same(found, each)
        np.testing.assert_array_equal(again.load(["full"])[0].intercept, models[0].intercept)
        assert again.load(["full"])[0].preview.reference_index == 1
        assert [entry.name for entry in again.entries()] == names
        assert len(store) == len(again) == 3
        assert again.header.probe_hash == PROBES

    def test_entries_tell_what_is_known(self, tmp_path):
        store = create(tmp_path, model("m", 0))
        noted = Metadata(architecture="resnet18", data="flowers", owner="o'hara", date=dt.date(2024, 2, 29))
        before = dt.datetime.now(dt.UTC)
        store.add([full()], metadata=noted)
        plain, entry = store.entries()
        assert entry.metadata == noted
        assert before <= entry.added <= dt.datetime.now(dt.UTC)
        assert (entry.classes, entry.class_names) == (4, ("a", "b", "ç", "o'hara"))
        assert entry.r2 == pytest.approx(full().mean_r2())
        assert entry.version == full().version
        assert plain.metadata == Metadata(date=plain.added.date())

    def test_the_architecture_of_a_checkpoint_is_known(self, tmp_path):
        store = create(tmp_path, full())
        assert store.entries()[0].metadata.architecture == "resnet8"

    def test_each_model_can_have_its_own_metadata(self, tmp_path):
        store = create(tmp_path, model("m", 0))
        store.add([model("a", 1), model("b", 2)], metadata=[Metadata(owner="x"), Metadata(owner="y")])
        assert [entry.metadata.owner for entry in store.entries()] == [None, "x", "y"]
        with pytest.raises(ValueError, match="1 signatures but 2 metadata"):
            store.add([model("c", 3)], metadata=[Metadata(), Metadata()])

    def test_adding_again_changes_nothing(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        version = store.version
        found = store.add([model("a", 0)])
        assert (found.added, found.present, store.version) == ((), ("a",), version)
        found = store.add([model("a", 0), model("b", 1)])
        assert (found.added, found.present, len(store)) == (("b",), ("a",), 2)
        assert store.add([]) == ((), ())

    def test_another_signature_under_a_name_is_refused_and_nothing_added(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        with pytest.raises(StoreError, match="another signature under the name a; nothing was added"):
            store.add([model("b", 1), model("a", 2)])
        assert [entry.name for entry in store.latest().entries()] == ["a"]
        assert same(store.load(["a"])[0], model("a", 0))

    def test_other_metadata_under_a_name_are_refused(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        with pytest.raises(StoreError, match="holds a already, with owner None instead of me"):
            store.add([model("a", 0)], metadata=Metadata(owner="me"))

    @pytest.mark.parametrize(
        ("wrong", "error", "message"),
        [
            (lambda: model("w", 1, probe_hash="cd" * 32), ProbeMismatchError, "a store has one probe set"),
            (
                lambda: model("w", 1, settings={"solve": {"ridge": 0.0}, "targets": "logits"}),
                ProbeMismatchError,
                "targets: logits and as-is",
            ),
            (lambda: model("w", 1, weights=np.zeros((60, 4), np.float32)), DegenerateSignatureError, "weights are 0"),
            (
                lambda: model("w", 1, counts=np.array([20, 25, 16], np.int32)),
                FileFormatError,
                "61 weights per class.*have 60",
            ),
            (lambda: model("", 1), ValueError, "`label` is ''; give 1 to 200 printable"),
            (lambda: model("a\nb", 1), ValueError, "`label` is 'a\\\\nb'"),
            (lambda: model("x" * 201, 1), ValueError, "1 to 200 printable"),
            (lambda: model("b", 1), ValueError, "the label 'b' comes twice"),
        ],
    )
    def test_what_does_not_belong_is_refused_and_nothing_added(self, tmp_path, wrong, error, message):
        store = create(tmp_path, model("a", 0))
        version = store.version
        with pytest.raises(error, match=message):
            store.add([model("b", 5), wrong()])
        assert store.latest().version == version

    def test_settings_that_do_not_matter_may_differ(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        other = {"solve": {"ridge": 0.0, "solver": "lstsq"}, "targets": "as-is", "outputs": "logits"}
        assert store.add([model("b", 1, settings=other)]).added == ("b",)


class TestFilters:
    @pytest.fixture(scope="class")
    def store(self, tmp_path_factory):
        made = Store.create(tmp_path_factory.mktemp("filters") / "s", like=model("a", 0))
        for i, (architecture, data, owner, day) in enumerate(
            [("r18", "flowers", "us", 1), ("r18", "dogs", "o'hara", 2), ("m2", "dogs", None, 3), (None, None, "us", 4)]
        ):
            noted = Metadata(architecture=architecture, data=data, owner=owner, date=dt.date(2024, 1, day))
            made.add([model(f"m{i}", i)], metadata=noted)
        return made

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({}, [0, 1, 2, 3]),
            ({"architecture": ("r18",)}, [0, 1]),
            ({"architecture": ("r18", "m2"), "data": ("dogs",)}, [1, 2]),
            ({"owner": ("o'hara",)}, [1]),
            ({"owner": ("us' OR '1'='1",)}, []),
            ({"since": dt.date(2024, 1, 2)}, [1, 2, 3]),
            ({"since": dt.date(2024, 1, 2), "until": dt.date(2024, 1, 3)}, [1, 2]),
        ],
    )
    def test_models_that_meet_all_of_it(self, store, where, expected):
        found = [entry.name for entry in store.entries(Filter(**where))]
        assert found == [f"m{i}" for i in expected]
        assert store.count(Filter(**where)) == len(expected)

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ({"owner": "us"}, "`owner` is the text 'us'; give a tuple"),
            ({"owner": ("",)}, "`owner` is ''"),
            ({"since": "2024"}, "`since` is '2024'; give a datetime.date"),
            ({"until": dt.datetime(2024, 1, 1)}, "without a time"),
            ({"since": dt.date(2024, 1, 2), "until": dt.date(2024, 1, 1)}, "no model can meet that"),
        ],
    )
    def test_impossible_filters(self, where, message):
        with pytest.raises(ValueError, match=message):
            Filter(**where)


class TestVersions:
    def test_what_was_removed_is_in_the_older_version(self, tmp_path):
        store = create(tmp_path, model("a", 0), model("b", 1), model("c", 2))
        before = store.version
        assert store.remove(["a", "c", "a"]) == (("a", "c"), before)
        assert store.remove([]) == ((), store.version)
        assert [entry.name for entry in store.entries()] == ["b"]
        old = Store.open(store.uri, version=before)
        assert same(old.load(["c"])[0], model("c", 2))
        assert store.add(old.load(["c"])).added == ("c",)
        assert [each.number for each in store.versions()] == list(range(1, store.version + 1))
        made = [each.made for each in store.versions()]
        assert made == sorted(made)

    def test_a_name_that_is_not_there_removes_nothing(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        with pytest.raises(ValueError, match="no model named x, y in version 2"):
            store.remove(["a", "x", "y"])
        assert len(store.latest()) == 1
        with pytest.raises(ValueError, match="no model named x"):
            store.load(["x"])
        with pytest.raises(TypeError, match="give a list of names, \\['a'\\]"):
            store.remove("a")

    def test_what_another_writer_added_under_the_name_meanwhile_stays(self, tmp_path, monkeypatch):
        store = create(tmp_path, model("a", 0), model("b", 1))
        check = Store._rows_of

        def others_are_quicker(self, names):
            found = check(self, names)
            monkeypatch.setattr(Store, "_rows_of", check)
            other = Store.open(store.uri)
            other.remove(["a"])
            other.add([model("a", 5)])
            return found

        monkeypatch.setattr(Store, "_rows_of", others_are_quicker)
        with pytest.raises(StoreError, match="another writer changed .*: 1 of the 2 models of version 2 were removed"):
            store.remove(["a", "b"])
        assert [entry.name for entry in store.entries()] == ["a"]
        assert same(store.load(["a"])[0], model("a", 5))

    def test_the_version_that_keeps_what_was_removed_is_the_newest(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        view = Store.open(store.uri)
        store.add([model("b", 1)])
        removed = view.remove(["b"])
        assert removed == (("b",), 3)
        assert same(Store.open(store.uri, version=removed.version).load(["b"])[0], model("b", 1))

    def test_older_versions_are_for_reading(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        old = Store.open(store.uri, version=1)
        for change in (lambda: old.add([model("b", 1)]), lambda: old.remove(["a"]), old.compact):
            with pytest.raises(StoreError, match="version 1 of .*: older versions are for reading"):
                change()
        with pytest.raises(StoreError, match="models.store has no version 77; it has versions 1 to 2"):
            Store.open(store.uri, version=77)
        with pytest.raises(FileNotFoundError, match="there is no store"):
            Store.open(tmp_path / "none", version=1)

    def test_a_view_stays_what_it_was(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        view = Store.open(store.uri)
        store.add([model("b", 1)])
        store.remove(["a"])
        assert [entry.name for entry in view.entries()] == ["a"]
        assert same(view.load(["a"])[0], model("a", 0))
        assert [entry.name for entry in view.latest().entries()] == ["b"]

    def test_small_files_are_put_together(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        for i in range(5):
            store.add([model(f"m{i}", i)])
        before, names = store.version, [entry.name for entry in store.entries()]
        assert store.n_files() == 6
        assert store.compact() == 6
        assert store.n_files() == 1
        assert [entry.name for entry in store.entries()] == names
        assert same(store.load(["m3"])[0], model("m3", 3))
        assert same(Store.open(store.uri, version=before).load(["m3"])[0], model("m3", 3))
        assert store.compact() == 0


class TestOpening:
    def test_where_there_is_nothing(self, tmp_path):
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(FileNotFoundError, match="there is no store .*; make one with `zest store add"):
                Store.open(path)

    def test_what_is_no_store(self, tmp_path):
        (tmp_path / "file").write_text("hello")
        with pytest.raises(NotAStoreError, match="is a file, not a store"):
            Store.open(tmp_path / "file")
        import pyarrow as pa

        lance.write_dataset(pa.table({"x": [1]}), str(tmp_path / "other"))
        with pytest.raises(NotAStoreError, match="is a Lance data set, but not a store of signatures"):
            Store.open(tmp_path / "other")

    def test_nothing_is_created_over_something(self, tmp_path):
        store = create(tmp_path, model("a", 0))
        with pytest.raises(StoreError, match="exists already"):
            Store.create(store.uri, like=model("a", 0))
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "thesis.tex").write_text("...")
        with pytest.raises(StoreError, match="holds other files \\(thesis.tex\\)"):
            Store.create(tmp_path / "folder", like=model("a", 0))
        (tmp_path / "empty").mkdir()
        assert len(Store.create(tmp_path / "empty", like=model("a", 0))) == 0
        with pytest.raises(DegenerateSignatureError):
            Store.create(tmp_path / "new", like=model("a", 0, weights=np.zeros((60, 4), np.float32)))
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("emptied", [False, True])
    def test_a_store_without_its_versions_is_damaged_and_not_replaced(self, tmp_path, emptied):
        store = create(tmp_path, model("a", 0))
        (tmp_path / "backup").mkdir()
        versions = tmp_path / "models.store" / "_versions"
        versions.rename(tmp_path / "backup" / "_versions")
        if emptied:
            versions.mkdir()
        for ask in (lambda: Store.open(store.uri), lambda: Store.create(store.uri, like=model("a", 0))):
            with pytest.raises(
                StoreError, match="is damaged: data/ holds 1 files of models.*restore _versions from a backup"
            ):
                ask()
        if emptied:
            versions.rmdir()
        (tmp_path / "backup" / "_versions").rename(versions)
        assert same(Store.open(store.uri).load(["a"])[0], model("a", 0))

    def test_a_folder_with_data_of_others_is_no_leftover(self, tmp_path):
        (tmp_path / "project" / "data").mkdir(parents=True)
        assert len(Store.create(tmp_path / "project", like=model("a", 0))) == 0
        (tmp_path / "other" / "data").mkdir(parents=True)
        (tmp_path / "other" / "data" / "images.csv").write_text("...")
        for version in (None, 1):
            with pytest.raises(
                FileNotFoundError, match="other is a folder, but no store of signatures; name the folder"
            ):
                Store.open(tmp_path / "other", version=version)
        with pytest.raises(StoreError, match="holds other files \\(data/images.csv\\)"):
            Store.create(tmp_path / "other", like=model("a", 0))

    @pytest.mark.parametrize(
        ("version", "advice"),
        [
            ("3", "install that version, or a newer one"),
            ("new", "install that version, or a newer one"),
            ("1", "export its signatures with that version \\(`zest store export`\\) and add them to a new store"),
        ],
    )
    def test_other_format_versions_are_refused_with_advice(self, tmp_path, version, advice):
        store = create(tmp_path, model("a", 0))
        lance.dataset(store.uri).update_schema_metadata({VERSION_KEY.decode(): version})
        with pytest.raises(StoreError, match=f"format version {version}, made by zest_jax .*reads version 2: {advice}"):
            Store.open(store.uri)

    @pytest.mark.parametrize("header", ["{", "{}", '{"sketch": {"kind": "signs"}}', "[]", None])
    def test_a_damaged_header_is_noticed(self, tmp_path, header):
        store = create(tmp_path, model("a", 0))
        if header is None:
            known = json.loads(lance.dataset(store.uri).schema.metadata[HEADER_KEY])
            header = json.dumps({**known, "sketch": {**known["sketch"], "kind": "others"}})
        lance.dataset(store.uri).update_schema_metadata({HEADER_KEY.decode(): header})
        with pytest.raises(StoreError, match="the header of the store .* is damaged"):
            Store.open(store.uri)
        assert len(Store.open(store.uri, version=2)) == 1

    def test_sketch_settings_are_those_of_the_creation(self, tmp_path):
        create(tmp_path, model("a", 0), sketch=SketchSettings(dimensions=64, seed=5))
        again = Store.open(tmp_path / "models.store")
        assert again.header.sketch == SketchSettings(dimensions=64, seed=5)
        (batch,) = again.sketches()
        assert batch.vectors.shape == (4, 64)

    def test_a_url_will_do(self, tmp_path):
        # The way that object stores are reached, with a folder behind it.
        uri = f"file-object-store://{tmp_path}/models.store"
        store = Store.create(uri, like=model("a", 0))
        store.add([model("a", 0), model("b", 1)])
        store.remove(["a"])
        assert same(Store.open(uri).load(["b"])[0], model("b", 1))

    def test_the_extra_is_named_where_it_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "lance", None)
        for ask in (lambda: Store.open(tmp_path), lambda: Store.create(tmp_path / "s", like=model("a", 0))):
            with pytest.raises(MissingExtraError, match='pip install "zest_jax\\[store\\]"'):
                ask()


def test_wrong_metadata():
    with pytest.raises(ValueError, match="`owner` is ' me'; give 1 to 200 printable characters, without blanks"):
        Metadata(owner=" me")
    with pytest.raises(ValueError, match="`date` is datetime.datetime"):
        Metadata(date=dt.datetime(2024, 1, 1))


def test_copies_of_one_model_may_have_several_names(tmp_path):
    a = model("a", 0)
    store = create(tmp_path, a, dataclasses.replace(a, label="b"), copy_of(a, "c", noise=0.0, seed=0))
    assert len({entry.name for entry in store.entries()}) == 3
