"""Checkpoints: a model with all that is known about it, on disk so that nothing half-written is ever taken for whole.

    RUN/run.json              what is made here, from what, how
    RUN/metrics.jsonl         of a training: one line per epoch
    RUN/checkpoints/12/       after epoch 12: weights, state of the training, `CheckpointInfo` (written by Orbax)

Weights and state carry fingerprints, so that a damaged file is noticed when it is read. `run_folder.py` writes them.
"""

import dataclasses
import functools
import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from zest_jax.data.tokens import as_stored
from zest_jax.errors import FileFormatError
from zest_jax.models.classifier import Classifier
from zest_jax.models.registry import ModelConfig
from zest_jax.training.engine import Preparation
from zest_jax.training.evaluation import outputs
from zest_jax.version import __version__

FOLDER = "checkpoints"
_SHOWN = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineageStep:
    """One thing that was done to a model.

    Attributes:
        kind: "train", "transfer", "prune", "quantize", "distill", "extract", "unlearn", ...
        parent: fingerprint of the model that it was done to, or learnt from; None for a model that began with random weights.
        settings: how, as plain JSON values.

    >>> LineageStep(kind="prune", parent="0" * 64, settings={"sparsity": 0.5}).settings["sparsity"]
    0.5
    """

    kind: str
    parent: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What is known about a model besides its weights.

    Attributes:
        model: name and options, from which the architecture is built.
        input_shape: of one input, without the batch.
        mean: normalisation of the inputs, in the scale [0, 1] per channel; () where inputs are taken as they are.
        std: likewise.
        class_names: one per class, or () when unknown.
        rate: samples per second of the sounds that it takes, or None when it takes none or the rate is unknown.
        tokenizer: of a model that takes texts, as `zest_jax.data.tokens.Tokenizer.to_json` writes it, or None.
        dataset: name of what it was trained on.
        data_hash: SHA-256 of what it was trained on.
        recipe: settings of the last training, or None.
        seed: of the last training, or None.
        epoch: epochs done in it.
        accuracy: on the test data that came with the training, in [0, 1], or None.
        lineage: everything that was done to it, oldest first.
        version: of this package.

    >>> config = ModelConfig(name="resnet20", num_classes=2)
    >>> info = CheckpointInfo(model=config, input_shape=(32, 32, 3), class_names=("cat", "dog"))
    >>> CheckpointInfo.from_json(info.to_json()) == info, info.lineage, info.accuracy
    (True, (), None)
    """

    model: ModelConfig
    input_shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()
    rate: int | None = None
    tokenizer: str | None = None
    dataset: str = ""
    data_hash: str = ""
    recipe: Mapping[str, Any] | None = None
    seed: int | None = None
    epoch: int = 0
    accuracy: float | None = None
    lineage: tuple[LineageStep, ...] = ()
    version: str = __version__

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`."""
        return {**dataclasses.asdict(self), "model": self.model.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "CheckpointInfo":
        """Read what `to_json` made.

        Raises:
            KeyError, TypeError: a field is missing or unknown.
        """
        content = dict(content)
        content["model"] = ModelConfig.from_json(content["model"])
        content["lineage"] = tuple(LineageStep(**step) for step in content["lineage"])
        for name in ("input_shape", "mean", "std", "class_names"):
            content[name] = tuple(content[name])
        return cls(**content)


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model and what is known about it.

    Attributes:
        model: in evaluation mode, float32; takes normalised inputs.
        info: where it comes from.
        path: the folder it was read from or written to, or None.

    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> victim.outputs(np.zeros((3, 512), np.int16)).shape, len(victim.fingerprint)
    ((3, 2), 64)
    """

    model: Classifier
    info: CheckpointInfo
    path: Path | None = None

    @property
    def preparation(self) -> Preparation:
        """How inputs are normalised before the model sees them."""
        return Preparation(self.info.mean, self.info.std)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and running statistics, as hexadecimal digits."""
        return fingerprint(weights_of(self.model))

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """Logits [N, classes] on inputs as stored in a data set: uint8 images, int16 sounds, texts as objects.

        Args:
            inputs: [N, ...].
        """
        return outputs(self.model, as_stored(inputs, self.info.tokenizer, origin="the input"), self.preparation)


def load_checkpoint(path: str | os.PathLike[str], *, model: Classifier | None = None) -> Checkpoint:
    """Read a checkpoint: the newest whole one of a run, or the one of an epoch (`RUN/checkpoints/12`).

    Args:
        path: folder of the run or of one checkpoint.
        model: a model to read the weights into, in place of a new one of the recorded architecture.

    Raises:
        FileNotFoundError: there is no checkpoint.
        FileFormatError: none can be read, or the weights do not fit `model`: what misses and what is too much is listed.

    Warns:
        UserWarning: the newest checkpoint of a run is damaged and an older one was taken.

    >>> import tempfile
    >>> from zest_jax.training import save_checkpoint
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = save_checkpoint(folder, victim)
    ...     load_checkpoint(folder).fingerprint == victim.fingerprint
    True
    """
    path = Path(path).absolute()
    if is_checkpoint(path):
        return read_checkpoint(path, model)
    epochs = epochs_in(path)
    if not epochs:
        raise FileNotFoundError(
            f"there is no checkpoint in {path}; give the folder of a run, which has a folder `{FOLDER}`, or one checkpoint in it"
        )
    damage: list[str] = []
    for epoch in reversed(epochs):
        try:
            found = read_checkpoint(epoch_folder(path, epoch), model)
        except DamagedCheckpointError as error:
            damage.append(str(error))
            continue
        if damage:
            warnings.warn(f"{'; '.join(damage)}; taking the checkpoint of epoch {epoch}", stacklevel=2)
        return found
    raise FileFormatError(
        f"no checkpoint of {path} can be read: {'; '.join(damage)}; take another copy of the folder, or train again into another"
    )


def load_training(path: Path) -> dict[str, Any]:
    """Read what a training needs to go on from one checkpoint: flat dictionaries of arrays."""
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            items = reader.restore(
                path, args=ocp.args.Composite(training=ocp.args.StandardRestore(), info=ocp.args.JsonRestore())
            )
        found = {name: np.asarray(array) for name, array in items["training"].items()}
        expected = items["info"]["training_fingerprint"]
    except Exception as error:
        raise DamagedCheckpointError(f"the state of the training in {path} cannot be read ({_short(error)})") from error
    if fingerprint(found) != expected:
        raise DamagedCheckpointError(f"the state of the training in {path} is damaged (it is not what was written)")
    return found


class DamagedCheckpointError(FileFormatError):
    """A checkpoint is cut short or altered.

    >>> import tempfile
    >>> from zest_jax.training import save_checkpoint
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = save_checkpoint(folder, victim)
    ...     for file in saved.path.rglob("_METADATA"):
    ...         file.unlink()
    ...     load_checkpoint(saved.path)
    Traceback (most recent call last):
    zest_jax.training.checkpoints.DamagedCheckpointError: ...
    """


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is one checkpoint (and not a run)."""
    return (path / "info").is_dir() and (path / "model").is_dir()


def epoch_folder(run: Path, epoch: int) -> Path:
    """Folder of the checkpoint of an epoch."""
    return run / FOLDER / str(epoch)


def epochs_in(run: Path) -> list[int]:
    """Epochs of the checkpoints in a run, ascending; those that were not finished are not counted."""
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and p.is_dir())


def weights_of(model: nnx.Module) -> dict[str, np.ndarray]:
    """Weights and running statistics by dotted name, such as `stages.0.conv1.kernel`."""
    # Random states of dropout are no part of a trained model.
    state = nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))
    flat = nnx.to_flat_state(state)
    return {".".join(map(str, name)): np.asarray(variable[...]) for name, variable in flat}


def set_weights(model: nnx.Module, weights: Mapping[str, Any], *, origin: str) -> None:
    """Put weights by name into a model of the same architecture.

    Raises:
        FileFormatError: the names or shapes differ; both ways are listed.
    """
    state = nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))
    variables = {".".join(map(str, name)): variable for name, variable in nnx.to_flat_state(state)}
    missing = [name for name in variables if name not in weights]
    unexpected = [name for name in weights if name not in variables]
    shapes = [
        f"{name}: {tuple(weights[name].shape)} where {tuple(variables[name].shape)} is needed"
        for name in variables
        if name in weights and tuple(weights[name].shape) != tuple(variables[name].shape)
    ]
    if missing or unexpected or shapes:
        parts = [
            f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            for what, names in (("missing", missing), ("not in the model", unexpected), ("of another shape", shapes))
            if names
        ]
        raise FileFormatError(f"the weights of {origin} do not fit {type(model).__name__}; {'; '.join(parts)}")
    for name, variable in variables.items():
        variable[...] = np.asarray(weights[name])
    nnx.update(model, state)


def fingerprint(weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and values, whatever their order.

    >>> fingerprint({"a": np.zeros(2), "b": np.ones(1)}) == fingerprint({"b": np.ones(1), "a": np.zeros(2)})
    True
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_checkpoint(path: Path, model: Classifier | None = None) -> Checkpoint:
    """Read the checkpoint of one epoch.

    Raises:
        DamagedCheckpointError: it is not whole.
        FileFormatError: its weights do not fit `model`.
    """
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            items = reader.restore(
                path, args=ocp.args.Composite(model=ocp.args.StandardRestore(), info=ocp.args.JsonRestore())
            )
        content = dict(items["info"])
        weights = {name: np.asarray(array) for name, array in items["model"].items()}
        expected = content.pop("fingerprint")
        content.pop("training_fingerprint", None)
        info = CheckpointInfo.from_json(content)
    except Exception as error:
        raise DamagedCheckpointError(f"{path} is damaged ({_short(error)})") from error
    if fingerprint(weights) != expected:
        raise DamagedCheckpointError(f"{path} is damaged (its weights are not those that were written)")
    if model is None:
        model = info.model.build()
    set_weights(model, weights, origin=str(path))
    model.eval()
    return Checkpoint(model, info, path)


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
