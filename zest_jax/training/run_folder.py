"""The folder of a run: who may write into it, and how a checkpoint gets there whole or not at all."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import orbax.checkpoint as ocp

from zest_jax.atomic import atomic_write
from zest_jax.training.checkpoints import FOLDER, Checkpoint, epoch_folder, epochs_in, fingerprint, weights_of
from zest_jax.version import __version__

RUN_FILE = "run.json"
# Newest checkpoints that stay: one is whole when the other is damaged.
KEPT = 2
_LOCK_FILE, _ASIDE = ".lock", ".replaced-"
# Seconds that a process which was just killed may take to end.
_PATIENCE = 10.0


class FolderInUseError(OSError):
    """Another process works in the folder.

    >>> issubclass(FolderInUseError, OSError)                                       # as of any folder that cannot be written to
    True
    """


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder.

    Raises:
        FolderInUseError: one is there, and stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / _LOCK_FILE)
    try:
        lock.acquire(timeout=_PATIENCE)
    except filelock.Timeout as error:
        raise FolderInUseError(
            f"another process works in {folder}; wait until it is done, or end it, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Note what is made in a folder, or refuse one where something else was.

    Raises:
        ValueError: the folder holds another model.
    """
    path = folder / RUN_FILE
    identity = json.loads(json.dumps(identity))
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} cannot be read ({error}); choose another folder") from error
        differ = [name for name in identity if stored.get(name) != identity[name]]
        if differ:
            shown = "; ".join(part for name in differ for part in _apart(name, stored.get(name), identity[name]))
            raise ValueError(f"{folder} holds another model: {shown}; choose another folder, or remove it")
        return
    if folder.is_dir() and epochs_in(folder):
        raise ValueError(f"{folder} holds checkpoints of unknown origin; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({**identity, "version": __version__}, indent=2) + "\n"
    with atomic_write(path) as file:
        file.write(content.encode())


class RunFolder:
    """The folder of one run, for one process at a time; Orbax writes each checkpoint aside and renames it when it is whole.

    Args:
        path: made when missing.
        keep_every: checkpoints of epochs that this divides stay, and the newest two; 0: only those two, so that one is whole
            when the other is damaged.

    Raises:
        FolderInUseError: another process works there.
    """

    def __init__(self, path: str | os.PathLike[str], *, keep_every: int = 0) -> None:
        self.path = Path(path).absolute()
        self._held = contextlib.ExitStack()
        self._held.enter_context(locked(self.path))
        (self.path / FOLDER).mkdir(exist_ok=True)
        self._put_back()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT,
            keep_period=keep_every or None,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(self.path / FOLDER, options=options)

    def save(self, checkpoint: Checkpoint, training: Mapping[str, Any] | None = None) -> Checkpoint:
        """Write a checkpoint, with what a training needs to go on; the one of the same epoch is replaced.

        Raises:
            OSError: it could not be written; those that were there stay.
        """
        epoch = checkpoint.info.epoch
        weights = weights_of(checkpoint.model)
        content = {**checkpoint.info.to_json(), "fingerprint": fingerprint(weights)}
        items: dict[str, Any] = {"model": ocp.args.StandardSave(weights)}
        if training is not None:
            content["training_fingerprint"] = fingerprint(training)
            items["training"] = ocp.args.StandardSave(dict(training))
        items["info"] = ocp.args.JsonSave(content)
        place, aside = epoch_folder(self.path, epoch), self.path / f"{_ASIDE}{epoch}"
        try:
            if place.exists():
                place.rename(aside)
                self._manager.reload()
            self._manager.save(epoch, args=ocp.args.Composite(**items), force=True)
            self._manager.wait_until_finished()
        except BaseException as error:
            self._put_back()
            if not isinstance(error, Exception):
                raise
            whole = epochs_in(self.path)
            raise OSError(
                f"the checkpoint of epoch {epoch} could not be written to {self.path / FOLDER} ({error}); "
                + (f"that of epoch {whole[-1]} is whole" if whole else "none was written before")
                + "; make room, then run the same again to go on"
            ) from error
        shutil.rmtree(aside, ignore_errors=True)
        return dataclasses.replace(checkpoint, path=place)

    def close(self) -> None:
        self._manager.close()
        self._held.close()

    def _put_back(self) -> None:
        """Undo a replacement that did not come to its end."""
        for aside in self.path.glob(f"{_ASIDE}*"):
            place = epoch_folder(self.path, int(aside.name.removeprefix(_ASIDE)))
            if place.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.rename(place)


def save_checkpoint(folder: str | os.PathLike[str], checkpoint: Checkpoint) -> Checkpoint:
    """Write a model that came about without training.

    Args:
        folder: of its run; made where it does not exist.
        checkpoint: the model.

    Raises:
        OSError: it could not be written; a checkpoint that was there stays.
        ValueError: the folder holds another model.

    >>> import tempfile
    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import CheckpointInfo
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = save_checkpoint(folder, victim)
    >>> saved.path.name, victim.path                                                # its folder is called after its epoch
    ('0', None)
    """
    run, info = RunFolder(folder), checkpoint.info
    try:
        claim(run.path, {"model": info.model.to_json(), "lineage": [dataclasses.asdict(step) for step in info.lineage]})
        return run.save(checkpoint)
    finally:
        run.close()


def _apart(name: str, there: Any, here: Any) -> list[str]:
    """What differs between two values, down to the settings of a recipe."""
    if isinstance(there, dict) and isinstance(here, dict):
        names = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        return [part for key in names for part in _apart(f"{name}.{key}", there.get(key), here.get(key))]
    return [f"`{name}` is {_brief(there)} there and {_brief(here)} here"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
