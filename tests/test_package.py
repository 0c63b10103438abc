"""The package as an installed thing: its version, its console script, what importing it costs and drags in."""

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, check=False)


def test_version_is_the_one_in_version_py():
    import zest_jax

    source = (ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert f'"{zest_jax.__version__}"' in source
    assert re.fullmatch(r"\d+\.\d+\.\d+", zest_jax.__version__)


def test_installed_metadata_agrees_with_the_version():
    import zest_jax

    try:
        installed = importlib.metadata.version("zest_jax")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed, the tests run from the checkout")
    assert installed == zest_jax.__version__


def test_changelog_knows_the_version_or_has_unreleased_entries():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_public_name_exists_and_is_documented():
    import zest_jax

    assert len(set(zest_jax.__all__)) == len(zest_jax.__all__)
    for name in zest_jax.__all__:
        assert hasattr(zest_jax, name), name
        if callable(getattr(zest_jax, name)):
            assert (getattr(zest_jax, name).__doc__ or "").strip(), f"{name} has no docstring"


def test_import_neither_needs_an_extra_nor_starts_a_backend():
    extras = "torch", "onnx", "onnxruntime", "tensorflow", "tensorflow_datasets", "httpx"
    program = (
        "import sys, zest_jax\n"
        f"print([name for name in {extras!r} if name in sys.modules])\n"
        "from jax._src import xla_bridge\n"
        "print(xla_bridge.backends_are_initialized())"
    )
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


@pytest.mark.parametrize("room", ["training", "reuse", "zoo"])
@pytest.mark.parametrize("missing", ["filelock", "orbax"])
def test_a_room_that_an_extra_furnishes_says_so(room, missing):
    done = run("-c", f"import sys; sys.modules[{missing!r}] = None; import zest_jax.{room}")
    assert done.returncode == 1
    assert 'is not installed; install it with `pip install "zest_jax[train]"`' in done.stderr.splitlines()[-1]


def test_the_command_line_and_the_search_do_not_wait_for_jax():
    done = run(
        "-c",
        "import sys, zest_jax.cli.main, zest_jax.intervals, zest_jax.screening; print({'jax', 'lance', 'scipy.optimize', 'scipy.cluster', 'matplotlib', 'jinja2'} & set(sys.modules))",
    )
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


def test_console_script_points_at_a_callable():
    module, _, function = PYPROJECT["project"]["scripts"]["zest"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_cli_prints_the_version():
    import zest_jax

    program = "import sys; from zest_jax.cli.main import main; sys.argv = ['zest', '--version']; sys.exit(main())"
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    assert zest_jax.__version__ in done.stdout


def test_type_information_is_shipped():
    import zest_jax

    assert (Path(zest_jax.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("extra", sorted(PYPROJECT["project"]["optional-dependencies"]))
def test_every_requirement_has_a_lower_bound(extra):
    requirements = PYPROJECT["project"]["dependencies"] + PYPROJECT["project"]["optional-dependencies"][extra]
    for requirement in requirements:
        assert requirement.startswith("zest_jax[") or ">=" in requirement, requirement
