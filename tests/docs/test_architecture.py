"""docs/architecture.md names every module of the rooms that it lists file by file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {
    room: row
    for row in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    for room in re.findall(r"^\| `(\w+)/` \|", row)
}


@pytest.mark.parametrize("room", ["data", "many", "report", "screening", "training", "zoo"])
def test_every_module_of_a_room_is_named(room):
    folder = ROOT / "zest_jax" / room
    modules = {path.name for path in folder.rglob("*.py")} - {"__init__.py"}
    assert modules
    assert sorted(name for name in modules if f"`{name}`" not in ROWS[room]) == []


def test_every_room_and_module_of_the_package_has_a_row():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    top = {f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / "zest_jax").iterdir()}
    top -= {"__pycache__/", "__init__.py", "__init__.pyi", "py.typed", "version.py"}
    named = {name.partition("/")[0] + "/" if "/" in name else name for name in re.findall(r"`([\w/.]+)`", page)}
    assert sorted(top - named) == []
