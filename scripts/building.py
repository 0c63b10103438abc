"""Build the sdist and the wheel, and see that they hold what they should: shared by the checks of both."""

import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

MAKE_IMAGES = """
import numpy as np
rng = np.random.default_rng(0)
corners = rng.integers(0, 256, (128, 4, 4, 3))
np.save("images.npy", corners.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8))
"""


class Built(NamedTuple):
    """What a release consists of, and its version."""

    sdist: Path
    wheel: Path
    version: str


def run(*command: str | Path, **kwargs) -> str:
    """Run a command and hand back its standard output; say everything it said where it fails."""
    done = attempt(*command, **kwargs)
    if done.returncode != 0:
        raise SystemExit(f"{_shown(command)} failed with exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def attempt(*command: str | Path, **kwargs) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail, and tell how long it took."""
    start = time.perf_counter()
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, **kwargs)
    print(f"{time.perf_counter() - start:6.1f} s  {_shown(command)}", flush=True)
    return done


def _shown(command: tuple[str | Path, ...]) -> str:
    return " ".join("..." if "\n" in str(word) else str(word) for word in command)


def build(folder: Path) -> Built:
    """Build first the sdist, then the wheel from it, since the sdist must be complete, too; check what they hold."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    check_wheel(wheel)
    check_sdist(sdist)
    return Built(sdist, wheel, wheel.name.split("-")[1])


def check_wheel(wheel: Path) -> None:
    """The wheel holds every module of the package and nothing else."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ignored = {"__pycache__"}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "zest_jax").rglob("*")
        if path.is_file() and not ignored & set(path.parts)
    }
    if names != here:
        raise SystemExit(f"only in the wheel: {sorted(names - here)}; only in the checkout: {sorted(here - names)}")
    if "zest_jax/py.typed" not in names:
        raise SystemExit("the wheel lacks zest_jax/py.typed, so type checkers ignore the package's annotations")


def check_sdist(sdist: Path) -> None:
    """The sdist holds what the repository does: tests, pages and their results are of use to those who build from it."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if tracked.returncode != 0:
        print("this is no clone of the repository, so what the sdist should hold is not known")
        return
    here = {name for name in tracked.stdout.split("\0") if name and (ROOT / name).exists()}
    names.discard("PKG-INFO")
    if names != here:
        raise SystemExit(
            f"only in the sdist: {sorted(names - here)}; only in the repository: {sorted(here - names)}; "
            "[tool.hatch.build.targets.sdist] in pyproject.toml says what goes in, `git add` what is in the repository"
        )


def outside(venv: Path) -> dict[str, str]:
    """The environment variables of programs that use an environment from elsewhere: nothing of the checkout may help."""
    bin_dir = venv / ("Scripts" if os.name == "nt" else "bin")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return env | {
        "JAX_PLATFORMS": "cpu",
        "MPLBACKEND": "agg",
        "PATH": f"{bin_dir}{os.pathsep}{env.get('PATH', '')}",
        "VIRTUAL_ENV": str(venv),
    }
