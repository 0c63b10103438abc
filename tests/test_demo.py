import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from zest_jax import ProbeSet, Signature
from zest_jax.errors import MissingExtraError

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "demo.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.slow
def test_quick_demo_tells_copies_from_the_independent_model_and_writes_what_it_says(tmp_path):
    pytest.importorskip("onnx")
    done = run("--quick", "--photos", "4", "--samples", "150", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "model 5 of 5" in done.stderr
    assert "queries/s" in done.stderr
    result = json.loads((tmp_path / "demo.json").read_text())
    assert result["copies_nearer_than_independents"] is True
    models = {m["label"]: m for m in result["models"]}
    for label, model in models.items():
        assert label in done.stdout
        if model["kind"] != "victim":
            assert f"{model['distance']:.4f}" in done.stdout
    copies = [m["distance"] for m in models.values() if m["kind"] == "copy"]
    assert len(copies) == 3
    assert max(copies) < models["unrelated"]["distance"]
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    probes = ProbeSet.load(tmp_path / "probes.npz")
    assert Signature.load(tmp_path / "victim.sig").probe_hash == probes.hash == result["probes"]["hash"]
    assert not list(tmp_path.glob("*.partial"))
    assert str(tmp_path) not in (tmp_path / "demo.json").read_text()


def test_wrong_numbers_are_refused_before_anything_is_made(tmp_path):
    out = tmp_path / "out"
    done = run("--quick", "--photos", "17", "--out", str(out))
    assert done.returncode == 2
    assert "there are 1 to 16" in done.stderr
    assert not out.exists()


def test_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    imagenet_models = pytest.importorskip("imagenet_models")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else found(name, *a))
    with pytest.raises(MissingExtraError, match=r'torch is not installed.*pip install "zest_jax\[demo\]"'):
        imagenet_models._check_installed()
