"""Build the sdist and the wheel, install the wheel with only its core dependencies, and use it from an empty directory.

    python scripts/wheel_check.py

Finds what the checkout hides: a module or data file that the wheel lacks, a dependency that only an extra brings, a
console script that points nowhere.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOT_CORE = ("torch", "onnx", "onnxruntime", "tensorflow_datasets")

# Written for the installed package: phase by phase, a file in between, and a copy that must come out nearer.
USE_IT = f"""
import importlib.util, json
import jax, jax.numpy as jnp, numpy as np
import zest_jax as zest

assert "site-packages" in zest.__file__, zest.__file__
found = [name for name in {NOT_CORE!r} if importlib.util.find_spec(name)]
assert not found, f"{{found}} are installed, so this proves nothing about the core dependencies"

probes = zest.ProbeSet.load("probes.npz")
pixels = int(np.prod(probes.references.shape[1:]))
victim, noise, other = jax.random.normal(jax.random.key(0), (3, pixels, 4))

def classify(weights, images):
    return jnp.tanh(images.reshape(len(images), -1) @ weights)

for label, weights in (("victim", victim), ("copy", victim + 0.1 * noise), ("unrelated", other)):
    zest.sign(zest.from_jax(classify, weights, label=label), probes).save(f"{{label}}.sig")
a, b, c = (zest.Signature.load(f"{{label}}.sig") for label in ("victim", "copy", "unrelated"))
near, far = float(zest.distance(a, b)), float(zest.distance(a, c))
assert 0 <= near < far, (near, far)
print(json.dumps({{"copy": near, "unrelated": far}}))
"""

MAKE_IMAGES = """
import numpy as np
rng = np.random.default_rng(0)
corners = rng.integers(0, 256, (128, 4, 4, 3))
np.save("images.npy", corners.repeat(5, axis=1).repeat(5, axis=2).astype(np.uint8))
"""


def run(*command: str | Path, **kwargs) -> str:
    """Run a command and hand back its standard output; say everything it said where it fails."""
    words = [str(word) for word in command]
    shown = " ".join("..." if "\n" in word else word for word in words)
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, **kwargs)
    print(f"{time.perf_counter() - start:6.1f} s  {shown}", flush=True)
    if done.returncode != 0:
        raise SystemExit(f"{shown} failed with exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def check_contents(wheel: Path) -> None:
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


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="zest-wheel-check-") as scratch:
        dist, venv, empty = (Path(scratch) / name for name in ("dist", "venv", "empty"))
        empty.mkdir()
        # First the sdist, then the wheel from it: the sdist must be complete, too.
        run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
        (wheel,) = dist.glob("*.whl")
        check_contents(wheel)

        run(sys.executable, "-m", "venv", venv)
        bin_dir = venv / ("Scripts" if os.name == "nt" else "bin")
        python = bin_dir / "python"
        run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--prefer-binary", wheel)
        run(python, "-m", "pip", "--disable-pip-version-check", "check")

        # Nothing of the checkout may help.
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        env |= {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "agg", "PATH": f"{bin_dir}{os.pathsep}{env.get('PATH', '')}"}
        inside = {"cwd": empty, "env": env}
        version = run(python, "-c", "import zest_jax; print(zest_jax.__version__)", **inside).strip()
        if f"-{version}-" not in wheel.name:
            raise SystemExit(f"{wheel.name} says that it is version {version}")
        if version not in run("zest", "--version", **inside):
            raise SystemExit(f"`zest --version` does not print {version}")
        for command in ([], ["compare"]):
            if "--help" not in run("zest", *command, "--help", **inside):
                raise SystemExit(f"`zest {' '.join(command)} --help` shows no help")
        checks = json.loads(run("zest", "doctor", "--json", **inside))["checks"]
        if len(checks) < 5:
            raise SystemExit(f"`zest doctor` checked {len(checks)} things only")
        run(python, "-c", MAKE_IMAGES, **inside)
        run("zest", "probes", "images.npy", "-o", "probes.npz", **inside)
        distances = json.loads(run(python, "-c", USE_IT, **inside).splitlines()[-1])
        table = run("zest", "distance", "victim.sig", "copy.sig", "unrelated.sig", "--json", **inside)
        json.loads(table)
        print(f"{wheel.name} works from an empty directory: {distances}")


if __name__ == "__main__":
    main()
