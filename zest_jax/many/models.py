"""Which models are meant by files, folders and Python references, and what each is called."""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from zest_jax.blackbox.checkpoint import name_of
from zest_jax.blackbox.external_data import external_files
from zest_jax.blackbox.files import is_reference
from zest_jax.blackbox.recognise import FileKind, file_identity, is_checkpoint_folder, recognise
from zest_jax.names import check_text

# Of a folder, files that end so are its models; what else lies there (logs, labels, signatures) is not.
ENDINGS = (".onnx", ".pt", ".pth", ".pt2", ".ts", ".safetensors")

Naming = Literal["file", "path"]


class Model(NamedTuple):
    """A model by name.

    Attributes:
        name: what it is called in a store.
        source: absolute path of its file or folder, or `package.module:function`.

    >>> (model,) = find_models(["tests/golden/models/victim.onnx"])
    >>> model.name, model.source.endswith("victim.onnx")
    ('victim', True)
    """

    name: str
    source: str


def find_models(given: Sequence[str | os.PathLike[str]], *, names: Naming = "file") -> list[Model]:
    """Find the models that are meant, each with a name of its own.

    Args:
        given: model files; folders of runs of `zest train`, or checkpoints in them; Python references; folders of zoos; any
            other folder stands for the model files (by their endings) and runs that lie directly in it.
        names: what models are called: "file", after their file, run, or entry of the zoo; "path", as they were given, without
            the file's ending.

    Returns:
        the models, in the order given, those of a folder by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a model is behind an address; a folder holds none; two would have the same name, or one an impossible one.

    Warns:
        UserWarning: a model is given twice; it is taken once.

    >>> [model.name for model in find_models(["tests/golden/models"])]
    ['unrelated', 'victim', 'victim_epoch3']
    """
    if names not in ("file", "path"):
        raise ValueError(f"`names` is {names!r}; choose 'file' or 'path'")
    found: dict[str, Model] = {}
    sources: set[str] = set()
    for one in given:
        for name, source in _models_of(str(one), names):
            if source in sources:
                warnings.warn(f"{source} is given twice; it is taken once", stacklevel=2)
                continue
            sources.add(source)
            check_text("name", name)
            if (other := found.get(name)) is not None:
                way_out = (
                    "`names='path'` calls models after their paths"
                    if names == "file"
                    else "rename one, or leave it out"
                )
                raise ValueError(
                    f"{other.source} and {source} would both be called {name!r}; in a store names are unique: {way_out}"
                )
            found[name] = Model(name, source)
    return list(found.values())


def identity_of(source: str) -> str | None:
    """SHA-256 of a model's file, as its signature will tell (`settings["model"]["file_sha256"]`).

    Of checkpoints it is the fingerprint that is noted in the newest, whose weights are not read; None where nothing tells, as
    of Python references.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is no model file, or an ONNX model without its external data.
    """
    if is_reference(source):
        return None
    if is_checkpoint_folder(source):
        return _noted_fingerprint(Path(source))
    more = external_files(source).values() if recognise(source) is FileKind.ONNX else ()
    return file_identity(source, *more)


def _noted_fingerprint(path: Path) -> str | None:
    """Fingerprint of the newest checkpoint of a run, or of one checkpoint, as its JSON has it."""
    if (path / "checkpoints").is_dir():
        epochs = [child for child in (path / "checkpoints").iterdir() if child.name.isdigit()]
        if not epochs:
            return None
        path = max(epochs, key=lambda child: int(child.name))
    try:
        found = json.loads((path / "info" / "metadata").read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        # Damaged: who opens it takes the one before.
        return None
    return found if isinstance(found, str) else None


def _models_of(given: str, names: Naming) -> Iterator[tuple[str, str]]:
    if given.lower().startswith(("http://", "https://")):
        raise ValueError(
            f"{given} is asked over the network, which costs money and has a journal; sign it by itself: `zest sign {given} "
            "--probes ... -o NAME.sig`, and add it with `zest store add`"
        )
    if is_reference(given):
        yield given, given
        return
    path = Path(given)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {given}; give model files, folders of models, or Python references `package.module:function`"
        )
    if path.is_file() or is_checkpoint_folder(path):
        yield _name(path, names), str(path.absolute())
    elif (path / "index.json").is_file():
        yield from _of_zoo(path, names)
    else:
        yield from _in_folder(path, names)


def _of_zoo(folder: Path, names: Naming) -> Iterator[tuple[str, str]]:
    from zest_jax.zoo.index import read_index

    for entry in read_index(folder):
        yield (
            entry.name if names == "file" else _name(folder / entry.path, names),
            str((folder / entry.path).absolute()),
        )


def _in_folder(folder: Path, names: Naming) -> Iterator[tuple[str, str]]:
    inside = [
        child
        for child in sorted(folder.iterdir())
        if (child.is_file() and child.suffix.lower() in ENDINGS) or is_checkpoint_folder(child)
    ]
    if not inside:
        raise ValueError(
            f"the folder {folder} holds no model: no run of `zest train` and no file that ends in {', '.join(ENDINGS)}; name the "
            "models themselves"
        )
    for child in inside:
        yield _name(child, names), str(child.absolute())


def _name(path: Path, names: Naming) -> str:
    if is_checkpoint_folder(path):
        return name_of(path) if names == "file" else path.as_posix()
    return path.stem if names == "file" else path.with_suffix("").as_posix()
