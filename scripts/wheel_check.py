"""Build the sdist and the wheel, install the wheel with only its core dependencies, and use it from an empty directory.

    python scripts/wheel_check.py

Finds what the checkout hides: a module or data file that the wheel lacks, a dependency that only an extra brings, a
console script that points nowhere, a public name without a type. `extras_check.py` does the same for every extra.
"""

import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from building import MAKE_IMAGES, attempt, build, outside, run

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

# Of a user's file: values, and below them every public name, those that are imported when first used included.
REVEAL = [
    "zest.ProbeSet.load('p').references",
    "zest.Signature.load('s').weights",
    "zest.distance(*zest.sign_many([], p))",
]


def check_types(python: Path, names: list[str], **inside) -> int:
    """A type checker knows the type of every public name of the installed package; returns how many it was asked for."""
    asked = [*REVEAL, *(f"zest.{name}" for name in names)]
    lines = ["import zest_jax as zest", "p = zest.ProbeSet.load('p')", *(f"reveal_type({each})" for each in asked)]
    (inside["cwd"] / "user.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pyright = Path(sys.executable).with_name("pyright")
    found = json.loads(attempt(pyright, "--outputjson", "--pythonpath", python, "user.py", **inside).stdout)
    revealed = [each["message"] for each in found["generalDiagnostics"] if each["severity"] == "information"]
    wrong = [each["message"] for each in found["generalDiagnostics"] if each["severity"] != "information"]
    # PyTorch is not installed here, and jaxlib describes no devices: among the arguments both are unknown. No result is.
    unknown = [message for message in revealed if "Unknown" in message.rpartition("-> ")[2]]
    if wrong or unknown or len(revealed) != len(asked):
        raise SystemExit(
            f"pyright knows {len(revealed)} of {len(asked)} types of the installed package; errors: {wrong}; unknown: {unknown}"
        )
    if not any(message.endswith('is "float"') for message in revealed):
        raise SystemExit(f"to a type checker a distance is not a float: {revealed[: len(REVEAL)]}")
    return len(asked)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="zest-wheel-check-") as scratch:
        dist, venv, empty = (Path(scratch) / name for name in ("dist", "venv", "empty"))
        empty.mkdir()
        built = build(dist)

        run(sys.executable, "-m", "venv", venv)
        env = outside(venv)
        bin_dir = Path(env["PATH"].partition(os.pathsep)[0])
        python = bin_dir / "python"
        run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--prefer-binary", built.wheel)
        run(python, "-m", "pip", "--disable-pip-version-check", "check")

        inside = {"cwd": empty, "env": env}
        version = run(python, "-c", "import zest_jax; print(zest_jax.__version__)", **inside).strip()
        if version != built.version:
            raise SystemExit(f"{built.wheel.name} says that it is version {version}")
        if version not in run("zest", "--version", **inside):
            raise SystemExit(f"`zest --version` does not print {version}")
        for command in ([], ["compare"]):
            if "--help" not in run("zest", *command, "--help", **inside):
                raise SystemExit(f"`zest {' '.join(command)} --help` shows no help")
        checks = json.loads(run("zest", "doctor", "--json", **inside))["checks"]
        if len(checks) < 5:
            raise SystemExit(f"`zest doctor` checked {len(checks)} things only")
        names = json.loads(run(python, "-c", "import json, zest_jax; print(json.dumps(zest_jax.__all__))", **inside))
        n_types = check_types(python, [name for name in names if not name.startswith("_")], **inside)
        run(python, "-c", MAKE_IMAGES, **inside)
        run("zest", "probes", "images.npy", "-o", "probes.npz", **inside)
        distances = json.loads(run(python, "-c", USE_IT, **inside).splitlines()[-1])
        table = run("zest", "distance", "victim.sig", "copy.sig", "unrelated.sig", "--json", **inside)
        json.loads(table)
        # As documents say it: from the folder of the sources, with no wheel at hand.
        with tarfile.open(built.sdist) as archive:
            archive.extractall(Path(scratch) / "source", filter="data")
        (source,) = (Path(scratch) / "source").iterdir()
        pip = (python, "-m", "pip", "--disable-pip-version-check")
        run(*pip, "uninstall", "--quiet", "--yes", "zest_jax")
        run(*pip, "install", "--quiet", "--prefer-binary", ".", cwd=source, env=env)
        if version not in run("zest", "--version", **inside):
            raise SystemExit(f"`pip install .` does not bring version {version}")
        print(f"{built.wheel.name} works from an empty directory: {distances}; {n_types} types are known")


if __name__ == "__main__":
    main()
