"""`zest report`, and the figures of `zest screen`."""

import dataclasses
import hashlib
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
from zest_jax.screening.layout import entry_of

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
    assert (
        "victim in the store is this very signature (the suspect itself, or an identical file of that name); the next one is judged."
        in words_of("a.html")
    )
    assert zest("report", session.signatures["victim"], *how[:-1], "c.html", "--exclude", "nobody")[0] == 2


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
    assert "Signatures of all models compared" in words
    for name in ("victim", "unrelated"):
        assert (
            f"{entry_of(zj.Signature.load(sigs[name])).digest} {hashlib.sha256(sigs[name].read_bytes()).hexdigest()}"
            in words
        )
    assert "victim_epoch3 compared with 2 models of the signatures given" in words
    assert re.search(r"1 victim 0\.\d{4}", words)
    code, _, err = zest("report", "--models", *sigs.values(), "-o", "zoo.html", "--no-pictures")
    assert code == 0, err
    assert "among 3 models" in words_of("zoo.html")


def test_a_victim_and_its_copies_are_a_family_by_unrelated_models(undrawn, zest, session, store):
    victim = zj.Signature.load(session.signatures["victim"])
    noise = np.random.default_rng(5).normal(size=(3, *victim.weights.shape))
    noise *= 0.2 * np.linalg.norm(victim.weights) / np.linalg.norm(noise, axis=(1, 2), keepdims=True)
    for i in range(3):
        weights = (victim.weights + noise[i]).astype(np.float32)
        dataclasses.replace(victim, label=f"copy-{i}", weights=weights).save(f"copy-{i}.sig")
    assert zest("store", "add", "copies", session.signatures["victim"], *(f"copy-{i}.sig" for i in range(3)))[0] == 0
    code, _, err = zest("report", "--store", "copies", "-o", "zoo.html")
    assert code == 0, err
    assert "Can't tell families among 4 models" in words_of("zoo.html").replace("&#39;", "'")
    code, _, err = zest("report", "--store", "copies", "--unrelated", "u0.sig", "u1.sig", "victim", "-o", "zoo.html")
    assert code == 0, err
    words = words_of("zoo.html")
    assert "1 family among 4 models" in words
    assert "half the mean distance of the unrelated models" in words
    assert hashlib.sha256(Path("u1.sig").read_bytes()).hexdigest() in words
    figure = ["screen", "--store", "copies", "--figure", "zoo.png"]
    code, _, err = zest(*figure)
    assert "can't tell families: no pair is nearer than half the median distance" in " ".join(err.split())
    code, out, err = zest(*figure, "--unrelated", "u0.sig", "u1.sig", "--json")
    assert (code, err) == (0, "drew zoo.png\n")
    found = json.loads(out)
    distance = zj.distance(zj.Signature.load("u0.sig"), zj.Signature.load("u1.sig"))
    assert found["yardstick"] == pytest.approx(distance)
    assert [each["name"] for each in found["unrelated"]] == ["u0", "u1"]


def test_models_without_class_names_have_all_pairs_matched_greedily(undrawn, zest, session, store):
    for i in range(2):
        named = dataclasses.replace(zj.Signature.load(f"u{i}.sig"), label=f"n{i}", class_names=tuple("abcdefghij"))
        named.save(f"n{i}.sig")
    assert zest("store", "add", store, "n0.sig", "n1.sig")[0] == 0
    code, _, err = zest("report", "--store", store, "-o", "zoo.html")
    assert code == 0
    remark = "ot all models have the same class names, so all are matched greedily"
    assert f"n{remark}" in " ".join(err.split())
    assert f"N{remark}" in words_of("zoo.html")
    code, out, err = zest("screen", "--store", store, "--json")
    assert json.loads(out)["align"] == "greedy"
    assert f"n{remark}" in " ".join(err.split())


def test_pictures_of_others_stay(undrawn, zest, session, store):
    to = ["--store", store, "-o", "a.html"]
    Path("a_files").mkdir()
    Path("a_files/reference-7.png").write_bytes(b"mine")
    code, _, err = zest("report", *to)
    assert code == 2
    assert "reference-7.png was written by no report of a.html; move it away or name another page" in err
    assert not Path("a.html").exists()
    Path("a_files/reference-7.png").unlink()
    assert zest("report", *to)[0] == 0
    code, _, err = zest("report", "--store", store, "-o", "a.htm")
    assert (code, Path("a.htm").exists()) == (2, False)
    assert "a_files holds the pictures of a.html" in err
    assert zest("report", session.signatures["victim"], *to, "--no-pictures")[0] == 0
    assert not Path("a_files").exists()


def test_a_store_of_one_model_gives_a_report_without_a_verdict(undrawn, zest, session, here):
    assert zest("store", "add", "one", session.signatures["victim"])[0] == 0
    code, _, err = zest("report", session.signatures["unrelated"], "--store", "one", "-o", "r.html")
    assert code == 0, err
    assert "a single model was compared, and no unrelated models were given" in words_of("r.html")
    code, _, err = zest("report", "--store", "one", "-o", "zoo.html")
    assert code == 2
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
    dataclasses.replace(zj.Signature.load("u0.sig"), label="same").save("same.sig")
    dataclasses.replace(zj.Signature.load("u1.sig").select_classes([0, 1, 2]), label="few").save("few.sig")
    Store.create("empty", like=zj.Signature.load(sig))
    Path("f.html").write_text("old")
    Path("file_files").write_text("x")
    to = ["-o", "f.html"]
    for arguments, expected, message in (
        ([sig, *to], 2, "give either --store or --models"),
        ([sig, "--store", store, "--models", sig, *to], 2, "give either --store or --models, not both"),
        ([sig, "--models", sig, "--owner", "us", *to], 2, "--version, --exclude and filters go with --store"),
        ([sig, "--store", store, "-o", "f.png"], 2, "--output f.png does not end in .html"),
        ([sig, "--store", store, "-o", "no/f.html"], 2, "the folder no does not exist"),
        ([sig, "--store", store, "-o", "file.html"], 2, "file_files is a file"),
        ([sig, "--store", store, "--top", "0", *to], 2, "--top is 0; give at least 1"),
        ([sig, "--store", store, "--references", "0", *to], 2, "--references is 0; give at least 1"),
        ([sig, "--store", store, "--threshold", "1", *to], 2, "--threshold goes with a report of all models"),
        (["--store", store, "--threshold", "-1", *to], 2, "--threshold is -1.0; give a finite distance"),
        (["--store", store, "--threshold", "nan", *to], 2, "--threshold is nan; give a finite distance"),
        (["--store", store, "--threshold", "1", "--unrelated", "u0", *to], 2, "both say where families end"),
        (["--store", store, "--probes", probes, *to], 2, "--probes goes with a suspect, and none is given"),
        (["--store", store, "--references", "2", *to], 2, "--references goes with a suspect, and none is given"),
        (["--store", store, "--candidates", "20", *to], 2, "--candidates goes with a suspect, and none is given"),
        ([sig, "--store", store, "--references", "2", *to], 2, "--references goes with --probes"),
        ([sig, "--store", store, "--candidates", "5", *to], 2, "--candidates is 5; give at least as many as --top, 10"),
        ([sig, "--models", sig, "--candidates", "50", *to], 2, "with --models all models are compared exactly"),
        (["--store", store, "--unrelated", "u0", *to], 2, "`--unrelated` names u0 alone; a distance needs two"),
        (["--store", store, "--unrelated", "u0", "u0.sig", *to], 2, "--unrelated names a model twice"),
        (["--store", store, "--unrelated", "u0", "same.sig", *to], 2, "same has the very same weights as u0"),
        ([sig, "--store", store, "--unrelated", "u0", "same.sig", *to], 2, "same has the very same weights as u0"),
        ([sig, "--store", store, "--unrelated", "u0", "few.sig", *to], 2, "few has 3 classes and victim 10"),
        ([sig, "--store", store, "--probes", "other.npz", *to], 2, "give the probe set that it was signed with"),
        ([models["victim"], "--store", store, *to], 2, "is a model, not a signature; sign it first"),
        ([sig, "--store", store, "--unrelated", "n" * 461, *to], 2, f"no model named {'n' * 60}... in version"),
        ([sig, "--models", sig, "--unrelated", "n" * 461, *to], 2, f"{'n' * 60}... cannot be a file"),
        (["foreign.sig", "--store", store, *to], 2, "a store has one probe set"),
        (["foreign.sig", "--models", sig, *to], 2, "signatures from different probe sets cannot be compared"),
        ([sig, "--store", "empty", *to], 2, "empty holds no models; add some"),
        (["--store", "empty", *to], 2, "distances among models need two"),
        ([sig, "--store", "none", *to], 2, "there is no store none"),
        (["--models", sig, *to], 2, "1 signature was given; distances among models need two or more"),
        ([sig, "--models", sig, sig, *to], 2, "two of the signatures are called 'victim'"),
        ([sig, "--store", store, "--unrelated", "u0", "u0.sig", *to], 2, "--unrelated names a model twice"),
        ([sig, "--store", store, "--owner", "nobody", *to], 2, "meets the filter (owner nobody)"),
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
        assert err == "drew near.svg\ndrawn are the suspect and the 2 models nearest to it, of 5 compared\n"
        with Image.open("zoo.png") as picture:
            assert min(picture.size) > 300
        assert "<svg" in Path("near.svg").read_text(encoding="utf-8")[:500]

    def test_wrong_use(self, zest, session, store, monkeypatch):
        # Before the work.
        monkeypatch.setattr("zest_jax.screening.compare_all", None)
        sig = session.signatures["victim"]
        for arguments, message in (
            (["--figure", "no/zoo.png"], "the folder no does not exist"),
            (["--figure", "zoo.txt"], "does not end in a format that can be drawn"),
            (["--figure", "zoo.gif"], "choose one of png, pdf, svg"),
            (["--figure", "zoo.png", "--threshold", "-1"], "--threshold is -1.0; give a finite distance, at least 0"),
            (["--figure", "zoo.png", "--threshold", "nan"], "--threshold is nan; give a finite distance, at least 0"),
            (["--figure", "zoo.png", "--threshold", "1", "--unrelated", "u0"], "both say where families end"),
            (["--threshold", "0.4"], "--threshold goes with a --figure of all models"),
            ([sig, "--figure", "zoo.png", "--threshold", "0.4"], "--threshold goes with a --figure of all models"),
        ):
            code, _, err = zest("screen", *arguments, "--store", store)
            assert code == 2
            assert message in err
        assert not list(Path().glob("zoo*"))
