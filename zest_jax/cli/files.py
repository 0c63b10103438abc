"""Recognise what the files on the command line are, and refuse a mix-up in words that help."""

import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zest_jax.safetensors_header import safetensors_metadata

if TYPE_CHECKING:
    from zest_jax.probes import ProbeSet
    from zest_jax.signature import Signature

Kind = Literal["signature", "checkpoint", "probes", "other"]


class UsageError(Exception):
    """The command line asks for something that cannot be: exit code 2."""


def kind_of(path: str | Path) -> Kind:
    """Say what a file holds by its content; "other" may be a model, images, or anything."""
    path = Path(path)
    try:
        if not path.is_file():
            return "other"
    except OSError:  # such as a name that is too long for a file
        return "other"
    metadata = safetensors_metadata(path)
    if metadata is not None:
        return {"zest-signature": "signature", "zest-partial": "checkpoint"}.get(str(metadata.get("format")), "other")  # pyright: ignore[reportReturnType]
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                return "probes" if {"header.npy", "packed_masks.npy"} <= set(archive.namelist()) else "other"
        except (zipfile.BadZipFile, OSError):
            return "other"
    return "other"


def check_model(model: str) -> None:
    """Refuse a signature or a probe set where a model is expected, and a path where there is nothing."""
    kind = kind_of(model)
    if kind == "signature":
        raise UsageError(f"{model} is a signature, not a model; to compare signatures, run `zest distance`")
    if kind == "checkpoint":
        raise UsageError(f"{model} is the checkpoint of an unfinished `zest sign`, not a model; give the model itself")
    if kind == "probes":
        raise UsageError(f"{model} is a probe set, not a model; pass it with --probes")


def read_probes(path: Path) -> "ProbeSet":
    """Load a probe set, or say what the file is instead."""
    from zest_jax.probes import ProbeSet

    check_exists(path, "make it with `zest probes SOURCE -o probes.npz`")
    kind = kind_of(path)
    if kind in ("signature", "checkpoint"):
        raise UsageError(f"{path} is a {kind}, not a probe set; --probes takes the file that `zest probes` wrote")
    return ProbeSet.load(path)


def read_signature(path: Path) -> "Signature":
    """Load a signature, or say what the file is instead."""
    from zest_jax.signature import Signature

    check_name(path)
    if path.is_dir() and _is_model(path):
        raise UsageError(
            f"{path} is a model, not a signature; sign it first: "
            f"`zest sign {path} --probes probes.npz -o {path.absolute().name}.sig`"
        )
    check_exists(path, "make it with `zest sign MODEL --probes probes.npz -o model.sig`")
    kind = kind_of(path)
    if kind == "probes":
        raise UsageError(
            f"{path} is a probe set, not a signature; sign a model with it: `zest sign MODEL --probes {path} -o model.sig`"
        )
    if kind == "checkpoint":
        raise UsageError(
            f"{path} is the checkpoint of an unfinished `zest sign`, not a signature; run that command again, "
            "it goes on from there"
        )
    if kind == "other" and _is_model(path):
        raise UsageError(
            f"{path} is a model, not a signature; sign it first: `zest sign {path} --probes probes.npz -o {path.stem}.sig`"
        )
    return Signature.load(path)


def check_name(path: Path) -> None:
    """Refuse what cannot be the name of a file."""
    try:
        path.exists()
    except OSError as error:
        shown = str(path) if len(str(path)) <= 60 else f"{str(path)[:60]}..."
        raise UsageError(f"{shown} cannot be a file ({error.strerror}); name a signature") from error


def check_exists(path: Path, remedy: str) -> None:
    """Refuse a path where there is no file, saying what to do about it."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; {remedy}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file")


def check_output(path: Path) -> None:
    """Refuse an output that cannot be written before the work begins."""
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    try:
        # Results are written beside their place and renamed, so it is the folder that must take a new file.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: the folder {path.parent} takes no new file ({error.strerror}); name another"
        ) from error


def _is_model(path: Path) -> bool:
    from zest_jax.blackbox.recognise import recognise
    from zest_jax.errors import FileFormatError

    if path.suffix.lower() in (".sig", ".safetensors"):
        return False  # a damaged signature; its own reader says so
    try:
        recognise(path)
    except FileFormatError:
        return False
    return True
