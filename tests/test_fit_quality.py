"""Models that linear explanations hardly fit are warned of: with the figure, the likely causes, the cures, and once."""

import dataclasses
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from many_models import model
from worlds import make_probes

import zest_jax as zest
from zest_jax.errors import ConstantOutputsWarning, PoorFitWarning

PROBES = make_probes(n=8, samples=64, max_k=6)
FROM_HERE = os.environ | {"PYTHONPATH": str(Path(zest.__file__).parent.parent)}


def offset(x):
    """What fits without an intercept cannot explain: a large constant beside what the image says."""
    return 5 + x.mean(axis=(1, 2)) @ np.arange(12).reshape(3, 4) / 12


def box(label="odd"):
    return zest.from_callable(offset, label=label)


def test_signing_warns_of_a_poor_fit():
    with pytest.warns(PoorFitWarning) as caught:
        signature = zest.sign(box(), PROBES)
    (warned,) = caught
    assert signature.mean_r2() < 0.1
    text = str(warned.message)
    assert text.startswith(
        f"linear explanations hardly fit odd ({signature.mean_r2():.2f}): R2 below 0.1, so distances"
    )
    assert "`mean`" in text
    assert "`targets='logits'`" in text


def test_the_same_signature_is_warned_of_once():
    with pytest.warns(PoorFitWarning, match="odd .*, even "):
        a, b = zest.sign_many([box(), box("even")], PROBES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zest.distance(a, b)
        zest.distance_matrix([a, b])


def test_distances_warn_of_signatures_that_were_read(tmp_path):
    poor = model("poor", 1, r2=np.full((3, 4), 0.02, np.float32))
    poor.save(tmp_path / "poor.sig")
    for compare in (zest.distance, lambda *both: zest.distance_matrix(both)):
        with pytest.warns(PoorFitWarning, match=r"hardly fit poor \(0\.02\)"):
            compare(zest.Signature.load(tmp_path / "poor.sig"), model("good", 2))


def test_good_fits_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zest.distance(model("a", 1), model("b", 2))


def test_constant_outputs_are_warned_of_with_a_cure():
    frozen = zest.from_callable(lambda x: np.ones((len(x), 4)), label="frozen")
    with pytest.warns(ConstantOutputsWarning, match="check that its inputs reach it in the scale it expects") as caught:
        zest.sign(frozen, PROBES)
    assert len(caught) == 1


@pytest.fixture
def saved(tmp_path):
    """A folder with a signature that fits poorly and one that fits well."""
    for name, seed in (("poor", 1), ("good", 2)):
        r2 = np.full((3, 4), 0.02 if name == "poor" else 0.9, np.float32)
        dataclasses.replace(model(name, seed), r2=r2).save(tmp_path / f"{name}.sig")
    return tmp_path


def test_the_warning_names_the_line_that_asked(saved):
    script = saved / "script.py"
    script.write_text(
        "import zest_jax as zest\na, b = map(zest.Signature.load, ('poor.sig', 'good.sig'))\nzest.distance(a, b)\n"
    )
    run = subprocess.run([sys.executable, script], cwd=saved, capture_output=True, text=True, check=True, env=FROM_HERE)
    assert f"{script}:3: PoorFitWarning: linear explanations hardly fit poor (0.02)" in run.stderr


def test_the_command_line_says_it_once(saved):
    command = [sys.executable, "-m", "zest_jax.cli.main", "distance", "poor.sig", "good.sig"]
    run = subprocess.run(command, cwd=saved, capture_output=True, text=True, check=True, env=FROM_HERE)
    assert run.stderr.count("linear explanations hardly fit") == 1
    assert run.stderr.startswith("warning: linear explanations hardly fit poor (0.02): R2 below 0.1")
    assert "--targets logits" in run.stderr
