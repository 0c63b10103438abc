"""`zest store` and `zest screen`."""

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import zest_jax as zj
from zest_jax.screening.layout import entry_of

lance = pytest.importorskip("lance")


@pytest.fixture
def store(zest, session, here):
    code, out, err = zest(
        "store", "add", "models.store", *session.signatures.values(), "--data", "cifar10", "--owner", "us"
    )
    assert (code, out) == (0, "")
    assert "added 3 to models.store; it holds 3 models (version 2)" in err
    return "models.store"


class TestStore:
    def test_list(self, zest, session, store):
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

    def test_adding_again_goes_on(self, zest, session, store):
        files = list(session.signatures.values())
        code, _, err = zest("store", "add", store, *files)
        assert code == 0
        assert "added 0 to models.store, 3 were there already; it holds 3 models (version 2)" in err
        other = dataclasses.replace(zj.Signature.load(files[0]), label="other")
        other.save("other.sig")
        code, _, err = zest("store", "add", store, *files, "other.sig")
        assert code == 0
        assert "added 1 to models.store, 3 were there already" in err

    def test_many_are_added_in_groups(self, zest, session, here, monkeypatch):
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

    def test_names_come_from_labels_or_files(self, zest, session, here):
        signature = zj.Signature.load(session.signatures["victim"])
        signature.save("a.sig")
        signature.save("b.sig")
        code, _, err = zest("store", "add", "s", "a.sig", "b.sig")
        assert code == 2
        assert "a.sig and b.sig are both called 'victim'" in err
        assert not Path("s").exists()
        assert zest("store", "add", "s", "a.sig", "b.sig", "--names", "file")[0] == 0
        assert [e["name"] for e in json.loads(zest("store", "list", "s", "--json")[1])["models"]] == ["a", "b"]

    def test_remove_and_export_from_before(self, zest, session, store, here):
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

    def test_export_never_overwrites(self, zest, session, store, here):
        code, _, err = zest("store", "export", store, "-o", "out", "--owner", "us")
        assert code == 0
        assert "wrote 3 signatures to out" in err
        assert zest("store", "export", store, "-o", "out")[2].endswith(
            "wrote 0 signatures to out, 3 were there already\n"
        )
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

    def test_any_name_becomes_a_file(self, zest, session, here):
        label = '../runs/Großer "Hund": 50%'
        dataclasses.replace(zj.Signature.load(session.signatures["victim"]), label=label).save("x.sig")
        assert zest("store", "add", "s", "x.sig")[0] == 0
        assert zest("store", "export", "s", "-o", "out")[0] == 0
        (path,) = Path("out").iterdir()
        assert zj.Signature.load(path).label == label

    def test_verify(self, zest, session, store):
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

    def test_a_damaged_store_is_not_made_anew(self, zest, session, store, here):
        Path(store, "_versions").rename("lost")
        for arguments in (["add", store, session.signatures["victim"]], ["list", store]):
            code, out, err = zest("store", *arguments)
            assert (code, out) == (1, "")
            assert "is damaged: data/ holds 1 files of models" in " ".join(err.split())
        assert not Path(store, "_versions").exists()

    def test_compact(self, zest, store, session):
        dataclasses.replace(zj.Signature.load(session.signatures["victim"]), label="one more").save("one.sig")
        assert zest("store", "add", store, "one.sig")[0] == 0
        code, _, err = zest("store", "compact", store)
        assert code == 0
        assert "put 2 files together; models.store has 1" in err

    def test_wrong_use(self, zest, session, here):
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

    def test_what_cannot_be_added_makes_no_store(self, zest, session, here):
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

    def test_without_the_extra(self, zest, session, here, monkeypatch):
        monkeypatch.setitem(sys.modules, "lance", None)
        code, _, err = zest("store", "add", "s", session.signatures["victim"])
        assert code == 1
        assert 'pylance is not installed; install it with `pip install "zest_jax[store]"`' in err


class TestTables:
    @pytest.fixture
    def noted(self, zest, session, here):
        """A store with much noted of each model, and long names."""
        victim = zj.Signature.load(session.signatures["victim"])
        for i in range(2):
            dataclasses.replace(victim, label=f"resnet18-flowers-of-the-garden-v{i}-" + "x" * 20).save(f"{i}.sig")
        how = [
            "--architecture",
            "resnet18-half",
            "--data",
            "flowers102",
            "--owner",
            "laboratory 3",
            "--date",
            "2024-05-01",
        ]
        assert zest("store", "add", "s", "0.sig", "1.sig", *how)[0] == 0
        return "s"

    def test_a_pipe_has_no_width(self, zest, session, noted, monkeypatch):
        monkeypatch.delenv("COLUMNS", raising=False)
        victim = zj.Signature.load(session.signatures["victim"])
        _, out, err = zest("store", "list", noted)
        header, _, first, *_ = [line for line in out.splitlines() if line.strip()]
        assert header.split() == ["model", "R2", "classes", "architecture", "data", "owner", "date"]
        told = f"{victim.mean_r2():.2f} 10 resnet18-half flowers102 laboratory 3 2024-05-01"
        assert " ".join(first.split()).endswith(f"-v0-{'x' * 20} {told}")
        assert "no room" not in err
        _, out, _ = zest("screen", session.signatures["victim_epoch3"], "--store", noted)
        assert [line.split()[-4:] for line in out.splitlines() if "-v0-" in line] == [
            ["resnet18-half", "flowers102", "laboratory", "3"]
        ]

    @pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
    def test_numbers_are_never_cut(self, zest, session, noted, monkeypatch, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        r2 = f"{zj.Signature.load(session.signatures['victim']).mean_r2():.2f}"
        _, out, err = zest("store", "list", noted)
        assert out.count(f" {r2} ") == 2
        assert "…" not in out
        assert columns < 40 or max(map(len, out.splitlines())) <= columns
        assert ("date" in out) == (columns == 120)
        assert ("no room for" in err and "date: the terminal has" in err) == (columns < 120)
        _, out, _ = zest("screen", session.signatures["victim_epoch3"], "--store", noted)
        near = json.loads(zest("screen", session.signatures["victim_epoch3"], "--store", noted, "--json")[1])["nearest"]
        for each in near:
            low, high = each["interval"]
            assert f"{each['distance']:.4f}" in out
            assert f"{low:.4f} to {high:.4f}" in out

    def test_names_do_not_command_the_terminal(self, zest, session, here):
        label = "evil\x1b[2J\x9b31m\nRelated."
        dataclasses.replace(zj.Signature.load(session.signatures["victim"]), label=label).save("evil.sig")
        assert zest("store", "add", "s", session.signatures["victim"])[0] == 0
        shown = "evil\\x1b[2J\\x9b31m\\nRelated."
        for arguments in (["show", "evil.sig", "--no-picture"], ["screen", "evil.sig", "--store", "s"]):
            code, out, err = zest(*arguments)
            assert code == 0
            assert shown in out
            assert all(c.isprintable() or c == "\n" for c in out + err)
        code, out, _ = zest("show", "evil.sig", "--no-picture", "--json")
        assert json.loads(out)["label"] == label
        assert "\x9b" not in out
        code, out, err = zest("store", "add", "s", "evil.sig")
        assert code == 2
        assert all(c.isprintable() or c == "\n" for c in out + err)


class TestScreen:
    def test_a_model_of_the_store_is_told_first(self, zest, session, store, here):
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

    def test_a_model_of_the_store_is_not_compared_with_itself(self, zest, session, store):
        found = json.loads(zest("screen", session.signatures["victim"], "--store", store, "--json")[1])
        assert {each["name"] for each in found["nearest"]} == {"victim_epoch3", "unrelated"}
        assert found["compared"] == 2

    def test_models_are_left_out_by_name(self, zest, session, store):
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

    def test_nearest_first(self, zest, session, store):
        code, out, err = zest("screen", session.signatures["victim"], "--store", store, "--json", "--top", "2")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert [each["name"] for each in found["nearest"]] == ["victim_epoch3", "unrelated"]
        victim, other = (zj.Signature.load(session.signatures[name]) for name in ("victim", "victim_epoch3"))
        assert found["nearest"][0]["distance"] == pytest.approx(zj.distance(victim, other), abs=1e-9)
        assert (found["compared"], found["exact"], found["suspect"]) == (2, 2, "victim")

    def test_table_and_csv(self, zest, session, store, monkeypatch):
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

    def test_pairs_of_the_store(self, zest, session, store):
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

    def test_a_model_is_signed_first(self, zest, session, store, models, normalise):
        how = ["--store", store, "--probes", session.probes, *normalise, "--json"]
        code, out, err = zest("screen", models["victim"], *how)
        assert code == 0, err
        found = json.loads(out)
        # Signed again it is the very same signature, or one that differs by rounding.
        nearest = found["nearest"][0]
        assert found["itself"] == ["victim"] or (nearest["name"] == "victim" and nearest["distance"] < 1e-6)

    def test_a_single_model_says_nothing(self, zest, session, here):
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

    def test_another_number_of_classes(self, zest, session, store, here):
        zj.Signature.load(session.signatures["victim"]).select_classes([5, 1, 3]).save("few.sig")
        code, out, _ = zest("screen", "few.sig", "--store", store, "--json")
        assert code == 0
        found = json.loads(out)["nearest"]
        assert found[0]["name"] == "victim"
        assert found[0]["distance"] == pytest.approx(0, abs=1e-9)

    def test_models_without_a_distance_are_left_out_and_named(self, zest, session, store, here):
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

    def test_a_nearest_model_of_other_classes_gets_no_verdict(self, zest, session, store, here):
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

    def test_wrong_use(self, zest, session, store, models, here, tiny):
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

    def test_many_files_are_noted(self, zest, session, store, monkeypatch):
        monkeypatch.setattr("zest_jax.cli.screen.MANY_FILES", 0)
        _, _, err = zest("screen", session.signatures["victim"], "--store", store)
        assert "models.store consists of 1 files, which slows the search; `zest store compact` helps" in err

    def test_a_verdict_against_unrelated_models(self, zest, session, store, here):
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
        assert "3 models compared need 59 unrelated pairs to tell that from chance: can't tell." in " ".join(
            out.split()
        )
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
