"""`zest report`, and the figures of `zest screen`."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zest_jax as zj
from tests.report.making import undraw
from zest_jax.screening import Store

pytest.importorskip("jinja2")
pytest.importorskip("lance")


@pytest.fixture
def undrawn(monkeypatch):
    """Without the pictures, which take longest."""
    undraw(monkeypatch)


@pytest.fixture
def store(zest, session, here):
    """The golden models, and others of random weights."""
    victim = zj.Signature.load(session.signatures["victim"])
    for i in range(3):
        weights = np.random.default_rng(i).normal(0, 1, victim.weights.shape).astype(np.float32)
        dataclasses.replace(victim, label=f"u{i}", weights=weights).save(f"u{i}.sig")
    others = [session.signatures["victim"], session.signatures["unrelated"]]
    assert zest("store", "add", "models.store", *others, *sorted(here.glob("u*.sig")), "--owner", "us")[0] == 0
    return "models.store"


def words_of(path: str) -> str:
    """The page without its tags."""
    html = Path(path).read_text(encoding="utf-8")
    return " ".join(re.sub("<style>.*?</style>|<[^>]*>", " ", html, flags=re.S).split())


def test_report_on_a_suspect_says_what_screen_says(zest, session, store):
    suspect = session.signatures["victim_epoch3"]
    how = ["--store", store, "--unrelated", "u0", "u1", "u2"]
    code, out, err = zest("report", suspect, *how, "--probes", session.probes, "--references", "2", "-o", "r.html")
    assert (code, out) == (0, "")
    assert "wrote r.html, and 5 pictures into r_files" in err
    found = json.loads(zest("screen", suspect, *how, "--json")[1])
    words = words_of("r.html")
    assert found["verdict"]["text"] in words.replace("&#39;", "'")
    for near in found["nearest"]:
        assert f"{near['name']} {near['distance']:.4f} {near['interval'][0]:.4f} to {near['interval'][1]:.4f}" in words
    assert "victim_epoch3 compared with 5 models of models.store" in words
    assert zj.ProbeSet.load(session.probes).hash in words
    assert "Of 4 references 2 are drawn" in words
    for name in ("heat-map", "family-tree", "distances-by-reference"):
        with Image.open(f"r_files/{name}.png") as picture:
            assert min(picture.size) > 150


def test_the_same_inputs_and_date_give_the_same_page(undrawn, zest, session, store):
    for name in ("a.html", "b.html"):
        how = ["--store", store, "--made", "2024-05-01", "--no-pictures", "-o", name]
        code, _, err = zest("report", session.signatures["victim"], *how)
        assert code == 0
        assert err.endswith(f"wrote {name}\n")
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()
    assert "Made on 2024-05-01" in words_of("a.html")
    assert not Path("a_files").exists()
    assert "There is no verdict: no unrelated models were given" in words_of("a.html")
    assert "The distance to victim is 0: the suspect has the very same weights" in words_of("a.html")


def test_report_on_a_whole_store(zest, session, store):
    assert zest("store", "add", store, session.signatures["victim_epoch3"])[0] == 0
    code, _, err = zest("report", "--store", store, "--threshold", "0.4", "--top", "2", "-o", "zoo.html")
    assert code == 0
    assert "wrote zoo.html, and 2 pictures into zoo_files" in err
    words = words_of("zoo.html")
    assert "1 family among 6 models" in words
    assert "Families are cut at a distance of 0.4000 (as given)" in words
    assert "The 2 pairs with the smallest distances" in words
    code, _, err = zest("report", "--store", store, "--owner", "us", "-o", "zoo.html", "--no-pictures")
    assert code == 0
    assert "among 5 models" in words_of("zoo.html")
    assert "owner us" in words_of("zoo.html")


def test_signatures_instead_of_a_store(undrawn, zest, session, here):
    sigs = session.signatures
    code, _, err = zest("report", sigs["victim_epoch3"], "--models", sigs["victim"], sigs["unrelated"], "-o", "r.html")
    assert code == 0, err
    words = words_of("r.html")
    assert "victim_epoch3 compared with 2 models of the signatures given" in words
    assert re.search(r"1 victim 0\.\d{4}", words)
    code, _, err = zest("report", "--models", *sigs.values(), "-o", "zoo.html", "--no-pictures")
    assert code == 0, err
    assert "among 3 models" in words_of("zoo.html")


def test_a_store_of_one_model_gives_a_report_without_a_verdict(undrawn, zest, session, here):
    assert zest("store", "add", "one", session.signatures["victim"])[0] == 0
    code, _, err = zest("report", session.signatures["unrelated"], "--store", "one", "-o", "r.html")
    assert code == 0, err
    assert "a single model was compared, and no unrelated models were given" in words_of("r.html")
    code, _, err = zest("report", "--store", "one", "-o", "zoo.html")
    assert code == 1
    assert "distances among models need two or more" in err
    assert not Path("zoo.html").exists()


def test_another_number_of_classes_gets_its_reason(undrawn, zest, session, store):
    few = zj.Signature.load(session.signatures["victim"]).select_classes([5, 1, 3])
    dataclasses.replace(few, label="few").save("few.sig")
    for i in range(2):
        weights = np.random.default_rng(i).normal(0, 1, few.weights.shape).astype(np.float32)
        dataclasses.replace(few, label=f"v{i}", weights=weights).save(f"v{i}.sig")
    how = ["--store", store, "--unrelated", "v0.sig", "v1.sig", "--no-pictures", "-o", "r.html"]
    code, _, err = zest("report", "few.sig", *how)
    assert code == 0
    reason = "victim has 10 classes, and the unrelated models have 3"
    assert f"no verdict: {reason}" in " ".join(err.split())
    assert reason in words_of("r.html")


def test_wrong_use(undrawn, zest, session, store, models, here, tiny):
    sig, probes = session.signatures["victim"], session.probes
    assert zest("probes", session.pool, "-o", "other.npz", *tiny, "--seed", "1")[0] == 0
    foreign = dataclasses.replace(zj.Signature.load(sig), label="foreign", probe_hash="0" * 64)
    foreign.save("foreign.sig")
    Store.create("empty", like=zj.Signature.load(sig))
    Path("f.html").write_text("old")
    Path("file_files").write_text("x")
    to = ["-o", "f.html"]
    for arguments, expected, message in (
        ([sig, *to], 2, "give either --store or --models"),
        ([sig, "--store", store, "--models", sig, *to], 2, "give either --store or --models, not both"),
        ([sig, "--models", sig, "--owner", "us", *to], 2, "--version and filters go with --store"),
        ([sig, "--store", store, "-o", "f.png"], 2, "--output f.png does not end in .html"),
        ([sig, "--store", store, "-o", "no/f.html"], 2, "the folder no does not exist"),
        ([sig, "--store", store, "-o", "file.html"], 2, "file_files is a file"),
        ([sig, "--store", store, "--top", "0", *to], 2, "--top is 0; give at least 1"),
        ([sig, "--store", store, "--references", "0", *to], 2, "--references is 0; give at least 1"),
        ([sig, "--store", store, "--threshold", "1", *to], 2, "--threshold goes with a report of all models"),
        (["--store", store, "--threshold", "-1", *to], 2, "`--threshold` is -1.0; give a finite distance"),
        (["--store", store, "--probes", probes, *to], 2, "--probes goes with a suspect, and none is given"),
        (["--store", store, "--unrelated", "u0", *to], 2, "--unrelated goes with a suspect, and none is given"),
        ([sig, "--store", store, "--probes", "other.npz", *to], 2, "give the probe set that it was signed with"),
        ([models["victim"], "--store", store, *to], 2, "is a model, not a signature; sign it first"),
        (["foreign.sig", "--store", store, *to], 1, "a store has one probe set"),
        (["foreign.sig", "--models", sig, *to], 1, "signatures from different probe sets cannot be compared"),
        ([sig, "--store", "empty", *to], 1, "empty holds no models; add some"),
        (["--store", "empty", *to], 1, "distances among models need two"),
        ([sig, "--store", "none", *to], 2, "there is no store none"),
        (["--models", sig, *to], 2, "1 signature was given; distances among models need two or more"),
        ([sig, "--models", sig, sig, *to], 2, "two of the signatures are called 'victim'"),
        ([sig, "--store", store, "--unrelated", "u0", "u0.sig", *to], 2, "--unrelated names a model twice"),
        ([sig, "--store", store, "--owner", "nobody", *to], 1, "meets the filter (owner nobody)"),
    ):
        code, out, err = zest("report", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in " ".join(err.replace("│", "").split()), (arguments, err)
        assert "Traceback" not in err
    assert Path("f.html").read_text() == "old"
    assert not Path("f_files").exists()


def test_without_the_extra(zest, session, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = zest("report", session.signatures["victim"], "--store", store, "-o", "r.html")
    assert code == 1
    assert 'jinja2 is not installed; install it with `pip install "zest_jax[report]"`' in err
    assert not Path("r.html").exists()
    assert not Path("r_files").exists()


class TestScreenFigure:
    def test_of_all_models_and_of_a_suspect(self, zest, session, store):
        code, out, err = zest("screen", "--store", store, "--figure", "zoo.png", "--threshold", "0.4")
        assert code == 0
        assert "nearest of 10 pairs among 5 models" in out
        assert err == "drew zoo.png\n"
        suspect = ["screen", session.signatures["victim_epoch3"], "--store", store]
        code, out, err = zest(*suspect, "--figure", "near.svg", "--top", "2")
        assert code == 0
        assert "drew near.svg. Drawn are the suspect and the 2 models nearest to it, of 5 compared." in err
        with Image.open("zoo.png") as picture:
            assert min(picture.size) > 300
        assert "<svg" in Path("near.svg").read_text(encoding="utf-8")[:500]

    def test_wrong_use(self, zest, session, store):
        sig = session.signatures["victim"]
        for arguments, message in (
            (["--figure", "no/zoo.png"], "the folder no does not exist"),
            (["--figure", "zoo.txt"], "does not end in a format that can be drawn"),
            (["--threshold", "0.4"], "--threshold goes with a --figure of all models"),
            ([sig, "--figure", "zoo.png", "--threshold", "0.4"], "--threshold goes with a --figure of all models"),
        ):
            code, _, err = zest("screen", *arguments, "--store", store)
            assert code == 2
            assert message in err
        assert not list(Path().glob("zoo*"))
