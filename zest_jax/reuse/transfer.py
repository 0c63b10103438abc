"""Fine-tuning and transfer: a trained model goes on learning, from its last layers up to all of them."""

import dataclasses
import math
import os
from typing import Any

from flax import nnx

from zest_jax.data.datasets import Dataset
from zest_jax.models.classifier import with_head
from zest_jax.training.checkpoints import Checkpoint, LineageStep
from zest_jax.training.loop import fit
from zest_jax.training.recipes import Recipe
from zest_jax.training.run import FitResult


def transfer(
    victim: Checkpoint,
    data: Dataset,
    recipe: Recipe,
    *,
    share: float = 100.0,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    progress: bool | None = False,
) -> FitResult:
    """Give a model a fresh head for other classes, and train its last parameters (paper, section 4.2: 10, 50, 100%).

    Inputs are normalised as the victim's were, which is what its weights expect.

    Args:
        victim: stays as it is.
        data: what the new model learns; of an input size that the model takes.
        recipe: how, such as `recipe("fine-tune")`.
        share: percentage of the parameter tensors that are trained, counted from the output, rounded up; never less than
            the head.
        seed: of the new head, and as in `fit`.
        folder: as in `fit`.
        test: as in `fit`.
        save_every: as in `fit`.
        progress: as in `fit`.

    Raises:
        ValueError: `share` is out of range, or the model cannot take the inputs.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import start_checkpoint
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = start_checkpoint(config, data, seed=0)
    >>> result = transfer(victim, data, Recipe(batch_size=4), share=10, seed=1)
    >>> step = result.checkpoint.info.lineage[-1]
    >>> step.kind, step.settings["share"], step.parent == victim.fingerprint
    ('transfer', 10, True)
    """
    model: Any = with_head(_plain(victim), data.num_classes, seed=seed)
    config = dataclasses.replace(victim.info.model, num_classes=data.num_classes)
    info = dataclasses.replace(
        victim.info,
        model=config,
        class_names=data.class_names,
        input_shape=data.input_shape if data.modality == "image" else victim.info.input_shape,
    )
    return _trained(
        Checkpoint(model, info), victim, data, recipe, "transfer", share, seed, folder, test, save_every, progress
    )


def fine_tune(
    victim: Checkpoint,
    data: Dataset,
    recipe: Recipe,
    *,
    share: float = 100.0,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    progress: bool | None = False,
) -> FitResult:
    """Train a model further on the same classes, its head included; see `transfer`.

    Args:
        victim: stays as it is.
        data: what the model learns further, of the same classes.
        recipe: how, such as `recipe("fine-tune")`.
        seed: as in `fit`.

    The other arguments are those of `transfer`.

    Raises:
        ValueError: `share` is out of range, or the data have another number of classes.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import start_checkpoint
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = start_checkpoint(config, data, seed=0)
    >>> fine_tune(victim, data, Recipe(batch_size=4), seed=1).checkpoint.info.lineage[-1].kind
    'fine-tune'
    """
    if data.num_classes != victim.info.model.num_classes:
        raise ValueError(
            f"{data.name} has {data.num_classes} classes and the model, whose head is kept, {victim.info.model.num_classes}; "
            "give data with as many, or the model a new head (`transfer`; on the command line without --keep-head)"
        )
    start = Checkpoint(_plain(victim), victim.info)
    return _trained(start, victim, data, recipe, "fine-tune", share, seed, folder, test, save_every, progress)


def last_parameters(model: Any, share: float) -> list[str]:
    """Dotted names of the last `share` percent of a model's parameter tensors, the head at least.

    >>> from zest_jax.models import create
    >>> last_parameters(create("resnet20", 10), 5)
    ['stages.2.2.units.1.norm.bias', 'head.kernel', 'head.bias']
    """
    if not 0 < share <= 100:
        raise ValueError(
            f"`share` is {share}; give the percentage of parameter tensors to train, above 0 and up to 100"
        )
    names = [".".join(map(str, path)) for path in model.depth_order()]
    head = sum(name.startswith("head.") for name in names)
    return names[-max(head, math.ceil(share / 100 * len(names))) :]


def _trained(
    start: Checkpoint,
    victim: Checkpoint,
    data: Dataset,
    recipe: Recipe,
    kind: str,
    share: float,
    seed: int,
    folder: str | os.PathLike[str] | None,
    test: Dataset | None,
    save_every: int,
    progress: bool | None,
) -> FitResult:
    names = last_parameters(start.model, share)
    return fit(
        start,
        data,
        recipe,
        seed=seed,
        step=LineageStep(
            kind=kind,
            parent=victim.fingerprint,
            settings={"share": share},
        ),
        folder=folder,
        test=test,
        trained=names,
        save_every=save_every,
        progress=progress,
    )


def _plain(checkpoint: Checkpoint) -> Any:
    return nnx.clone(checkpoint.model)
