"""Recognise what kind of model a file or folder holds, by its content; nothing in it is ever run or unpickled here."""

import hashlib
import json
import os
import re
import zipfile
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from zest_jax.errors import FileFormatError, WrongFileError


class FileKind(Enum):
    """The kinds of model files, and the one kind of folder, worded for messages.

    >>> FileKind.ONNX.value
    'an ONNX model'
    """

    ONNX = "an ONNX model"
    TORCHSCRIPT = "a TorchScript program"
    EXPORTED = "a torch.export program"
    TORCH_ZIP = "a PyTorch file (torch.save)"
    TORCH_LEGACY = "a PyTorch file in the format before version 1.6"
    PICKLE = "a Python pickle"
    SAFETENSORS = "safetensors weights"
    CHECKPOINT = "a checkpoint"


_TORCH_LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit
_PICKLE_ENDINGS = {".pkl", ".pickle", ".joblib"}

# First bytes of files that people hand over by mistake, and what to say.
_FOREIGN = {
    b"\x89HDF": "an HDF5 file (Keras weights?); export the model to ONNX",
    b"\x89PNG": "a PNG image, not a model",
    b"\xff\xd8\xff": "a JPEG image, not a model",
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"\x93NUMPY": "a NumPy array, not a model",
    b"SQLite format 3": "an SQLite database (the journal of a remote model?), not a model; give its URL",
    b"GGUF": "a GGUF language model; only classifiers can be signed",
    b"<": "markup text (a downloaded web page?), not a model",
    b"version https://git-lfs": "a Git LFS pointer, not the model itself; fetch it with `git lfs pull`",
}

# What this package itself writes as safetensors, by the "format" in the metadata.
_OURS = {
    "zest-signature": "a signature, not a model; give the model itself, or compare signatures with `zest distance`",
    "zest-partial": "the checkpoint of an unfinished `zest sign`, not a model; give the model itself",
}


def recognise(path: str | os.PathLike[str]) -> FileKind:
    """Return what kind of model the file at `path` holds; the folder of a run or of one checkpoint in it is one too.

    Args:
        path: of the file or folder.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is empty, truncated, any other folder, a signature or probe set, or of no kind known here.

    >>> recognise("tests/golden/models/victim.onnx").value
    'an ONNX model'
    """
    if is_checkpoint_folder(path):
        return FileKind.CHECKPOINT
    path = existing_file(path)
    with path.open("rb") as file:
        head = file.read(64)
        size = path.stat().st_size
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _recognise_zip(path)
        if (kind := _recognise_safetensors(path, file, head, size)) is not None:
            return kind
        if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
            return FileKind.TORCH_LEGACY if _TORCH_LEGACY_MAGIC in head else FileKind.PICKLE
        for start, meaning in _FOREIGN.items():
            if head.startswith(start):
                raise WrongFileError(f"{path} is {meaning}")
        if path.suffix.lower() in _PICKLE_ENDINGS:
            return FileKind.PICKLE
        problem = onnx_problem(file, size)
    if problem is None:
        return FileKind.ONNX
    if path.suffix.lower() == ".onnx":
        raise (WrongFileError if problem.startswith(NOT_ONNX) else FileFormatError)(f"{path} is {problem}")
    raise WrongFileError(
        f"{path} is no model file known here: its content is none of ONNX, TorchScript, torch.export, torch.save or "
        "safetensors; export the model to ONNX, or write a function that loads it and pass `package.module:function`"
    )


def existing_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` if it is a file with something in it, else raise the error that says what it is."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {path}; give a model file, or a Python reference `package.module:function`"
        )
    if path.is_dir():
        raise WrongFileError(f"{path} is a folder, not a model file; {_what_to_give_of(path)}")
    if path.stat().st_size == 0:
        raise FileFormatError(f"{path} is empty; write or download it again")
    return path


def is_checkpoint_folder(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is the folder of a run of `zest train`, or one checkpoint in it (`RUN/checkpoints/12`)."""
    path = Path(path)
    return (path / "checkpoints").is_dir() or ((path / "info").is_dir() and (path / "model").is_dir())


def _what_to_give_of(folder: Path) -> str:
    if is_checkpoint_folder(folder):
        return "it holds a checkpoint: open it with `from_checkpoint` or `load_model`"
    if folder.name == "checkpoints" and any(is_checkpoint_folder(child) for child in folder.iterdir()):
        return f"give the run {folder.absolute().parent}, or one checkpoint in it ({folder / 'EPOCH'})"
    runs = sorted(child.name for child in folder.iterdir() if (child / "checkpoints").is_dir())
    if runs:
        return f"give one of the runs in it: {', '.join(runs[:5])}{', ...' if len(runs) > 5 else ''}"
    return "give the model file in it, or a run of `zest train`, which has a folder `checkpoints`"


def file_identity(path: str | os.PathLike[str], *more: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the file's content in hexadecimal: which model exactly was signed.

    With `more` files (the external data of an ONNX model, in a fixed order), the SHA-256 of the hashes of all of them,
    in hexadecimal, one a line.

    Args:
        path: of the file.
        *more: further files that belong to the same model.

    Returns:
        64 hexadecimal digits.

    Raises:
        FileNotFoundError: there is no such file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "model.onnx").write_bytes(b"weights")
    ...     print(file_identity(Path(folder, "model.onnx"))[:12])
    9a129038d9a0
    """
    hashes = []
    for part in (path, *more):
        with open(part, "rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if not more else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def onnx_problem(file: BinaryIO, size: int) -> str | None:
    """Return why `file` of `size` bytes is no ONNX model, or None if it looks like one.

    Walks the outermost fields of the protobuf message (`ModelProto`: ir_version 1, graph 7, opset_import 8) without
    reading what is in them.
    """
    fields: set[int] = set()
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(20)
        tag, used = varint(head)
        if tag is None or not 1 <= tag >> 3 <= 64 or tag & 7 not in (0, 2):
            return _not_onnx(fields)
        value, more = varint(head[used:])
        if value is None:
            return _not_onnx(fields)
        position += used + more + (value if tag & 7 == 2 else 0)
        fields.add(tag >> 3)
    if position > size:
        return f"a truncated ONNX model: {position} bytes are announced, {size} are there; copy it again"
    return None if {1, 7} <= fields else _not_onnx(fields)


# How a file is told of that never was an ONNX model.
NOT_ONNX = "not an ONNX model"


def _not_onnx(fields: set[int]) -> str:
    if {1, 7} <= fields:
        return "a damaged ONNX model; copy or export it again"
    return f"{NOT_ONNX}: its content is no ONNX protobuf message; give the file that the model was exported to"


def varint(data: bytes) -> tuple[int | None, int]:
    """Return the protobuf number at the beginning of `data`, None if there is none, and how many bytes it takes."""
    value = 0
    for i, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, i + 1
    return None, 0


def _recognise_safetensors(path: Path, file: BinaryIO, head: bytes, size: int) -> FileKind | None:
    if len(head) < 9 or head[8:9] != b"{":
        if path.suffix.lower() == ".safetensors":
            raise WrongFileError(f"{path} is not a safetensors file, whatever its name says")
        return None
    length = int.from_bytes(head[:8], "little")
    if length > _LARGEST_HEADER and path.suffix.lower() != ".safetensors":
        return None
    file.seek(8)
    try:
        if length > min(size - 8, _LARGEST_HEADER):
            raise ValueError("the header is cut off")
        header = json.loads(file.read(length))
        made = header.get("__metadata__")
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) > size:
            raise ValueError("weights are cut off")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise FileFormatError(f"{path} is a truncated or damaged safetensors file ({error}); copy it again") from error
    if isinstance(made, dict) and (ours := _OURS.get(str(made.get("format")))) is not None:
        raise WrongFileError(f"{path} is {ours}")
    return FileKind.SAFETENSORS


def _recognise_zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise FileFormatError(
            f"{path} begins like a PyTorch file but is truncated or damaged ({error}); copy it again"
        ) from error
    if names and all(name.endswith(".npy") for name in names):
        arrays = ", ".join(name.removesuffix(".npy") for name in names[:6])
        raise WrongFileError(
            f"{path} is a NumPy archive with the arrays {arrays}: a signature, a probe set or data, not a model; "
            "give the model itself"
        )
    inner = {name.partition("/")[2] or name for name in names}
    if any(re.match(r"models/.*\.json$", name) for name in inner) or "serialized_exported_program.json" in names:
        return FileKind.EXPORTED
    if "data.pkl" in inner and any(name.startswith("code/") for name in inner):
        return FileKind.TORCHSCRIPT
    if "data.pkl" in inner:
        return FileKind.TORCH_ZIP
    raise WrongFileError(
        f"{path} is a zip archive of no kind known here (it holds {', '.join(names[:4]) or 'nothing'}); "
        "give a model file: ONNX, TorchScript, torch.export, torch.save or safetensors"
    )
