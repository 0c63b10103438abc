"""Fill, run and check the notebooks in colab/.

python scripts/notebooks.py --fill            the repository of pyproject.toml into badges and install lines
python scripts/notebooks.py --run             run all, keep outputs without detail of the machine, and headline numbers as results
python scripts/notebooks.py --run 1 3         the same of some, by their numbers
python scripts/notebooks.py --check           exit with 1 if anything in colab/ is not as these would leave it

Headline numbers are what the last cell of a notebook prints as JSON. They are kept in
benchmarks/results/notebooks/NAME/PRESET.json.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from notebook_contents import PRESETS, headline, machine_detail, outputs, preset_of, read, without_machine_detail, write

ROOT = Path(__file__).resolve().parent.parent
COLAB = ROOT / "colab"
RESULTS = ROOT / "benchmarks" / "results" / "notebooks"
sys.path.insert(0, str(ROOT))

KERNEL = "zest-notebooks"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
# Of a whole notebook with its outputs, and seconds that it may take on two cores that do nothing else.
MOST_BYTES, MOST_SECONDS = 500_000, 180
# What results name besides JAX.
PACKAGES = ("flax", "onnxruntime", "scikit-learn", "torch")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--fill", action="store_true", help="fill badges and install lines")
    what.add_argument("--run", nargs="*", metavar="N", help="run notebooks and keep what they show")
    what.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    if given.fill:
        for path in notebooks():
            fill(path)
        return 0
    if given.run is not None:
        from benchmarks.record import environment

        # Before the first: each that is run changes a file that git knows.
        about = environment(*PACKAGES)
        for path in notebooks(given.run):
            run_and_keep(path, about)
        return 0
    wrong = [f"{path.relative_to(ROOT)}: {text}" for path in notebooks() for text in problems(path)]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return int(bool(wrong))


def notebooks(numbers: Sequence[str] = ()) -> list[Path]:
    """The notebooks, in order; or those whose names begin with the numbers given."""
    found = sorted(COLAB.glob("*.ipynb"))
    known = {path.stem.split("_")[0] for path in found}
    if unknown := [number for number in numbers if number not in known]:
        raise SystemExit(f"there is no notebook {', '.join(unknown)}; choose {', '.join(sorted(known))}")
    return [path for path in found if not numbers or path.stem.split("_")[0] in numbers]


# --- the repository ---------------------------------------------------------------------------------------------------


def repository() -> str:
    """The address of the repository: the one setting, in pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"].rstrip("/")


def filled(source: str, name: str, address: str) -> str:
    """The source of a cell with the repository in its badge and its install line.

    >>> filled('"zest_jax[demo] @ git+https://github.com/OLD/zest"', "1_a", "https://github.com/NEW/zest")
    '"zest_jax[demo] @ git+https://github.com/NEW/zest"'
    """
    place = address.removeprefix("https://github.com/")
    badge = (
        f"[![Open in Colab]({BADGE})](https://colab.research.google.com/github/{place}/blob/main/colab/{name}.ipynb)"
    )
    source = re.sub(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)", lambda _: badge, source)
    return re.sub(r'(@ git\+)https?://[^"\s]+', lambda match: match[1] + address, source)


def fill(path: Path) -> None:
    """Write the repository into a notebook."""
    notebook = read(path)
    for cell in notebook.cells:
        cell.source = filled(cell.source, path.stem, repository())
    write(notebook, path)


# --- running ----------------------------------------------------------------------------------------------------------


def execute(path: Path, *, preset: str | None = None) -> Any:
    """Run a notebook from top to bottom with the Python that runs this, and return it with its outputs.

    Args:
        path: of the notebook; it stays as it is.
        preset: instead of the one in the notebook.

    Raises:
        papermill.PapermillExecutionError: a cell failed.
    """
    import papermill

    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "kernels" / KERNEL
        spec.mkdir(parents=True)
        # A kernel that is installed under some name may be that of another Python.
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": KERNEL, "language": "python"}))
        (Path(folder) / "cwd").mkdir()
        before = dict(os.environ)
        os.environ.update(kernel_environment(folder))
        try:
            return papermill.execute_notebook(
                str(path),
                None,
                parameters={} if preset is None else {"preset": preset},
                kernel_name=KERNEL,
                cwd=f"{folder}/cwd",
                progress_bar=False,
            )
        finally:
            os.environ.clear()
            os.environ.update(before)


def kernel_environment(folder: str) -> dict[str, str]:
    """What a kernel needs to find itself and this checkout, and to see one device for each that there is."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    search = [str(ROOT), os.environ.get("PYTHONPATH")]
    jupyter = [folder, os.environ.get("JUPYTER_PATH")]
    return {
        "JUPYTER_PATH": os.pathsep.join(filter(None, jupyter)),
        "PYTHONPATH": os.pathsep.join(filter(None, search)),
        # One thread each: several notebooks run side by side in the tests, and small models lose more by waiting than they win.
        "XLA_FLAGS": f"{flags.strip()} --xla_cpu_multi_thread_eigen=false".strip(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax")),
        # The inline backend of notebooks; one set for tests would show nothing.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        # Debuggers want to be told that modules are frozen.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def run_and_keep(path: Path, about: dict[str, Any]) -> None:
    """Run a notebook, write its outputs into it, and its headline numbers and what is known about the run into the results."""
    fill(path)
    start = time.monotonic()
    executed = execute(path)
    seconds = time.monotonic() - start
    for cell, output in outputs(executed):
        if output.output_type == "stream" and output.name == "stderr":
            print(f"{path.name}, cell {cell}, wrote to stderr:\n{output.text}", file=sys.stderr)
    stripped = without_machine_detail(executed)
    write(stripped, path)
    result = {
        "notebook": f"colab/{path.name}",
        "command": f"python scripts/notebooks.py --run {path.stem.split('_')[0]}",
        "preset": preset_of(stripped),
        "seconds": round(seconds, 1),
        "numbers": headline(stripped),
        "environment": about,
    }
    target = result_file(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path.name}: {seconds:.0f} s, {path.stat().st_size / 1000:.0f} kB; {target.relative_to(ROOT)}")


def result_file(path: Path, preset: str = PRESETS[0]) -> Path:
    """Where the headline numbers of a notebook are kept."""
    return RESULTS / path.stem / f"{preset}.json"


# --- checking ---------------------------------------------------------------------------------------------------------


def problems(path: Path) -> list[str]:
    """What is wrong with a notebook as it is committed."""
    notebook = read(path)
    found = [
        f"cell {number} names another repository than pyproject.toml; run scripts/notebooks.py --fill"
        for number, cell in enumerate(notebook.cells)
        if filled(cell.source, path.stem, repository()) != cell.source
    ]
    if not notebook.cells[0].source.startswith("[![Open in Colab]"):
        found.append("the first cell has no badge")
    if sum("@ git+" in cell.source for cell in notebook.cells) != 1:
        found.append("one cell must install from the repository")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not run once each from top to bottom; run scripts/notebooks.py --run")
        return found
    if (size := path.stat().st_size) >= MOST_BYTES:
        found.append(f"it has {size:,} bytes; at most {MOST_BYTES:,} are wanted")
    if preset_of(notebook) != PRESETS[0]:
        found.append(f"its preset is {preset_of(notebook)}; the one to be run is {PRESETS[0]}")
    found += machine_detail(notebook)
    kept, named = result_file(path), result_file(path).relative_to(ROOT)
    if not kept.exists():
        return [*found, f"there is no {named}; run scripts/notebooks.py --run"]
    result = json.loads(kept.read_text(encoding="utf-8"))
    if result["numbers"] != headline(notebook):
        found.append(f"its numbers are not those of {named}; run scripts/notebooks.py --run")
    if result["seconds"] > MOST_SECONDS:
        found.append(f"it took {result['seconds']} s by {named}; at most {MOST_SECONDS} are wanted")
    if "+changes" in str(result["environment"]["commit"]):
        found.append(f"{named} is of no commit; commit first, then run scripts/notebooks.py --run")
    return found


if __name__ == "__main__":
    sys.exit(main())
