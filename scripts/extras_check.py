"""Install the wheel with one extra after the other, each in an empty environment, and do what the extra is for.

    python scripts/extras_check.py [EXTRA ...]      (`make extras-check`; all without names)

`scripts/extras/NAME_extra.py` does what the extra NAME is for, from a directory with a few files. Without the extra the same
program must fail, and say what to install. An extra without a program is a failure. The environments are made by uv;
TORCH in the environment says how PyTorch is installed, as for make.
"""

import os
import shlex
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from email.parser import Parser
from pathlib import Path

from building import MAKE_IMAGES, ROOT, Built, attempt, build, outside, run
from packaging.requirements import Requirement

PROGRAMS = Path(__file__).parent / "extras"
# For those who develop the package, which does not ask for them by name; each figure of `paper` asks for what it needs.
UNNAMED = ("dev", "docs", "notebooks", "paper", "test")
# What is said where one of those, or a program of theirs, is absent.
ABSENT = ("No module named", "No such file or directory", "is not installed")

MAKE_SIGNATURES = """
import jax, numpy as np, zest_jax as zest
probes = zest.ProbeSet.load("probes.npz")
pixels = int(np.prod(probes.references.shape[1:]))
for label, weights in zip(("first", "second", "third"), jax.random.normal(jax.random.key(0), (3, pixels, 4))):
    zest.sign(zest.from_jax(lambda w, x: x.reshape(len(x), -1) @ w, weights, label=label), probes).save(f"{label}.sig")
"""
PROBES = ["--n-references", "4", "--n-samples", "64", "--segmenter", "grid", "--segmenter-settings", "rows=3,columns=3"]


class Environments:
    """Environments at one path, one after the other; what Python compiles is kept between them, outside of them."""

    def __init__(self, built: Built, scratch: Path) -> None:
        self.built, self.venv, self.scratch = built, scratch / "venv", scratch
        beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        uv = shutil.which("uv", path=beside)
        if uv is None:
            raise SystemExit("uv, which makes the environments, is not installed; `make extras-check` brings it")
        self.uv = uv
        with zipfile.ZipFile(built.wheel) as wheel:
            (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
            about = Parser().parsestr(wheel.read(name).decode())
        self.requirements = [Requirement(line) for line in about.get_all("Requires-Dist") or ()]
        self.extras = tuple(about.get_all("Provides-Extra") or ())
        self.env = outside(self.venv) | {
            "PYTHONPYCACHEPREFIX": str(scratch / "pycache"),
            "JAX_COMPILATION_CACHE_DIR": str(scratch / "jax"),
        }

    def make(self, extra: str) -> Path:
        """An environment with the wheel and one extra, or none; returns its Python."""
        run(self.uv, "venv", "--quiet", "--clear", "--python", sys.executable, self.venv)
        python = next(self.venv.glob("[bS]*/python*"))
        wheel = f"zest_jax[{extra}] @ {self.built.wheel.as_uri()}"
        torch = shlex.split(os.environ.get("TORCH", "")) if "torch" in self._brought_by(extra) else []
        run(self.uv, "pip", "install", "--quiet", "--python", python, *torch, wheel)
        run(self.uv, "pip", "check", "--quiet", "--python", python)
        return python

    def _brought_by(self, extra: str) -> set[str]:
        """Names of all packages that an extra asks for, those of the extras in it included."""
        found = set()
        for each in self.requirements:
            if extra and each.marker and each.marker.evaluate({"extra": extra}):
                found |= {name for inner in each.extras for name in self._brought_by(inner)} | {each.name}
        return found

    def do(self, python: Path, extra: str, materials: Path, source: Path):
        """Run the program of an extra in a directory of its own."""
        folder = self.scratch / "directories" / f"{extra}-{time.monotonic_ns()}"
        shutil.copytree(materials, folder)
        program = PROGRAMS / f"{extra.replace('-', '_')}_extra.py"
        return attempt(python, program, source, cwd=folder, env=self.env)


def make_materials(python: Path, folder: Path, env: dict[str, str]) -> None:
    """What every program finds in its directory: images, probes, three signatures and an ONNX model."""
    folder.mkdir()
    inside = {"cwd": folder, "env": env}
    run(python, "-c", MAKE_IMAGES, **inside)
    run(python, "-m", "zest_jax.cli.main", "probes", "images.npy", "-o", "probes.npz", *PROBES, **inside)
    run(python, "-c", MAKE_SIGNATURES, **inside)
    shutil.copy(ROOT / "tests" / "golden" / "models" / "victim.onnx", folder)


def main() -> None:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="zest-extras-check-") as scratch:
        root = Path(scratch)
        built = build(root / "dist")
        with tarfile.open(built.sdist) as archive:
            archive.extractall(root / "source", filter="data")
        (source,) = (root / "source").iterdir()
        environments = Environments(built, root)
        programs = {path.stem.removesuffix("_extra").replace("_", "-") for path in PROGRAMS.glob("*_extra.py")}
        if programs != set(environments.extras):
            raise SystemExit(
                f"extras without a program in {PROGRAMS.relative_to(ROOT)}: {sorted(set(environments.extras) - programs)}; "
                f"programs without an extra: {sorted(programs - set(environments.extras))}"
            )
        if unknown := set(sys.argv[1:]) - programs:
            raise SystemExit(f"no extras of the wheel: {sorted(unknown)}; it has {', '.join(environments.extras)}")
        chosen = sys.argv[1:] or environments.extras

        wrong = []
        python, materials = environments.make(""), root / "materials"
        make_materials(python, materials, environments.env)
        for extra in chosen:
            done = environments.do(python, extra, materials, source)
            named = ABSENT if extra in UNNAMED else (f'pip install "zest_jax[{extra}]"',)
            if done.returncode == 0 or not any(each in done.stderr for each in named):
                wrong.append(
                    f"without {extra}: exit code {done.returncode}, and its error does not name it:\n{done.stderr}"
                )
        for extra in chosen:
            done = environments.do(environments.make(extra), extra, materials, source)
            if done.returncode != 0:
                wrong.append(f"with {extra}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        if wrong:
            raise SystemExit("\n\n".join(wrong))
        print(f"{len(chosen)} extras do what they are for, in {time.perf_counter() - start:.0f} s: {', '.join(chosen)}")


if __name__ == "__main__":
    main()
