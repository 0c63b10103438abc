"""`zest zoo`."""

import json

import pytest

pytest.importorskip("optax")
pytest.importorskip("orbax.checkpoint")
import zest_jax.zoo.build
from tests.zoo.tiny import write_config
from zest_jax.zoo import read_index

CHILD = 'z.Permute(name="permuted", of="victim", seed=1),'


def test_a_zoo_is_built_and_listed(zest, here):
    config = write_config(here, more=CHILD)
    code, out, err = zest("zoo", "build", config, "--out", "zoo", "--jobs", "1")
    assert code == 0, err
    assert "[2/2] permuted: done in" in err
    index = read_index(here / "zoo")
    for name, *cells in (line.split() for line in out.splitlines() if line.startswith(("victim", "permuted"))):
        entry = next(entry for entry in index if entry.name == name)
        assert cells[:2] == [entry.kind, *(entry.parents or "-")]
        assert cells[2] == f"{entry.accuracy:.2%}"
    assert zest("zoo", "list", "zoo")[:2] == (0, out)
    code, text, _ = zest("zoo", "list", "zoo", "--json")
    assert [entry["name"] for entry in json.loads(text)] == ["victim", "permuted"]
    code, again, err = zest("zoo", "build", config, "--out", "zoo")
    assert (code, again) == (0, out)
    assert "2 of 2 models are there already" in err

    # Its models are models like any other.
    code, _, err = zest("reuse", "quantize", "zoo/victim", "-o", "q")
    assert code == 0, err


def test_an_interrupt_says_how_to_go_on(zest, here, monkeypatch):
    def build(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(zest_jax.zoo.build, "build_zoo", build)
    code, out, err = zest("zoo", "build", write_config(here), "--out", "zoo")
    assert (code, out) == (1, "")
    assert "what is done so far is in zoo; the same command goes on from there" in err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["build", "none.py", "--out", "zoo"], "there is no file none.py; give a Python file that defines `zoo`"),
        (["build", "empty.py", "--out", "zoo"], "empty.py does not define `zoo = Zoo(...)`; see configs/zoo"),
        (["build", "zoo.py", "--out", "empty.py"], "--out empty.py is a file; name a folder"),
        (["build", "zoo.py", "--out", "zoo", "--jobs", "0"], "0; give at least 1"),
        (["build", "zoo.py", "--out", "zoo", "--only", "lion"], "zoo 'tiny' has no model 'lion'; it has victim"),
        (["list", "nowhere"], "there is no folder nowhere; build a zoo with `zest zoo build`"),
        (["list", "."], "build the zoo first"),
    ],
)
def test_mistakes_are_explained(zest, here, command, message):
    write_config(here)
    (here / "empty.py").write_text("")
    code, out, err = zest("zoo", *command)
    assert code in (1, 2), err
    assert out == ""
    assert message in " ".join(err.split()), err
    assert "Traceback" not in err
    assert not (here / "zoo").exists()
