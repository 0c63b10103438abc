"""`zest distance` and `zest compare`."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

import zest_jax as zj


@pytest.fixture
def expected(session):
    return {name: zj.Signature.load(path) for name, path in session.signatures.items()}


def test_json_agrees_with_the_library(zest, session, expected):
    code, out, err = zest("distance", *session.signatures.values(), "--json", "--metric", "l2", "--align", "none")
    assert (code, err) == (0, "")
    found = json.loads(out)
    names = list(session.signatures)
    matrix = zj.distance_matrix([expected[name] for name in names], metric="l2", align="none")
    np.testing.assert_allclose(found["matrix"], matrix)
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        (names[0], names[1]), (names[0], names[2]), (names[1], names[2]),
    ]  # fmt: skip
    assert found["pairs"][0]["distance"] == matrix[0, 1]
    assert (found["metric"], found["align"]) == ("l2", "none")
    assert found["probe_hash"] == zj.ProbeSet.load(session.probes).hash
    assert [model["name"] for model in found["models"]] == names


def test_csv_has_a_line_per_pair(zest, session, expected):
    code, out, err = zest("distance", session.signatures["victim"], session.signatures["unrelated"], "--csv")
    assert (code, err) == (0, "")
    (row,) = csv.DictReader(io.StringIO(out))
    assert float(row["distance"]) == zj.distance(expected["victim"], expected["unrelated"])
    assert (row["a"], row["b"]) == ("victim", "unrelated")


def test_related_models_come_out_nearer(zest, session):
    signatures = [session.signatures[name] for name in ("victim", "victim_epoch3", "unrelated")]
    pairs = json.loads(zest("distance", *signatures, "--json")[1])["pairs"]
    assert pairs[0]["distance"] < min(pairs[1]["distance"], pairs[2]["distance"])


def test_table_of_two_and_of_three(zest, session, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = zest("distance", session.signatures["victim"], session.signatures["unrelated"])
    assert "victim" in out
    assert "cosine distance" in out
    code, out, _ = zest("distance", *session.signatures.values())
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.strip()]
    assert rows[1][-4:] == ["model", "1", "2", "3"]
    assert [row[1] for row in rows[3:]] == list(session.signatures)
    assert rows[3][2] == "-"


@pytest.mark.parametrize("n", [6, 9, 15])
def test_many_models_stay_legible_at_80_columns(zest, session, here, monkeypatch, n):
    monkeypatch.setenv("COLUMNS", "80")
    victim = zj.Signature.load(session.signatures["victim"])
    names = [f"resnet50_run_{i:02d}" for i in range(n)]
    for i, name in enumerate(names):
        import dataclasses

        noise = np.random.default_rng(i).normal(0, 1, victim.weights.shape).astype(np.float32)
        dataclasses.replace(victim, label=name, weights=victim.weights + noise).save(f"{name}.sig")
    code, out, _ = zest("distance", *sorted(here.glob("*.sig")))
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "…" not in out
    for name in names:
        assert any(name in line for line in out.splitlines())
    numbers = [word for word in out.split() if word.count(".") == 1 and word.replace(".", "").isdigit()]
    assert len(numbers) in (n * (n - 1), n * (n - 1) // 2)


def test_unrelated_models_give_relative_distance_and_verdict(zest, session, here, expected):
    import dataclasses

    paths = []
    for i in range(3):
        weights = np.random.default_rng(i).normal(0, 1, expected["victim"].weights.shape).astype(np.float32)
        dataclasses.replace(expected["victim"], label=f"other{i}", weights=weights).save(f"u{i}.sig")
        paths.append(here / f"u{i}.sig")
    pair = [session.signatures["victim"], session.signatures["victim_epoch3"]]
    code, out, err = zest("distance", *pair, "--unrelated", *paths, "--json")
    assert (code, err) == (0, "")
    (found,) = json.loads(out)["pairs"]
    everything = zj.distance_matrix([zj.Signature.load(path) for path in (*pair, *paths)])
    # The unrelated models among themselves and with the first of the pair; not with its copy too.
    unrelated = [everything[i, j] for i in (0, 2, 3, 4) for j in range(2, 5) if i < j]
    assert found["unrelated_pairs"] == len(unrelated) == 6
    assert found["relative"] == pytest.approx(everything[0, 1] / np.mean(unrelated))
    judged = zj.verdict(everything[0, 1], unrelated)
    assert (found["related"], found["verdict"]) == (True, judged.text)
    assert found["bound"] == pytest.approx(judged.bound)

    # An unrelated model may be among those compared; its own pair is then left out of the yardstick.
    code, out, _ = zest("distance", pair[0], paths[0], "--unrelated", *paths, "--json")
    (found,) = json.loads(out)["pairs"]
    assert code == 0
    assert found["unrelated_pairs"] == 5
    assert found["related"] is not True

    code, out, _ = zest("distance", *pair, "--unrelated", *paths)
    assert code == 0
    assert "related" in out.split()
    code, out, _ = zest("distance", *pair, "--unrelated", *paths, "--csv")
    assert next(csv.DictReader(io.StringIO(out)))["related"] == "true"


def test_too_few_unrelated_pairs_are_not_judged(zest, session):
    v, e, u = (session.signatures[name] for name in ("victim", "victim_epoch3", "unrelated"))
    code, out, _ = zest("distance", v, u, "--unrelated", u, "--json")
    assert code == 0
    (found,) = json.loads(out)["pairs"]
    assert (found["relative"], found["related"], found["unrelated_pairs"]) == (None, None, 0)
    code, out, err = zest("distance", v, e, "--unrelated", u)
    assert code == 0
    assert "can't tell" in err or "related" in out


def test_a_distance_without_a_yardstick_is_said_to_tell_nothing(zest, session, models, normalise):
    pair = [session.signatures["victim"], session.signatures["unrelated"]]
    _, _, err = zest("distance", *pair)
    assert "nothing tells whether this is near; name unrelated models with --unrelated" in err
    assert zest("distance", *pair, "--json")[2] == ""
    _, _, err = zest("compare", models["victim"], models["unrelated"], "--probes", session.probes, *normalise)
    assert " ".join(err.split()).count("sign unrelated models too, and give all to `zest distance --unrelated`") == 1
    again = zest("compare", models["victim"], models["unrelated"], "--probes", session.probes, *normalise, "--json")
    assert "nothing tells" not in again[2]


def test_an_unrelated_model_counts_once_and_is_told_where_it_is_judged(zest, session, here):
    victim, other, third = (session.signatures[name] for name in ("victim", "unrelated", "victim_epoch3"))
    shutil.copy(other, "copy.sig")
    for twice in ([other, other], [other, "copy.sig"]):
        code, out, err = zest("distance", victim, third, "--unrelated", *twice)
        assert (code, out) == (2, "")
        assert "--unrelated names a model twice" in err
    code, _, err = zest("distance", victim, other, "--unrelated", other, third)
    assert code == 0
    assert "is judged and named as unrelated: its verdict says how an unrelated model would be judged" in " ".join(
        err.split()
    )


def test_inputs_that_were_given_in_other_forms_are_told(zest, session, here, models, normalise):
    how = ["--value-range", "0,255", "--no-check", "-o", "raw.sig"]
    assert zest("sign", models["victim"], "--probes", session.probes, *how)[0] == 0
    _, _, err = zest("distance", session.signatures["victim"], "raw.sig")
    told = " ".join(err.split())
    assert "inputs were given in different forms, which is right only if the models were trained so:" in told
    assert "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225" in told
    assert "raw: values 0 to 255" in told
    assert "different forms" not in zest("distance", *session.signatures.values())[2]


def test_same_labels_are_told_apart_by_file(zest, session, here):
    shutil.copy(session.signatures["victim"], "copy.sig")
    _, out, _ = zest("distance", session.signatures["victim"], "copy.sig", "--json")
    found = json.loads(out)
    assert [model["name"] for model in found["models"]] == ["victim", "copy"]
    assert found["pairs"][0]["distance"] == pytest.approx(0, abs=1e-6)


def test_different_probe_sets_are_refused_with_both_hashes(zest, session, here, models, normalise, tiny):
    assert zest("probes", session.pool, "-o", "other.npz", *tiny, "--seed", "1")[0] == 0
    assert zest("sign", models["victim"], "--probes", "other.npz", "-o", "other.sig", *normalise)[0] == 0
    code, out, err = zest("distance", session.signatures["victim"], "other.sig")
    assert (code, out) == (2, "")
    assert zj.ProbeSet.load(session.probes).hash[:16] in err
    assert zj.ProbeSet.load("other.npz").hash[:16] in err


def test_wrong_files_and_contradictions(zest, session, here, models):
    sig = session.signatures["victim"]
    (here / "cut.sig").write_bytes(sig.read_bytes()[:700])
    (here / "text.sig").write_text("hello, this is not a signature")
    for arguments, expected, message in (
        ([sig], 2, "a distance needs two or more"),
        ([sig, sig, "--json", "--csv"], 2, "--json and --csv contradict each other"),
        ([sig, session.probes], 2, "is a probe set, not a signature"),
        ([sig, models["victim"]], 2, "is a model, not a signature; sign it first: `zest sign"),
        ([sig, "none.sig"], 2, "there is no file none.sig"),
        ([sig, here], 2, "is a folder"),
        ([sig, "cut.sig"], 1, "cut.sig is not a signature, or is truncated"),
        ([sig, "text.sig"], 2, "text.sig is not a signature"),
    ):
        code, out, err = zest("distance", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err


def test_compare_agrees_with_sign_and_distance(zest, session, models, normalise, expected):
    pair = [models["victim"], models["unrelated"]]
    code, out, _ = zest("compare", *pair, "--probes", session.probes, *normalise, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["distance"] == pytest.approx(zj.distance(expected["victim"], expected["unrelated"]), rel=1e-3)
    assert [model["label"] for model in found["models"]] == ["victim", "unrelated"]
    code, out, err = zest("compare", *pair, "--probes", session.probes, *normalise)
    assert code == 0
    assert f"cosine distance {found['distance']:.4f}" in out
    assert "layout NCHW" in " ".join(out.split())
    assert "signing 2 models" in err


def test_compare_makes_probes_on_the_way(zest, session, here, models, normalise, tiny):
    pair = [models["victim"], models["victim"]]
    code, out, err = zest("compare", *pair, "--images", session.pool, *tiny, *normalise)
    assert code == 0
    assert "made ProbeSet(4 references" in err
    assert "cosine distance 0.0000" in out
    assert list(here.iterdir()) == []


def test_compare_needs_probes_or_images(zest, session, models):
    pair = [models["victim"], models["unrelated"]]
    for arguments in ([], ["--probes", session.probes, "--images", session.pool]):
        code, _, err = zest("compare", *pair, *arguments)
        assert code == 2
        assert "give either --probes FILE or --inputs SOURCE" in err
    code, _, err = zest("compare", pair[0], session.signatures["victim"], "--probes", session.probes)
    assert code == 2
    assert "is a signature, not a model" in err


def test_poor_fits_are_warned_about(zest, session, models):
    # Without normalisation the golden models see washed-out images, and answer accordingly.
    (victim, unrelated) = (models["victim"], models["unrelated"])
    code, _, err = zest("compare", victim, unrelated, "--probes", session.probes)
    assert code == 0
    assert ("linear explanations hardly fit" in err) == (
        zj_r2(session, victim) < 0.1 or zj_r2(session, unrelated) < 0.1
    )


def zj_r2(session, model):
    return zj.sign(zj.load_model(model), zj.ProbeSet.load(session.probes)).mean_r2()
