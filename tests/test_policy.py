"""docs/policy.md says of versions, files and Pythons what the code, pyproject.toml and the public workflow say."""

import importlib
import re
import runpy
import tomllib
from pathlib import Path

import pytest

from zest_jax.blackbox.http import journal
from zest_jax.probes import probe_set
from zest_jax.signature import FORMAT_VERSION

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = [found[1] for each in PROJECT["classifiers"] if (found := re.fullmatch(r".*:: (3\.\d+)", each))]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")

#: What pytest writes of a test that passed, one that was skipped, and another.
OUTCOME = (
    '<testsuites><testsuite time="3.21"><testcase classname="t" name="a"/>'
    '<testcase classname="t" name="c"><skipped/></testcase>{}</testsuite></testsuites>'
)


def row(beginning: str) -> list[str]:
    (found,) = [line for line in PAGE.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_versions_of_files_are_those_of_the_code():
    pytest.importorskip("pyarrow")
    from zest_jax.screening import layout

    assert row("probe set")[1] == str(probe_set.FORMAT_VERSION)
    assert row("signature")[1] == FORMAT_VERSION
    assert row("store")[1] == layout.FORMAT_VERSION
    assert row("journal")[1] == str(journal.VERSION)


def test_supported_versions_are_those_of_pyproject():
    bounds = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", each).groups() for each in PROJECT["dependencies"])
    said = PAGE.partition("<!-- supported -->")[2].partition("<!-- /supported -->")[0]
    assert re.findall(r"3\.\d+", said.partition(";")[0]) == PYTHONS
    for name in ("JAX", "Flax", "NumPy"):
        assert f"{name} {bounds[name.lower()]} or newer" in said
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_what_was_tried_is_what_the_results_say_and_nothing_failed():
    script = runpy.run_path(str(ROOT / "scripts" / "tried.py"))
    assert script["with_table"](PAGE) == PAGE
    assert script["missing_rows"]("| 3.11.7 | newest | ... |") == ["oldest"]
    first = OUTCOME.format('<testcase classname="t" name="b"><failure/></testcase>')
    counts = {"passed": 1, "failed": 1, "skipped": 1, "seconds": 3.2, "run_again": []}
    assert script["counted"]([first]) == counts
    then = '<testsuites><testsuite time="1"><testcase classname="t" name="b"/></testsuite></testsuites>'
    assert script["counted"]([first, then]) == {**counts, "passed": 2, "failed": 0, "run_again": ["t.b"]}


def test_a_run_with_a_failure_is_not_noted(tmp_path):
    script = runpy.run_path(str(ROOT / "scripts" / "tried.py"))
    (tmp_path / "tests.xml").write_text(OUTCOME.format('<testcase classname="t" name="b"><error/></testcase>'))
    with pytest.raises(SystemExit, match="1 tests failed"):
        script["note"]([tmp_path / "tests.xml"], "newest")


def test_the_public_workflow_runs_every_supported_python():
    (listed,) = re.findall(r"(?m)^\s+python: \[(.*)\]$", WORKFLOW)
    assert re.findall(r"[\d.]+", listed) == PYTHONS


def test_the_public_workflow_runs_targets_of_the_makefile_on_supported_pythons_and_reads_only():
    assert set(re.findall(r'python-version: "([\d.]+)"', WORKFLOW)) <= set(PYTHONS)
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    run = re.findall(r"(?m)- run: make (\S+)$", WORKFLOW)
    assert {"test-oldest", "extras-check", "docs"} == set(run)
    assert set(run) <= targets
    assert re.findall(r"(?m)^permissions:\n((?:  .*\n)+)", WORKFLOW) == ["  contents: read\n"]
    jobs = WORKFLOW.partition("\njobs:\n")[2]
    assert len(re.findall(r"(?m)^  \w+:$", jobs)) == len(re.findall(r"(?m)^    timeout-minutes: \d+$", jobs))


def test_packages_that_are_called_public_list_their_names():
    named = PAGE.partition("## What is public")[2].partition("* **The command line**")[0]
    for name in sorted(set(re.findall(r"`(zest_jax(?:\.[a-z]+)?)`", named)) - {"zest_jax.errors"}):
        if name in ("zest_jax.training", "zest_jax.reuse", "zest_jax.zoo"):
            pytest.importorskip("optax")
        package = importlib.import_module(name)
        assert package.__all__, name
        assert all(hasattr(package, each) for each in package.__all__), name
