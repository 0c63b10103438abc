"""Tables of `zest store list` and `zest screen`, in terminals of any width."""

import dataclasses
import json

import pytest

import zest_jax as zj

pytest.importorskip("lance")


@pytest.fixture
def noted(zest, session, here):
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


def test_a_pipe_has_no_width(zest, session, noted, monkeypatch):
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
def test_numbers_are_never_cut(zest, session, noted, monkeypatch, columns):
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


def test_names_do_not_command_the_terminal(zest, session, here):
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
