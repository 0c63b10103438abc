"""Class names that exporters leave in the metadata of a model file, as JSON or as a Python literal."""

import ast
import json
from collections.abc import Mapping
from typing import Any

_KEYS = ("class_names", "classes", "labels", "names")
_LONGEST_TEXT = 1_000_000  # characters: the names of 20,000 classes at 50 characters each
# What `json.loads` and `ast.literal_eval` raise on text of any content, however deeply it is nested.
_UNREADABLE = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)


def names_in_metadata(metadata: Mapping[str, str], n_classes: int | None) -> tuple[list[str] | None, str | None]:
    """Return the class names in `metadata`, or None and, where something looked like them, why they were ignored.

    Understood are a list of names, a mapping from index to name and a mapping from name to index, under "class_names",
    "classes", "labels" or "names"; the indices must be 0 to n - 1 and there must be `n_classes` names, if that is known.

    >>> names_in_metadata({"names": "{1: 'dog', 0: 'cat'}"}, 2)
    (['cat', 'dog'], None)
    >>> names_in_metadata({"classes": '["cat", "dog"]'}, 10)
    (None, '`classes` in the metadata: 2 names for 10 classes')
    """
    ignored = None
    for key in _KEYS:
        text = metadata.get(key, "")
        if not text.strip():
            continue
        try:
            names = _in_order(_read(text))
            if n_classes is not None and len(names) != n_classes:
                raise ValueError(f"{len(names)} names for {n_classes} classes")
        except ValueError as error:
            ignored = ignored or f"`{key}` in the metadata: {error}"
        else:
            return names, None
    return None, ignored


def _read(text: str) -> Any:
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"{len(text)} characters, more than {_LONGEST_TEXT}")
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except _UNREADABLE:
            continue
    raise ValueError("neither JSON nor a Python literal")


def _in_order(value: Any) -> list[str]:
    if isinstance(value, dict):
        if all(type(index) is int for index in value.values()):
            pairs = [(index, name) for name, index in value.items()]
        else:
            pairs = [(_as_index(key), name) for key, name in value.items()]
        pairs.sort(key=lambda pair: pair[0])
        if [index for index, _ in pairs] != list(range(len(pairs))):
            raise ValueError(f"the indices of its {len(pairs)} names are not 0 to {len(pairs) - 1}")
        value = [name for _, name in pairs]
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("no list of names, nor a mapping between indices and names")
    return list(value)


def _as_index(key: Any) -> int:
    # JSON has string keys only. The bound keeps `int` from text that only looks like a number.
    if type(key) is int:
        return key
    if isinstance(key, str) and key.isdecimal() and len(key) < 10:
        return int(key)
    raise ValueError("no list of names, nor a mapping between indices and names")
