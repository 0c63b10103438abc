"""`zest doctor`."""

import json
import subprocess
import sys
from importlib import metadata

import pytest

from zest_jax import doctor
from zest_jax.cli.main import main
from zest_jax.doctor import Extra, Requirement, self_check
from zest_jax.doctor.self_check import Check

GOOD = Check("fits", True, True, "off by 1e-06", 0.1)
BAD = Check("distances", False, True, "off by 1e-02", 0.1)
BROKEN = Check("segments", False, False, "RuntimeError: out of memory", 0.1)


@pytest.fixture
def checks(monkeypatch):
    found = [GOOD]
    monkeypatch.setattr(self_check, "self_check", lambda: iter(found))
    return found


def test_versions_devices_extras_and_checks_are_printed(capsys, checks):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "zest_jax   0.1",
        f"jax        {metadata.version('jax')}",
        "devices    cpu, 8 devices",
        "onnxruntime",
    ):
        assert words in shown
    assert "fits                             agrees   off by 1e-06 (0.1 s)" in shown


def test_without_the_self_check(capsys, checks):
    checks.append(BAD)
    assert main(["doctor", "--no-check"]) == 0
    assert "off by" not in capsys.readouterr().out


def test_json(capsys, checks):
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["checks"] == [
        {"name": "fits", "passed": True, "computed": True, "text": "off by 1e-06", "seconds": 0.1}
    ]
    assert told["extras"][0]["name"] == ""
    assert {"name", "version", "fits"} == set(told["extras"][0]["requirements"][0])


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_check_that_differs_is_a_failure(capsys, checks, how):
    checks.append(BAD)
    assert main(["doctor", *how]) == 1
    out, err = capsys.readouterr()
    assert "off by 1e-02" in out
    assert "error: distances: this machine computes something else" in err


def test_what_could_not_be_computed_is_not_called_different(capsys, checks):
    checks.append(BROKEN)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "segments                         FAILED   RuntimeError: out of memory" in out
    assert "error: could not be computed: segments; see the errors above" in err


def test_without_jax_it_tells_that_jax_is_missing(tmp_path):
    # A finder that hides JAX, as if it were not installed.
    code = """
import sys
from importlib import metadata
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib", "flax"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
true = metadata.version
def version(name):
    if name in ("jax", "flax"):
        raise metadata.PackageNotFoundError(name)
    return true(name)
metadata.version = version
from zest_jax.cli.main import main
sys.exit(main(["doctor"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "devices    none: No module named 'jax'" in done.stdout
    assert "error: missing or of another version: " in done.stderr
    assert all(name in done.stderr for name in ("flax>=", "jax>="))


def test_a_needed_package_that_is_missing_is_a_failure(capsys, checks, monkeypatch):
    needed = Extra("", (Requirement("flax>=1", "0.5", False), Requirement("jax>=0.8", None, False)))
    optional = Extra("onnx", (Requirement("onnxruntime>=1", None, False),))
    monkeypatch.setattr(doctor, "extras", lambda: [needed, optional])
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "onnxruntime>=1 (missing)" in out
    assert "flax>=1 (0.5 is there)" in out
    assert "error: missing or of another version: flax>=1, jax>=0.8" in err


def test_a_package_that_is_not_installed(capsys, checks, monkeypatch):
    def extras():
        raise metadata.PackageNotFoundError("zest_jax")

    monkeypatch.setattr(doctor, "extras", extras)
    assert main(["doctor"]) == 0
    assert "not installed but imported from a folder" in capsys.readouterr().err
