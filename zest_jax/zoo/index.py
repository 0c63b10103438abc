"""`index.json` of a zoo: which models it holds, who was made from whom, and how."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zest_jax.atomic import atomic_write
from zest_jax.errors import FileFormatError
from zest_jax.training.checkpoints import LineageStep, epochs_in
from zest_jax.version import __version__
from zest_jax.zoo.config import Zoo, entry_json
from zest_jax.zoo.entries.base import Entry, Made
from zest_jax.zoo.workbench import MADE_FILE

INDEX_FILE = "index.json"
_FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """A model of a zoo, as its index tells.

    Attributes:
        name: of the model.
        kind: how it was made: "train", "prune", ...
        parents: names of the models that it was made from.
        path: relative to the index.
        model: name and options of its architecture.
        accuracy: on the test data, in [0, 1], or None.
        fingerprint: of its weights, or of its file.
        epochs: checkpoints that were kept.
        lineage: all that was done to it, oldest first.
        seconds: that making it took, without what an interrupted build had done before.
        digest: of its settings and those of its parents.
        settings: its entry in the configuration.

    >>> entry = IndexEntry(name="noisy", kind="noise", parents=["victim"], path="noisy", model={"name": "m5", "num_classes": 35},
    ...                    accuracy=0.74, fingerprint="0" * 64, epochs=[0], lineage=[LineageStep(kind="noise")], seconds=1.5,
    ...                    digest="0" * 64, settings={"scale": 0.1})
    >>> entry.parents, entry.lineage[-1].kind
    (['victim'], 'noise')
    """

    name: str
    kind: str
    parents: Sequence[str]
    path: str
    model: Mapping[str, Any]
    accuracy: float | None
    fingerprint: str
    epochs: Sequence[int]
    lineage: Sequence[LineageStep]
    seconds: float
    digest: str
    settings: Mapping[str, Any]


def read_index(root: str | os.PathLike[str]) -> list[IndexEntry]:
    """Read the index of a zoo.

    Args:
        root: folder of the zoo.

    Returns:
        its models, in the order of the configuration.

    Raises:
        FileNotFoundError: the folder has none.
        FileFormatError: it cannot be read.

    >>> import tempfile
    >>> entry = IndexEntry(name="noisy", kind="noise", parents=["victim"], path="noisy", model={"name": "m5", "num_classes": 35},
    ...                    accuracy=0.74, fingerprint="0" * 64, epochs=[0], lineage=[LineageStep(kind="noise")], seconds=1.5,
    ...                    digest="0" * 64, settings={"scale": 0.1})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "index.json").write_text(json.dumps({"models": [dataclasses.asdict(entry)]}))
    ...     read_index(folder) == [entry]
    True
    """
    path = Path(root) / INDEX_FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; build the zoo first: `zest zoo build CONFIG --out {root}`")
    try:
        return [_entry(content) for content in json.loads(path.read_text(encoding="utf-8"))["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} is damaged ({error}); build the zoo again, which keeps its models") from error


def write_index(zoo: Zoo, root: Path) -> list[IndexEntry]:
    """Write the index of the models that are there, with the settings that the zoo has now."""
    found = []
    for entry in zoo.models:
        with contextlib.suppress(ValueError):  # made with other settings: refused when it is its turn
            if (made := made_before(zoo, entry, root)) is not None:
                found.append(made)
    content = {
        "format": _FORMAT,
        "zoo": zoo.name,
        "version": __version__,
        "models": list(map(dataclasses.asdict, found)),
    }
    with atomic_write(root / INDEX_FILE) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
    return found


def note_made(zoo: Zoo, entry: Entry, made: Made, root: Path, seconds: float) -> IndexEntry:
    """Note that a model is whole."""
    found = IndexEntry(
        name=entry.name,
        kind=entry.kind,
        parents=entry.parents,
        path=made.path.relative_to(root).as_posix(),
        model=made.info.model.to_json(),
        accuracy=made.info.accuracy,
        fingerprint=made.fingerprint,
        epochs=epochs_in(made.path) if made.path.is_dir() else [],
        lineage=made.info.lineage,
        seconds=round(seconds, 1),
        digest=zoo.digest(entry),
        settings=entry_json(entry),
    )
    with atomic_write(root / entry.name / MADE_FILE) as file:
        file.write((json.dumps(dataclasses.asdict(found), indent=2) + "\n").encode())
    return found


def made_before(zoo: Zoo, entry: Entry, root: Path) -> IndexEntry | None:
    """What was noted of a model, if it is there.

    Raises:
        ValueError: a model of that name was made with other settings.
    """
    path = root / entry.name / MADE_FILE
    if not path.is_file():
        return None
    try:
        found = _entry(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError):
        return None
    if found.digest != zoo.digest(entry):
        raise ValueError(
            f"{root / entry.name} was made with other settings, or from a model that was; remove the folder to make it "
            "anew, or build into another one"
        )
    return found if (root / found.path).exists() else None


def _entry(content: Mapping[str, Any]) -> IndexEntry:
    return IndexEntry(**{**content, "lineage": [LineageStep(**step) for step in content["lineage"]]})
