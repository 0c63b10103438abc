"""What a notebook in colab/ holds: its headline numbers, its outputs, and nothing of the machine that ran it."""

import base64
import copy
import io
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PRESETS = ("small", "large")
PARAMETERS, HEADLINE = "parameters", "headline"
# A picture with more bytes than this as a PNG, such as one of photographs, becomes a JPEG of fewer pixels a row.
MOST_PNG, QUALITY = 60_000, 80
MOST_PIXELS = 800
# Trainings on other machines round otherwise, which moves accuracies and distances: what may lie between two runs.
# The second is one of fifty, the smallest step of a share in them.
RELATIVE, ABSOLUTE = 0.3, 0.02
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


def differences(found: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """How headline numbers differ from those kept, beyond what another machine's rounding explains.

    Numbers may differ by 30% or 0.02, whichever is more; words and truths may not.

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
    return abs(a - b) <= max(ABSOLUTE, RELATIVE * abs(b)) + 1e-9


def without_machine_detail(notebook: Any) -> Any:
    """A copy of an executed notebook with the outputs that a reader wants to see, and nothing of where it ran."""
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
