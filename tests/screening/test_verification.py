"""Damage is found, and named."""

from pathlib import Path

import numpy as np
import pytest
from many_models import full, model

from zest_jax.errors import FileFormatError
from zest_jax.screening import Store, verify

lance = pytest.importorskip("lance")


@pytest.fixture
def store(tmp_path):
    made = Store.create(tmp_path / "s", like=model("a", 0))
    made.add([model("a", 0), full(), model("b", 1, classes=2)])
    made.add([model("c", 2)])
    return made


def file_of(store, content: bytes) -> tuple[Path, int]:
    """Where some bytes are."""
    for path in Path(store.uri, "data").iterdir():
        if (place := path.read_bytes().find(content)) >= 0:
            return path, place
    raise AssertionError("the bytes are in no file")


def test_a_sound_store_has_no_problems(store):
    assert list(verify(store)) == []
    store.remove(["a"])
    store.compact()
    assert list(verify(store)) == []


def test_a_flipped_bit_is_found(store):
    path, place = file_of(store, model("b", 1, classes=2).weights.tobytes())
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    (problem,) = verify(store.latest())
    assert problem.name == "b"
    assert "is not what was added" in problem.text
    with pytest.raises(FileFormatError, match="signature of b"):
        store.latest().load(["b"])
    assert store.latest().load(["a"])[0].label == "a"


def test_a_missing_or_truncated_file_concerns_its_models(store):
    path, _ = file_of(store, model("c", 2).weights.tobytes())
    content = path.read_bytes()
    for damage in (lambda: path.write_bytes(content[: len(content) // 2]), path.unlink):
        damage()
        problems = list(verify(store.latest()))
        assert problems
        # The list of names is in the same files, so that more may be concerned than can be named.
        assert all(problem.name in (None, "c") for problem in problems)
    path.write_bytes(content)
    assert list(verify(store.latest())) == []


def test_a_wrong_sketch_is_found(store):
    lance.dataset(store.uri).update({"norms": "[1.0, 1.0]"}, where="name = 'b'")
    (problem,) = verify(store.latest())
    assert problem.name == "b"
    assert "a search may miss it" in problem.text


def test_a_name_that_is_there_twice_is_found(store):
    data = lance.dataset(store.uri)
    lance.write_dataset(data.to_table(filter="name = 'a'"), store.uri, mode="append")
    (problem,) = verify(store.latest())
    assert problem == ("a", "the name is there 2 times; remove it and add the model again")


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("classes", "3", "number of classes noted in the store: 3; in its signature: 4"),
        (
            "class_names",
            '\'["a", "b", "c", "d"]\'',
            "class names noted in the store: ('a', 'b', 'c', 'd'); in its signature: ('a', 'b', 'ç'",
        ),
        ("class_names", "NULL", "class names noted in the store: None; in its signature: ('a', 'b'"),
        ("r2", "0.25", "R2 noted in the store: 0.25; in its signature: 0."),
        ("r2", "NULL", "R2 noted in the store: None"),
        ("version", "'0.0'", "version of the package noted in the store: 0.0"),
        ("name", "'other'", "name noted in the store: other; in its signature: full"),
        ("class_names", "'['", "what is noted of it is damaged"),
        (
            "owner",
            "'someone else'",
            "its architecture, data set, owner or dates are not what was noted at its addition",
        ),
        ("architecture", "NULL", "its architecture, data set, owner or dates are not what was noted"),
        ("date", "date '2001-01-01'", "its architecture, data set, owner or dates are not what was noted"),
        ("owner", "''", "what is noted of it is damaged: `owner` is ''"),
    ],
)
def test_other_columns_are_compared_with_the_signature(store, column, value, text):
    lance.dataset(store.uri).update({column: value}, where="name = 'full'")
    (problem,) = verify(store.latest())
    assert problem.name == ("other" if column == "name" else "full")
    assert text in problem.text
    assert np.isfinite(store.load(["full"])[0].weights).all()
