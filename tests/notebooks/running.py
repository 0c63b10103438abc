"""Running one notebook and comparing it with what is kept of it; each has a file of its own, so that they are shared out."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def script() -> dict[str, Any]:
    """All names of the script and of what it says notebooks hold, which it imports from beside it."""
    scripts = ROOT / "scripts"
    sys.path.insert(0, str(scripts))
    try:
        return runpy.run_path(str(scripts / "notebook_contents.py")) | runpy.run_path(str(scripts / "notebooks.py"))
    finally:
        sys.path.remove(str(scripts))


SCRIPT = script()


def check_runs(number: int, *packages: str) -> None:
    """Run the notebook with that number; its headline numbers are those of the results file, within what rounding explains."""
    for package in ("papermill", "ipykernel", *packages):
        pytest.importorskip(package)
    (path,) = SCRIPT["notebooks"]([str(number)])
    found = SCRIPT["headline"](SCRIPT["execute"](path))
    kept = json.loads(SCRIPT["result_file"](path).read_text(encoding="utf-8"))
    assert SCRIPT["differences"](found, kept["numbers"]) == []
