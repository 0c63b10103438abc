"""Black boxes from checkpoints of this package's training."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from zest_jax.blackbox.flax import from_flax
from zest_jax.blackbox.protocol import JaxBlackBox, Returns
from zest_jax.data.known import Modality
from zest_jax.data.tokens import Tokenizer
from zest_jax.errors import missing_extra

if TYPE_CHECKING:
    from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo


class CheckpointSettings(TypedDict, total=False):
    """The keyword arguments of `from_checkpoint`."""

    label: str | None
    class_names: Sequence[str] | None
    returns: Returns


def from_checkpoint(
    checkpoint: "str | os.PathLike[str] | Checkpoint",
    *,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    returns: Returns = "auto",
) -> JaxBlackBox:
    """Make a black box of a checkpoint: the newest of a run, or that of one epoch (`RUN/checkpoints/12`).

    Inputs are plain: images [batch, H, W, C] float32 in [0, 1], sounds [batch, samples] in [-1, 1], or texts. Normalisation,
    sample rate and tokenizer of the training are part of the checkpoint. Models of one architecture share one compilation.

    Args:
        checkpoint: a folder, or a checkpoint in memory.
        label: the model's name in reports; by default that of the run's folder, with the epoch where one was named.
        class_names: one per output; those of the checkpoint by default.
        returns: as for `from_flax`.

    Returns:
        the black box; `settings["file_sha256"]` is the checkpoint's fingerprint, the SHA-256 of its weights.

    Raises:
        MissingExtraError: Orbax is not installed.
        FileNotFoundError: there is no checkpoint.
        FileFormatError: none can be read.
        ValueError: the model takes token ids, and the checkpoint has no tokenizer.
        ModelOutputError: when asked, if `class_names` do not fit.

    Warns:
        UserWarning: the newest checkpoint of a run is damaged and an older one was taken.

    >>> import tempfile
    >>> from zest_jax.models.registry import ModelConfig
    >>> from zest_jax.training import Checkpoint, CheckpointInfo, save_checkpoint
    >>> config = ModelConfig(name="resnet20", num_classes=10)
    >>> info = CheckpointInfo(model=config, input_shape=(8, 8, 3), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = save_checkpoint(f"{folder}/victim", Checkpoint(config.build(seed=1), info))
    ...     box = from_checkpoint(f"{folder}/victim")
    >>> box.label, box(np.zeros((4, 8, 8, 3), np.float32)).shape, box.settings["file_sha256"] == saved.fingerprint
    ('victim', (4, 10), True)
    """
    try:
        from zest_jax.training.checkpoints import Checkpoint, load_checkpoint
    except ImportError as error:
        package = "optax" if (error.name or "").startswith("optax") else "orbax-checkpoint"
        raise missing_extra(package, "train") from error
    if isinstance(checkpoint, Checkpoint):
        found, default = checkpoint, checkpoint.info.model.name
        if checkpoint.path is not None:
            default = _run_of(checkpoint.path).name
    else:
        found = load_checkpoint(checkpoint)
        default = name_of(Path(checkpoint))
    info = found.info
    label = label or default
    modality = _modality(info, label)
    texts = modality == "text"
    box = from_flax(
        found.model,
        label=label,
        class_names=class_names if class_names is not None else info.class_names or None,
        mean=None if texts else info.mean or None,
        std=None if texts else info.std or None,
        rate=info.rate,
        tokenizer=Tokenizer.from_json(info.tokenizer) if texts and info.tokenizer is not None else None,
        returns=returns,
    )
    box.settings |= {
        "adapter": "checkpoint",
        "modality": modality,
        "architecture": info.model.name,
        "input_shape": list(info.input_shape),
        "epoch": info.epoch,
        "file_sha256": found.fingerprint,
    }
    return box


def _modality(info: "CheckpointInfo", label: str) -> Modality:
    """What a model takes."""
    if info.tokenizer is not None:
        return "text"
    if info.model.name == "lstm":
        raise ValueError(
            f"{label} takes token ids, and its checkpoint has no tokenizer that makes them of texts; train it on texts, or wrap "
            "it with `from_flax(model, tokenizer=...)`"
        )
    return "image" if len(info.input_shape) == 3 else "audio"


def name_of(path: Path) -> str:
    """What the model of a folder is called: after its run, with the epoch where one was named."""
    path = path.absolute()
    run = _run_of(path)
    return path.name if run == path else f"{run.name} epoch {path.name}"


def _run_of(path: Path) -> Path:
    """The run that a checkpoint `RUN/checkpoints/12` belongs to; any other path is returned as it is."""
    return path.parents[1] if path.name.isdigit() and path.parent.name == "checkpoints" else path
