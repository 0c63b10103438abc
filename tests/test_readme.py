"""README.md says what is there; `tests/docs` runs it and follows its links."""

import re
import runpy
from pathlib import Path

import zest_jax as zest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_results_files():
    script = runpy.run_path(str(ROOT / "scripts" / "readme_figures.py"))
    assert script["with_figures"](README) == README
    assert README.count("| Lite") >= 5


def test_named_functions_exist():
    names = re.findall(r"`([a-z_]+)`", README.split("Every phase also stands alone")[1].split("##")[0])
    assert {"choose_references", "from_torch", "load_model"} <= set(names)
    adapters = {"mean", "std", "value_range", "layout"}
    assert all(hasattr(zest, name) for name in set(names) - adapters)
