"""The files beside an ONNX model that hold its weights ("external data"), found without the `onnx` package."""

import mmap
import os
from pathlib import Path, PureWindowsPath

from zest_jax.blackbox.recognise import varint
from zest_jax.errors import FileFormatError, UnsafeFileError

# Where tensors lie in the messages of onnx.proto: the numbers of the fields that lead to them.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_FIXED_SIZES = {1: 8, 5: 4}  # bytes of the protobuf wire types of fixed size


def external_files(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Return the files that the ONNX model at `path` takes weights from, by the name that it gives them, sorted.

    Raises:
        FileFormatError: one of them is missing, or the model is damaged.
        UnsafeFileError: the model names a file outside its own folder.
    """
    path = Path(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            locations = external_locations(content)
        except ValueError as error:
            raise FileFormatError(f"{path} is a damaged ONNX model ({error}); copy or export it again") from error
    found = {}
    for location in sorted(locations):
        parts = PureWindowsPath(location)  # knows both kinds of slashes, and drives
        if parts.anchor or ".." in parts.parts:
            raise UnsafeFileError(
                f"{path} takes weights from {location!r}, outside its own folder; export it again with its weights "
                "beside it or inside"
            )
        found[location] = path.parent / location
        if not found[location].is_file():
            raise FileFormatError(f"{path} takes weights from {location!r}, which is not beside it; copy that file too")
    return found


def external_locations(model: bytes | mmap.mmap) -> set[str]:
    """Return the names of the external files in the content of an ONNX model; walks it without reading the weights.

    Raises:
        ValueError: it is no whole protobuf message.

    >>> external_locations(b"")
    set()
    """
    locations = set()
    todo = [("model", 0, len(model))] if model.find(b"location") >= 0 else []
    while todo:
        message, position, end = todo.pop()
        entry = {"key": b"", "value": b""}
        while position < end:
            tag, used = varint(model[position : position + 10])
            position += used
            if tag is None:
                raise ValueError("a field has no number")
            wire = tag & 7
            if wire in _FIXED_SIZES:
                position += _FIXED_SIZES[wire]
                continue
            value, used = varint(model[position : position + 10])
            position += used
            if value is None or wire not in (0, 2):
                raise ValueError("a field has no content")
            if wire == 0:
                continue
            start, position = position, position + value
            if position > end:
                break
            child = _FIELDS[message].get(tag >> 3)
            if child in entry:
                entry[child] = bytes(model[start:position])
            elif child is not None:
                todo.append((child, start, position))
        if position > end:
            raise ValueError(f"a {message} is longer than what it is in")
        if entry["key"] == b"location":
            locations.add(entry["value"].decode("utf-8", "surrogateescape"))
    return locations
