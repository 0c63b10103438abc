"""Fill, run and check the notebooks in colab/.

python scripts/notebooks.py --fill            the repository of pyproject.toml into badges and install lines
python scripts/notebooks.py --run             run all, keep outputs without detail of the machine, and headline numbers as results
python scripts/notebooks.py --run 1 3         the same of some, by their numbers
python scripts/notebooks.py --check           exit with 1 if anything in colab/ is not as these would leave it

Headline numbers are what the last cell of a notebook prints as JSON. They are kept in
benchmarks/results/notebooks/NAME/PRESET.json.
"""

import argparse
import base64
import io
import json
import os
import re
import socket
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLAB = ROOT / "colab"
RESULTS = ROOT / "benchmarks" / "results" / "notebooks"
sys.path.insert(0, str(ROOT))

PRESETS = ("small", "large")
KERNEL = "zest-notebooks"
PARAMETERS, HEADLINE = "parameters", "headline"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
# Of a whole notebook with its outputs.
MOST_BYTES = 500_000
# A picture with more bytes than this as a PNG, such as one of photographs, becomes a JPEG of fewer pixels a row.
MOST_PNG, QUALITY = 60_000, 80
MOST_PIXELS = 800
# Trainings on other machines round otherwise, which moves accuracies and distances: what may lie between two runs.
RELATIVE, ABSOLUTE = 0.3, 0.05
# What a notebook's own metadata holds, whoever ran it.
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}
# What tells of the machine that ran a notebook: paths, durations, addresses of objects.
MACHINE_DETAIL = {
    "a path": r"(?<![\w.:/])(/(home|root|tmp|work|usr|opt|var|mnt|Users|content|private)/\S*)|\b[A-Z]:\\\\?\w+"
    r"|site-packages|ipykernel_\d+",
    "a duration": r"\b\d+(\.\d+)?\s?(ms|s|sec|secs|seconds|minutes)\b|\bit/s\b",
    "an address of an object": r"\bat 0x[0-9a-f]{6,}",
}


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
        for path in notebooks(given.run):
            run_and_keep(path)
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


def run_and_keep(path: Path) -> None:
    """Run a notebook, write its outputs into it, and its headline numbers into the results."""
    from benchmarks.record import environment

    fill(path)
    about = environment()
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


def without_machine_detail(notebook: Any) -> Any:
    """A copy of an executed notebook with the outputs that a reader wants to see, and nothing of where it ran."""
    import copy

    from nbformat.v4 import new_notebook

    cells = []
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", ()):
            raise ValueError("a notebook that ran with other parameters is not to be kept; run it without")
        cell = copy.deepcopy(cell)
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = [
                plain_output(output)
                for output in cell.outputs
                if output.get("name") != "stderr" and output.output_type != "error"
            ]
        cells.append(cell)
    return new_notebook(cells=cells, metadata=copy.deepcopy(METADATA))


def plain_output(output: Any) -> Any:
    """An output without metadata, its pictures small and without a note of what drew them."""
    if output.output_type == "stream":
        return output
    output.metadata = {}
    if "image/png" in output.data:
        kind, content = small_picture(base64.b64decode(output.data["image/png"]))
        output.data = {kind: base64.b64encode(content).decode()}
    return output


def small_picture(png: bytes) -> tuple[str, bytes]:
    """A picture as PNG, or as JPEG where that would be large, without a note of what drew it: its type, and its bytes."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    target = io.BytesIO()
    picture.save(target, "PNG", optimize=True)
    if len(target.getvalue()) <= MOST_PNG:
        return "image/png", target.getvalue()
    target = io.BytesIO()
    picture.thumbnail((MOST_PIXELS, 2 * MOST_PIXELS))
    picture.save(target, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return "image/jpeg", target.getvalue()


# --- what notebooks hold ----------------------------------------------------------------------------------------------


def read(path: Path) -> Any:
    """A notebook, checked against the format."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def write(notebook: Any, path: Path) -> None:
    """Write a notebook, checked against the format."""
    import nbformat

    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def outputs(notebook: Any) -> Iterator[tuple[int, Any]]:
    """Number of the cell, and output."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            for output in cell.outputs:
                yield number, output


def tagged(notebook: Any, tag: str) -> Any:
    """The one cell with a tag."""
    found = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]
    if len(found) != 1:
        raise ValueError(f"{len(found)} cells are tagged {tag!r}; one is needed")
    return found[0]


def headline(notebook: Any) -> dict[str, Any]:
    """The headline numbers that an executed notebook shows."""
    cell = tagged(notebook, HEADLINE)
    printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    if not printed:
        raise ValueError("the cell of the headline numbers shows nothing; run the notebook")
    return json.loads(printed)


def preset_of(notebook: Any) -> str:
    """The preset that a notebook has where nobody chooses another."""
    found = re.search(r'^preset = "(\w+)"$', tagged(notebook, PARAMETERS).source, re.M)
    if found is None or found[1] not in PRESETS:
        raise ValueError(f'the cell of the parameters sets no preset; it needs preset = "{PRESETS[0]}"')
    return found[1]


def result_file(path: Path, preset: str = PRESETS[0]) -> Path:
    """Where the headline numbers of a notebook are kept."""
    return RESULTS / path.stem / f"{preset}.json"


def differences(found: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """How headline numbers differ from those kept, beyond what another machine's rounding explains.

    Numbers may differ by 30% or 0.05, whichever is more; words and truths may not.

    >>> differences({"distance": 0.1, "related": True}, {"distance": 0.12, "related": False})
    ['related is True, kept is False']
    >>> differences({"distance": 0.5}, {"distance": 0.2})
    ['distance is 0.5, kept is 0.2']
    """
    if found.keys() != kept.keys():
        return [f"the numbers are {', '.join(found)}; kept are {', '.join(kept)}"]
    return [f"{name} is {found[name]}, kept is {kept[name]}" for name in kept if not near(found[name], kept[name])]


def near(a: Any, b: Any) -> bool:
    """Whether two headline values agree."""
    exact = (bool, str, type(None))
    if isinstance(a, exact) or isinstance(b, exact):
        return type(a) is type(b) and a == b
    return abs(a - b) <= max(ABSOLUTE, RELATIVE * abs(b))


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
    kept = json.loads(result_file(path).read_text(encoding="utf-8"))["numbers"] if result_file(path).exists() else None
    if kept is None:
        found.append(f"there is no {result_file(path).relative_to(ROOT)}; run scripts/notebooks.py --run")
    elif kept != headline(notebook):
        found.append(
            f"its numbers are not those of {result_file(path).relative_to(ROOT)}; run scripts/notebooks.py --run"
        )
    return found


def machine_detail(notebook: Any) -> list[str]:
    """What an executed notebook tells of the machine that ran it."""
    found = []
    if notebook.metadata != METADATA:
        found.append(f"its metadata is {json.dumps(notebook.metadata)}")
    names = {name for name in (socket.gethostname(), os.environ.get("USER"), os.environ.get("LOGNAME")) if name}
    patterns = MACHINE_DETAIL | {
        "a name of this machine or its user": "|".join(rf"\b{re.escape(name)}\b" for name in names - {"root"})
        or r"(?!)"
    }
    for number, cell in enumerate(notebook.cells):
        if set(cell.metadata) - {"tags"}:
            found.append(f"cell {number} has metadata {', '.join(cell.metadata)}")
    for number, output in outputs(notebook):
        if output.output_type == "error" or output.get("name") == "stderr":
            found.append(f"cell {number} keeps an error or what went to stderr")
        if output.get("metadata"):
            found.append(f"an output of cell {number} has metadata")
        pictures = [value for kind, value in output.get("data", {}).items() if kind in ("image/png", "image/jpeg")]
        if any(map(has_text, pictures)):
            found.append(f"a picture of cell {number} says what drew it")
        for text in shown_texts(output):
            for what, pattern in patterns.items():
                if match := re.search(pattern, text):
                    found.append(f"cell {number} shows {what}: {match[0]!r}")
    return found


def shown_texts(output: Any) -> list[str]:
    """The texts of an output; pictures are none."""
    if output.output_type == "stream":
        return [output.text]
    return [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]


def has_text(encoded: str) -> bool:
    """Whether a picture carries texts, such as the version of what drew it."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    return bool(getattr(picture, "text", {}) or picture.info.keys() & {"comment", "exif", "Software"})


if __name__ == "__main__":
    sys.exit(main())
