"""A zoo as one typed value in a Python file: `zoo = Zoo(name=..., models=(...))`."""

import dataclasses
import hashlib
import json
import os
import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zest_jax.errors import FileFormatError, WrongFileError
from zest_jax.models.registry import ModelConfig
from zest_jax.zoo.entries.base import Entry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Zoo:
    """Models and how they come from each other.

    Attributes:
        name: of the zoo.
        models: `Train`, `Transfer`, `Prune`, ... (`zest_jax.zoo`); each may be made from any that comes before it.

    Raises:
        ValueError: a name is used twice or is no file name, or a model is made from one that does not come before it.

    >>> from zest_jax.zoo import Noise
    >>> Zoo(name="lonely", models=(Noise(name="copy", of="victim", scale=0.1),))
    Traceback (most recent call last):
    ValueError: 'copy' is made from 'victim', which does not come before it in zoo 'lonely'; known there: (none)
    """

    name: str
    models: Sequence[Entry]

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(self.models))
        known: list[str] = []
        if not self.models:
            raise ValueError(f"zoo {self.name!r} has no models")
        for entry in self.models:
            if not isinstance(entry, Entry):
                raise ValueError(f"zoo {self.name!r} holds {entry!r}, which is no entry; see zest_jax.zoo")
            if not _NAME.fullmatch(entry.name):
                raise ValueError(f"{entry.name!r} is no name for a folder; use letters, digits, '.', '_' and '-'")
            if entry.name in known:
                raise ValueError(f"zoo {self.name!r} has two models called {entry.name!r}; give each its own name")
            for parent in entry.parents:
                if parent not in known:
                    raise ValueError(
                        f"{entry.name!r} is made from {parent!r}, which does not come before it in zoo {self.name!r}; "
                        f"known there: {', '.join(known) or '(none)'}"
                    )
            known.append(entry.name)

    def entry(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            ValueError: there is none.
        """
        for entry in self.models:
            if entry.name == name:
                return entry
        raise ValueError(f"zoo {self.name!r} has no model {name!r}; it has {', '.join(e.name for e in self.models)}")

    def digest(self, entry: Entry) -> str:
        """SHA-256 of an entry and all that it is made from: it changes when the model would."""
        parts = [entry_json(entry), *(self.digest(self.entry(parent)) for parent in entry.parents)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as plain values."""
    return {"type": type(entry).__name__, "kind": entry.kind, **_plain(entry)}


def load_zoo(path: str | os.PathLike[str]) -> Zoo:
    """Run a Python file and take its `zoo`.

    The file is code: run only your own, or what you have read.

    Args:
        path: of the Python file.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it fails, or defines no `zoo`.

    >>> import tempfile
    >>> text = '''
    ... from zest_jax.zoo import *
    ... from zest_jax.models import ModelConfig
    ... from zest_jax.training import Recipe
    ...
    ... victim = Train(name="victim", model=ModelConfig(name="m5", num_classes=2), recipe=Recipe(batch_size=4), seed=0)
    ... zoo = Zoo(name="small", models=(victim, Noise(name="noisy", of="victim", scale=0.1)))
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "small.py").write_text(text)
    ...     zoo = load_zoo(f"{folder}/small.py")
    >>> zoo.name, [entry.name for entry in zoo.models]
    ('small', ['victim', 'noisy'])
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give a Python file that defines `zoo`")
    try:
        found = runpy.run_path(str(path)).get("zoo")
    except Exception as error:
        raise FileFormatError(f"{path} cannot be used as a zoo: {type(error).__name__}: {error}") from error
    if not isinstance(found, Zoo):
        raise WrongFileError(f"{path} does not define `zoo = Zoo(...)`; see configs/zoo")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, ModelConfig):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
