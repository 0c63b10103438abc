"""What a result says about the code that produced it."""

import os
import subprocess

import pytest

from benchmarks import record


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with one commit, in place of this one."""
    for name in ("code.py", "benchmarks/results/speed/cpu.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    identity = "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    return tmp_path


def test_commit_is_named_when_it_is_what_ran(checkout):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    (checkout / "benchmarks/results/speed/cpu.json").write_text("2")
    (checkout / "untracked").write_text("")
    assert record._commit() == head.stdout.strip()


def test_commit_with_changes_says_so(checkout):
    (checkout / "code.py").write_text("2")
    assert record._commit().endswith("+changes")


@pytest.mark.parametrize("name", ["benchmarks/new.py", "colab/new.ipynb"])
def test_a_program_that_git_does_not_know_counts_as_a_change(checkout, name):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("")
    assert record._commit().endswith("+changes")


def test_no_checkout_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert record._commit() is None


@pytest.mark.parametrize(("load", "warned"), [(2.0, False), (2.1, True)])
def test_busy_machine_is_warned_about(monkeypatch, capsys, load, warned):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    assert record._quiet_load() == load
    assert ("the load average is 2.1 on 4 cores" in capsys.readouterr().err) == warned
