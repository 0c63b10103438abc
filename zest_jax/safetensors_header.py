"""Read the header of a safetensors file (8 bytes length, then JSON) without its tensors."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


def safetensors_header(source: str | os.PathLike[str] | BinaryIO) -> dict[str, Any] | None:
    """Return the header of a safetensors file: dtype, shape and `data_offsets` by tensor, and `__metadata__`.

    Args:
        source: its path, or the file itself, open at its beginning.

    Returns:
        None where the file does not begin like a safetensors file, or announces a header above `LARGEST_HEADER`.

    Raises:
        ValueError: it begins like one, but the header is cut off or is not a JSON object.
        OSError: it cannot be read.
    """
    with Path(source).open("rb") if isinstance(source, str | os.PathLike) else contextlib.nullcontext(source) as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > LARGEST_HEADER:
            return None
        file.seek(8)
        text = file.read(length)
    if len(text) < length:
        raise ValueError(f"the header is cut off: {length} bytes are announced, {len(text)} are there")
    try:
        header = json.loads(text)
    except RecursionError as error:
        raise ValueError("the header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError("the header is not a JSON object")
    return header


def safetensors_metadata(source: str | os.PathLike[str] | BinaryIO) -> dict[str, str] | None:
    """Return what a safetensors file says of itself (`__metadata__`); None where it is damaged or not such a file."""
    try:
        header = safetensors_header(source)
    except ValueError:
        return None
    if header is None:
        return None
    metadata = header.get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else None
