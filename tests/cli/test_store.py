"""`zest store`."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import zest_jax as zj

lance = pytest.importorskip("lance")


def test_list(zest, session, store):
    code, out, err = zest("store", "list", store)
    assert code == 0
    assert all(name in out for name in session.signatures)
    assert "3 of 3 models; version 2; probe set" in err
    found = json.loads(zest("store", "list", store, "--json")[1])
    assert [each["name"] for each in found["models"]] == list(session.signatures)
    assert {each["data"] for each in found["models"]} == {"cifar10"}
    assert found["probe_hash"] == zj.ProbeSet.load(session.probes).hash
    assert json.loads(zest("store", "list", store, "--json", "--since", "2999-01-01")[1])["models"] == []
    assert json.loads(zest("store", "list", store, "--json", "--version", "1")[1])["models"] == []
    assert [line.split()[0] for line in zest("store", "list", store, "--versions")[1].splitlines()] == ["1", "2"]
    assert [each["version"] for each in json.loads(zest("store", "list", store, "--versions", "--json")[1])] == [
        1,
        2,
    ]


def test_adding_again_goes_on(zest, session, store):
    files = list(session.signatures.values())
    code, _, err = zest("store", "add", store, *files)
    assert code == 0
    assert "added 0 to models.store, 3 were there already; it holds 3 models (version 2)" in err
    other = dataclasses.replace(zj.Signature.load(files[0]), label="other")
    other.save("other.sig")
    code, _, err = zest("store", "add", store, *files, "other.sig")
    assert code == 0
    assert "added 1 to models.store, 3 were there already" in err


def test_many_are_added_in_groups(zest, session, here, monkeypatch):
    monkeypatch.setattr("zest_jax.cli.store.GROUP", 2)
    victim = zj.Signature.load(session.signatures["victim"])
    for i in range(5):
        dataclasses.replace(victim, label=f"m{i}").save(f"m{i}.sig")
    dataclasses.replace(victim, label="bad", probe_hash="0" * 64).save("z.sig")
    code, _, err = zest("store", "add", "s", *sorted(here.glob("*.sig")))
    assert code == 2
    assert "4 signatures were added before; the same command goes on after them" in err
    assert "a store has one probe set" in err
    Path("z.sig").unlink()
    code, _, err = zest("store", "add", "s", *sorted(here.glob("*.sig")))
    assert code == 0
    assert "added 1 to s, 4 were there already; it holds 5 models" in err


def test_names_come_from_labels_or_files(zest, session, here):
    signature = zj.Signature.load(session.signatures["victim"])
    signature.save("a.sig")
    signature.save("b.sig")
    code, _, err = zest("store", "add", "s", "a.sig", "b.sig")
    assert code == 2
    assert "a.sig and b.sig are both called 'victim'" in err
    assert not Path("s").exists()
    assert zest("store", "add", "s", "a.sig", "b.sig", "--names", "file")[0] == 0
    assert [e["name"] for e in json.loads(zest("store", "list", "s", "--json")[1])["models"]] == ["a", "b"]


def test_remove_and_export_from_before(zest, session, store, here):
    code, _, err = zest("store", "remove", store, "victim", "nobody")
    assert code == 2
    assert "no model named nobody" in err
    code, _, err = zest("store", "remove", store, "victim")
    assert code == 0
    assert "removed 1 from models.store; it holds 2 models; version 2 keeps the removed ones" in err
    assert zest("store", "export", store, "victim", "-o", "out")[0] == 2
    assert zest("store", "export", store, "victim", "-o", "out", "--version", "2")[0] == 0
    exported, original = zj.Signature.load("out/victim.sig"), zj.Signature.load(session.signatures["victim"])
    np.testing.assert_array_equal(exported.weights, original.weights)
    assert exported.settings == original.settings


def test_export_never_overwrites(zest, session, store, here):
    code, _, err = zest("store", "export", store, "-o", "out", "--owner", "us")
    assert code == 0
    assert "wrote 3 signatures to out" in err
    assert zest("store", "export", store, "-o", "out")[2].endswith("wrote 0 signatures to out, 3 were there already\n")
    Path("out/victim.sig").write_bytes(session.signatures["unrelated"].read_bytes())
    code, _, err = zest("store", "export", store, "-o", "out")
    assert code == 2
    assert "out/victim.sig exists and holds something else" in err
    assert Path("out/victim.sig").read_bytes() == session.signatures["unrelated"].read_bytes()
    for arguments, message in (
        (["victim", "--owner", "us"], "name models, or give a filter; not both"),
        (["--owner", "nobody"], "meets the filter (owner nobody); nothing to export"),
    ):
        code, _, err = zest("store", "export", store, *arguments, "-o", "out2")
        assert code == 2
        assert message in err


def test_any_name_becomes_a_file(zest, session, here):
    label = '../runs/Großer "Hund": 50%'
    dataclasses.replace(zj.Signature.load(session.signatures["victim"]), label=label).save("x.sig")
    assert zest("store", "add", "s", "x.sig")[0] == 0
    assert zest("store", "export", "s", "-o", "out")[0] == 0
    (path,) = Path("out").iterdir()
    assert zj.Signature.load(path).label == label


def test_verify(zest, session, store):
    code, out, err = zest("store", "verify", store)
    assert (code, out) == (0, "")
    said = " ".join(err.split())
    assert "models.store: the signatures of all 3 models are as they were added" in said
    assert "architecture, data, owner and dates are as noted (version 2)" in said
    lance.dataset(store).update({"digest": "'" + "0" * 64 + "'"}, where="name = 'victim'")
    code, out, err = zest("store", "verify", store)
    assert code == 1
    assert out.startswith("victim: the signature of victim in the store models.store is not what was added")
    assert "1 of the models of models.store is damaged" in err
    code, out, _ = zest("store", "verify", store, "--json")
    assert (code, [each["name"] for each in json.loads(out)["problems"]]) == (1, ["victim"])
    assert zest("store", "verify", store, "--version", "2")[0] == 0


def test_a_damaged_store_is_not_made_anew(zest, session, store, here):
    Path(store, "_versions").rename("lost")
    for arguments in (["add", store, session.signatures["victim"]], ["list", store]):
        code, out, err = zest("store", *arguments)
        assert (code, out) == (1, "")
        assert "is damaged: data/ holds 1 files of models" in " ".join(err.split())
    assert not Path(store, "_versions").exists()


def test_compact(zest, store, session):
    dataclasses.replace(zj.Signature.load(session.signatures["victim"]), label="one more").save("one.sig")
    assert zest("store", "add", store, "one.sig")[0] == 0
    code, _, err = zest("store", "compact", store)
    assert code == 0
    assert "put 2 files together; models.store has 1" in err


def test_wrong_use(zest, session, here):
    Path("file").write_text("x")
    Path("full").mkdir()
    Path("full/notes").write_text("x")
    sig = session.signatures["victim"]
    for arguments, expected, message in (
        (["list", "none"], 2, "there is no store none; make one with `zest store add none MODEL.sig ...`"),
        (["verify", "file"], 2, "file is a file, not a store"),
        (["list", "full"], 2, "full is a folder, but no store of signatures"),
        (["add", "full", sig], 2, "full is a folder that holds other files (notes)"),
        (["add", "s", "none.sig"], 2, "there is no file none.sig"),
        (["add", "s", session.probes], 2, "is a probe set, not a signature"),
        (["add", "s", sig, "--owner", ""], 2, "`--owner` is ''; give 1 to 200 printable characters"),
        (["add", "s", sig, "--date", "2024-13-01"], 2, "'2024-13-01' is not YYYY-MM-DD"),
    ):
        code, out, err = zest("store", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in " ".join(err.replace("│", "").split()), (arguments, err)
    assert not Path("s").exists()


def test_what_cannot_be_added_makes_no_store(zest, session, here):
    victim = zj.Signature.load(session.signatures["victim"])
    dataclasses.replace(victim, label="a" * 461).save("long.sig")
    dataclasses.replace(victim, label="a\x1b[31m").save("control.sig")
    dataclasses.replace(victim, label="other", probe_hash="1" * 64).save("other.sig")
    sig = session.signatures["victim"]
    for arguments, expected, message in (
        (["long.sig"], 2, "long.sig cannot be added: its label is 'aaaa"),
        (
            [sig, "control.sig"],
            2,
            r"control.sig cannot be added: its label is 'a\x1b[31m'; give 1 to 200 printable",
        ),
        ([sig, "other.sig"], 2, "other was signed with probe set 1111111111111111, the store s holds"),
    ):
        code, out, err = zest("store", "add", "s", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in " ".join(err.split()), (arguments, err)
        assert not Path("s").exists()
    code, _, err = zest("store", "add", "s", "long.sig", "--names", "file")
    assert code == 0
    assert "added 1 to s; it holds 1 model (version 2)" in err


def test_without_the_extra(zest, session, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "lance", None)
    code, _, err = zest("store", "add", "s", session.signatures["victim"])
    assert code == 1
    assert 'pylance is not installed; install it with `pip install "zest_jax[store]"`' in err
