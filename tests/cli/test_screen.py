"""`zest screen`: the nearest models of a store, and what they say of a suspect."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

import zest_jax as zj
from zest_jax.screening.layout import entry_of

pytest.importorskip("lance")


def test_a_model_of_the_store_is_told_first(zest, session, store, here):
    victim = zj.Signature.load(session.signatures["victim"])
    code, out, _ = zest("screen", session.signatures["victim"], "--store", store)
    assert code == 0
    assert out.startswith(
        "victim in the store is this very signature (the suspect itself, or an identical file of that name); the next one is judged\n"
    )
    weights = victim.weights + np.float32(0.01)
    dataclasses.replace(victim, label="mine", weights=weights).save("mine.sig")
    code, out, _ = zest("screen", "mine.sig", "--store", store)
    assert out.startswith("A model of the same file is in the store as victim: the SHA-256 of the files are equal.")
    for i in range(2):
        weights = np.random.default_rng(i).normal(0, 1, victim.weights.shape).astype(np.float32)
        dataclasses.replace(victim, label=f"u{i}", weights=weights).save(f"u{i}.sig")
    known = ["--unrelated", "u0.sig", "u1.sig"]
    _, out, _ = zest("screen", "mine.sig", "--store", store, *known)
    assert "by the distance alone: nearest: victim" in out
    found = json.loads(zest("screen", "mine.sig", "--store", store, *known, "--json")[1])
    assert found["same"] == {"kind": "file", "names": ["victim"]}
    assert found["nearest"][0]["relative"] == pytest.approx(found["nearest"][0]["distance"] / found["yardstick"])
    found = json.loads(zest("screen", session.signatures["victim_epoch3"], "--store", store, "--json")[1])
    assert found["itself"] == ["victim_epoch3"]
    assert found["same"] == {"kind": "signature", "names": ["victim_epoch3"]}
    # Where there is no other model, it is what is told of.
    assert zest("store", "add", "one.store", session.signatures["victim"])[0] == 0
    _, out, _ = zest("screen", session.signatures["victim"], "--store", "one.store")
    assert out.startswith("This very signature is in the store as victim: the SHA-256 are equal.")


def test_a_model_of_the_store_is_not_compared_with_itself(zest, session, store):
    found = json.loads(zest("screen", session.signatures["victim"], "--store", store, "--json")[1])
    assert {each["name"] for each in found["nearest"]} == {"victim_epoch3", "unrelated"}
    assert found["compared"] == 2


def test_models_are_left_out_by_name(zest, session, store):
    command = ["screen", session.signatures["victim"], "--store", store, "--json", "--exclude"]
    code, out, _ = zest(*command, "victim_epoch3")
    found = json.loads(out)
    assert code == 0
    assert ([each["name"] for each in found["nearest"]], found["compared"]) == (["unrelated"], 1)
    assert found["filter"] == "without victim_epoch3"
    code, out, err = zest(*command, "victim_epoch4")
    assert (code, out) == (2, "")
    assert "`--exclude` names victim_epoch4, and models.store has no such model in version 2" in err
    code, out, _ = zest("screen", "--store", store, "--json", "--exclude", "victim")
    assert [{pair["a"], pair["b"]} for pair in json.loads(out)["nearest"]] == [{"victim_epoch3", "unrelated"}]


def test_nearest_first(zest, session, store):
    code, out, err = zest("screen", session.signatures["victim"], "--store", store, "--json", "--top", "2")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [each["name"] for each in found["nearest"]] == ["victim_epoch3", "unrelated"]
    victim, other = (zj.Signature.load(session.signatures[name]) for name in ("victim", "victim_epoch3"))
    assert found["nearest"][0]["distance"] == pytest.approx(zj.distance(victim, other), abs=1e-9)
    assert (found["compared"], found["exact"], found["suspect"]) == (2, 2, "victim")


def test_table_and_csv(zest, session, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # so that no name is folded
    code, out, _ = zest("screen", session.signatures["victim"], "--store", store)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.strip()]
    assert [row[1] for row in rows[-3:-1]] == ["victim_epoch3", "unrelated"]
    assert "cosine distances from victim; 2 models compared, 2 exactly" in out
    _, out, _ = zest("screen", session.signatures["victim"], "--store", store, "--csv", "--all")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["name"] for row in rows] == ["victim_epoch3", "unrelated"]
    assert rows[0]["owner"] == "us"
    assert float(rows[0]["low"]) < float(rows[0]["distance"]) < float(rows[0]["high"])
    assert rows[1]["relative"] == "", "there are no unrelated models"


def test_pairs_of_the_store(zest, session, store):
    code, out, _ = zest("screen", "--store", store, "--json")
    assert code == 0
    found = json.loads(out)
    signatures = [zj.Signature.load(path) for path in session.signatures.values()]
    np.testing.assert_allclose(found["matrix"], zj.distance_matrix(signatures), atol=1e-9)
    assert {found["nearest"][0]["a"], found["nearest"][0]["b"]} == {"victim", "victim_epoch3"}
    assert len(found["nearest"]) == 3
    _, out, _ = zest("screen", "--store", store, "--top", "1")
    assert "nearest of 3 pairs among 3 models" in out
    assert "unrelated" not in out
    assert len(zest("screen", "--store", store, "--csv")[1].splitlines()) == 4


def test_a_model_is_signed_first(zest, session, store, models, normalise):
    how = ["--store", store, "--probes", session.probes, *normalise, "--json"]
    code, out, err = zest("screen", models["victim"], *how)
    assert code == 0, err
    found = json.loads(out)
    # Signed again it is the very same signature, or one that differs by rounding.
    nearest = found["nearest"][0]
    assert found["itself"] == ["victim"] or (nearest["name"] == "victim" and nearest["distance"] < 1e-6)


def test_a_single_model_says_nothing(zest, session, here):
    assert zest("store", "add", "s", session.signatures["victim"])[0] == 0
    code, out, err = zest("screen", session.signatures["unrelated"], "--store", "s")
    assert code == 0
    assert "1 model compared" in out
    assert "nothing tells whether this is near; name unrelated models with --unrelated" in err
    victim = zj.Signature.load(session.signatures["victim"])
    for i in range(3):
        weights = np.random.default_rng(i).normal(0, 1, victim.weights.shape).astype(np.float32)
        dataclasses.replace(victim, label=f"u{i}", weights=weights).save(f"u{i}.sig")
    known = ["--unrelated", "u0.sig", "u1.sig", "u2.sig"]
    code, out, err = zest("screen", session.signatures["victim_epoch3"], "--store", "s", *known)
    assert code == 0
    assert "1 model compared needs 19 unrelated pairs" in out
    assert "nothing tells" not in err
    code, _, err = zest("screen", "--store", "s")
    assert code == 2
    assert "distances among models need two or more" in err


def test_another_number_of_classes(zest, session, store, here):
    zj.Signature.load(session.signatures["victim"]).select_classes([5, 1, 3]).save("few.sig")
    code, out, _ = zest("screen", "few.sig", "--store", store, "--json")
    assert code == 0
    found = json.loads(out)["nearest"]
    assert found[0]["name"] == "victim"
    assert found[0]["distance"] == pytest.approx(0, abs=1e-9)


def test_models_without_a_distance_are_left_out_and_named(zest, session, store, here):
    victim = zj.Signature.load(session.signatures["victim"])
    one = dataclasses.replace(victim.select_classes([0]), label="one")
    weights = np.zeros((len(victim.weights), 2), np.float32)
    weights[:, 1] = -one.weights[:, 0]
    dataclasses.replace(victim.select_classes([0, 1]), label="empty", weights=weights).save("empty.sig")
    one.save("one.sig")
    assert zest("store", "add", store, "one.sig", "empty.sig")[0] == 0
    code, out, err = zest("screen", "one.sig", "--store", store, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["undefined"], found["compared"], len(found["nearest"])) == (["empty"], 4, 3)
    assert "1 model has no distance, since the classes that match carry no weights: empty" in " ".join(err.split())
    code, out, err = zest("screen", "--store", store, "--csv")
    assert (code, len(out.splitlines())) == (0, 10)
    assert "1 pair has no distance, since the classes that match carry no weights" in " ".join(err.split())
    assert json.loads(zest("screen", "--store", store, "--json")[1])["matrix"][3][4] is None


def test_a_nearest_model_of_other_classes_gets_no_verdict(zest, session, store, here):
    victim = zj.Signature.load(session.signatures["victim"])
    few = dataclasses.replace(victim.select_classes([5, 1, 3]), label="few")
    few.save("few.sig")
    for i in range(2):
        weights = np.random.default_rng(i).normal(0, 1, few.weights.shape).astype(np.float32)
        dataclasses.replace(few, label=f"u{i}", weights=weights).save(f"u{i}.sig")
    code, out, err = zest("screen", "few.sig", "--store", store, "--json", "--unrelated", "u0.sig", "u1.sig")
    assert code == 0
    found = json.loads(out)
    assert (found["nearest"][0]["name"], found["verdict"]) == ("victim", None)
    assert "no verdict: victim has 10 classes, and the unrelated models have 3" in " ".join(err.split())


def test_wrong_use(zest, session, store, models, here, tiny):
    sig = session.signatures["victim"]
    assert zest("probes", session.pool, "-o", "other.npz", *tiny, "--seed", "1")[0] == 0
    for arguments, expected, message in (
        ([sig, "--store", "none"], 2, "there is no store none"),
        ([sig, "--store", store, "--json", "--csv"], 2, "--json and --csv contradict each other"),
        ([sig, "--store", store, "--top", "0"], 2, "--top is 0"),
        ([sig, "--store", store, "--candidates", "5"], 2, "--candidates is 5; give at least as many as --top, 10"),
        ([sig, "--store", store, "--candidates", "50", "--all"], 2, "with --all all models are compared exactly"),
        (["--store", store, "--candidates", "50"], 2, "--candidates goes with a suspect, and none is given"),
        (["--store", store, "--unrelated", "victim"], 2, "--unrelated goes with a suspect or a --figure"),
        (
            [sig, "--store", store, "--owner", "nobody"],
            2,
            "no model of models.store meets the filter (owner nobody)",
        ),
        ([sig, "--store", store, "--probes", session.probes], 2, "is a signature already; leave --probes out"),
        ([models["victim"], "--store", store], 2, "is a model, not a signature; sign it first"),
        ([models["victim"], "--store", store, "--probes", "other.npz"], 2, "give the probe set of the store"),
        (["--store", store, "--probes", session.probes], 2, "--probes goes with a suspect, and none is given"),
        ([sig, "--store", store, "--version", "9"], 2, "models.store has no version 9; it has versions 1 to 2"),
    ):
        code, out, err = zest("screen", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err, (arguments, err)


def test_many_files_are_noted(zest, session, store, monkeypatch):
    monkeypatch.setattr("zest_jax.cli.screen.MANY_FILES", 0)
    _, _, err = zest("screen", session.signatures["victim"], "--store", store)
    assert "models.store consists of 1 files, which slows the search; `zest store compact` helps" in err


def test_a_verdict_against_unrelated_models(zest, session, store, here):
    victim = zj.Signature.load(session.signatures["victim"])
    paths = []
    for i in range(11):
        weights = np.random.default_rng(i).normal(0, 1, victim.weights.shape).astype(np.float32)
        dataclasses.replace(victim, label=f"u{i}", weights=weights).save(f"u{i}.sig")
        paths.append(f"u{i}.sig")
    suspect = session.signatures["victim_epoch3"]
    assert zest("store", "remove", store, "victim_epoch3")[0] == 0
    assert zest("store", "add", store, *paths[:1])[0] == 0
    known = ["u0", *paths[1:]]  # one by its name in the store
    code, out, _ = zest("screen", suspect, "--store", store, "--json", "--unrelated", *known)
    assert code == 0
    found = json.loads(out)
    assert [each["name"] for each in found["unrelated"]] == [f"u{i}" for i in range(11)]
    assert len({each["digest"] for each in found["unrelated"]}) == 11
    assert found["digest"] == entry_of(zj.Signature.load(suspect)).digest
    assert found["intervals"] == {"level": 0.95, "resamples": 1000, "seed": 0}
    assert (found["candidates"], found["verdict"]["alpha"], found["no_verdict"]) == (200, 0.05, None)
    nearest, verdict = found["nearest"][0], found["verdict"]
    assert verdict["relative"] == pytest.approx(nearest["distance"] / found["yardstick"])
    assert nearest["name"] == "victim"
    assert nearest["interval"][0] < nearest["distance"] < nearest["interval"][1]
    assert (verdict["unrelated"], verdict["related"]) == (66, True)
    assert verdict["p_value"] == pytest.approx(3 / 67)
    code, out, _ = zest("screen", suspect, "--store", store, "--unrelated", *known)
    assert "nearest: victim, relative distance" in " ".join(out.split())
    assert (
        "of 66 unrelated pairs none is as near (a rate of 0 to 0.054, 95%): p at most 0.045 for 3 models compared. Related."
    ) in " ".join(out.split())
    code, out, _ = zest("screen", suspect, "--store", store, "--unrelated", *known[:4])
    assert code == 0
    assert "3 models compared need 59 unrelated pairs to tell that from chance: can't tell." in " ".join(out.split())
    # A suspect without class names can be matched greedily only, so all are.
    dataclasses.replace(zj.Signature.load(suspect), class_names=None).save("remote.sig")
    code, out, err = zest("screen", "remote.sig", "--store", store, "--json", "--unrelated", *known)
    assert code == 0
    found = json.loads(out)
    assert (found["align"], found["verdict"]["related"], err) == ("greedy", True, "")
    dataclasses.replace(victim.select_classes([5, 1, 3]), label="few").save("few.sig")
    for arguments, message in (
        (["u0", "u0.sig"], "--unrelated names a model twice"),
        (["victim"], "`--unrelated` gives no pair besides the one to be judged"),
        (["nobody"], "no model named nobody"),
        (["few.sig"], "few has 3 classes and victim_epoch3"),
    ):
        code, _, err = zest("screen", suspect, "--store", store, "--unrelated", *arguments)
        assert code == 2
        assert message in err
