"""The self-check passes where everything is right, and tells what is not."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from zest_jax.doctor import self_check as module
from zest_jax.doctor.self_check import self_check

NAMES = [
    "segments (Quickshift)",
    "perturbed inputs",
    "fits (factored)",
    "fits (lstsq)",
    "distances",
    "a model signed from end to end",
]


def test_what_it_compares_with_is_what_the_tests_compare_with():
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "doctor_golden.py"))
    arrays = script["contents"]()
    assert script["same"](arrays)
    assert not script["same"]({**arrays, "mean": arrays["mean"] + 1})


def test_every_phase_agrees_with_the_authors():
    checks = list(self_check())
    assert [check.name for check in checks] == NAMES
    assert all(check.passed for check in checks), checks


@pytest.mark.parametrize(
    ("function", "spoilt", "failing"),
    [
        ("segment_images", lambda ours, *a, **k: np.zeros_like(ours(*a, **k)), {NAMES[0]}),
        ("compose", lambda ours, *a, **k: ours(*a, **k) + 1e-4, {NAMES[1]}),
        # Three significant digits, as with weights in bfloat16.
        ("solve", lambda ours, *a, **k: _rounded(ours(*a, **k)), {NAMES[2], NAMES[3]}),
        ("distance", lambda ours, *a, **k: ours(*a, **k) * 1.001, {NAMES[4]}),
    ],
)
def test_what_is_wrong_is_told_apart(monkeypatch, function, spoilt, failing):
    ours = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *a, **k: spoilt(ours, *a, **k))
    checks = list(self_check())
    assert {check.name for check in checks if not check.passed} == failing
    assert all(check.computed and "more than" in check.text for check in checks if not check.passed)


def _rounded(fits):
    import jax.numpy as jnp

    return fits._replace(weights=np.asarray(jnp.asarray(fits.weights, jnp.bfloat16).astype(jnp.float32)))


def test_an_error_is_a_check_that_failed(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(module, "sign", broken)
    (failed,) = (check for check in self_check() if not check.passed)
    assert failed.name == NAMES[5]
    assert not failed.computed
    assert failed.text == "RuntimeError: the device is gone"
