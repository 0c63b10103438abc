"""Training from the first epoch to the last, or from where an interrupted run was left."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.data.streaming import Stream
from zest_jax.data.tokens import Tokenizer
from zest_jax.models.registry import ModelConfig
from zest_jax.progress import progress_bar
from zest_jax.training.beyond_labels import Extras
from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo, LineageStep
from zest_jax.training.engine import StepMetrics, train_steps
from zest_jax.training.feeding import describe
from zest_jax.training.objectives import Objective
from zest_jax.training.recipes import Recipe
from zest_jax.training.run import FitResult, Run

# Steps that may be under way before their losses are looked at.
_LOOK_EVERY = 16


def start_checkpoint(config: ModelConfig, data: Dataset | Stream, *, seed: int) -> Checkpoint:
    """Make a model with random weights for a data set, whose normalisation and class names travel with it.

    For texts, the words of the data set make the tokenizer.

    Args:
        config: which model.
        data: what it is to be trained on.
        seed: of the weights.

    Returns:
        the model, with its normalisation and class names.

    Raises:
        ValueError: the numbers of classes differ, or the model cannot take such inputs.

    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> start = start_checkpoint(config, data, seed=0)
    >>> start.info.class_names, start.info.input_shape, start.info.epoch
    (('yes', 'no'), (512,), 0)
    """
    described = describe(data)
    if config.num_classes != len(described.class_names):
        raise ValueError(
            f"{described.name} has {len(described.class_names)} classes and {config.name} was asked for "
            f"{config.num_classes}; give as many"
        )
    model = config.build(seed)
    tokenizer, shape = None, described.input_shape
    if isinstance(data, Dataset) and data.modality == "text":
        vocabulary = getattr(getattr(model, "embed", None), "num_embeddings", None)
        if vocabulary is None:
            raise ValueError(f"{data.name} holds texts, and {config.name} takes none; choose lstm")
        made = Tokenizer.of_texts(data.inputs, vocabulary=vocabulary)
        tokenizer, shape = made.to_json(), made.encode(list(data.inputs[:1])).shape[1:]
    model.check_input(shape)
    info = CheckpointInfo(
        model=config,
        input_shape=shape,
        mean=described.mean,
        std=described.std,
        class_names=described.class_names,
        rate=described.rate,
        tokenizer=tokenizer,
    )
    return Checkpoint(model, info)


def train(
    config: ModelConfig,
    data: Dataset | Stream,
    recipe: Recipe,
    *,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    record: Sequence[int] | None = None,
    record_together: bool = False,
    save_every: int = 0,
    progress: bool | None = False,
    devices: Sequence[jax.Device] | None = None,
) -> FitResult:
    """Train a new model from random weights; see `fit`.

    Args:
        config: which model.
        data: inputs and labels, in memory, or a stream of batches.
        recipe: how to train.
        seed: decides the weights too.

    The other arguments and errors are those of `fit`.

    >>> import dataclasses
    >>> from zest_jax.training import recipe
    >>> rng = np.random.default_rng(0)
    >>> data = Dataset(
    ...     inputs=rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("cat", "dog"), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> how = dataclasses.replace(recipe("fast-cifar"), epochs=1, batch_size=4, progressive=())
    >>> result = train(ModelConfig(name="resnet20", num_classes=2), data, how, seed=0, test=data)
    >>> 0 <= result.checkpoint.info.accuracy <= 1, result.checkpoint.info.lineage[0].kind
    (True, 'train')
    """
    return fit(
        start_checkpoint(config, data, seed=seed),
        data,
        recipe,
        seed=seed,
        step=LineageStep(kind="train"),
        folder=folder,
        test=test,
        record=record,
        record_together=record_together,
        save_every=save_every,
        progress=progress,
        devices=devices,
    )


def fit(
    start: Checkpoint,
    data: Dataset | Stream,
    recipe: Recipe,
    *,
    seed: int,
    step: LineageStep,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    targets: np.ndarray | None = None,
    objective: Objective | None = None,
    extras: Any = None,
    trained: Collection[str] | None = None,
    mask: Mapping[str, np.ndarray] | None = None,
    record: Sequence[int] | None = None,
    record_together: bool = False,
    save_every: int = 0,
    progress: bool | None = False,
    devices: Sequence[jax.Device] | None = None,
) -> FitResult:
    """Train a model further.

    On accelerators whole epochs are one compiled `lax.scan` over data that lie on the device. With `folder`, a training
    that was interrupted, at whatever point, goes on when it is started again with the same arguments, and ends with the
    same weights, bit for bit, on the same kind of device; a finished one is read and returned.

    Args:
        start: the model to begin with; it stays as it is. Inputs are normalised as it says.
        data: inputs and labels, in memory, or a stream of batches (of the recipe's batch size).
        recipe: how to train.
        seed: decides the order of the inputs, augmentation and dropout.
        step: what is added to the model's lineage.
        folder: of the run: `run.json`, `metrics.jsonl` with one line per epoch, and checkpoints.
        test: where the accuracy is measured, after the last epoch and for each checkpoint that stays.
        targets: what is learnt in place of the labels: classes int [N] or rows of outputs [N, classes].
        objective: the loss; cross-entropy with the recipe's label smoothing by default.
        extras: arrays for the objective.
        trained: dotted names of the parameters to train; None: all. A batch normalisation of which no parameter is
            trained stays in evaluation mode.
        mask: dotted name of a parameter to factors of its updates; where it is 0, a weight stays.
        record: rows; the updates of all batches that hold one of them are summed (Graves et al. 2020).
        record_together: the recorded rows fill batches of their own in every epoch, so that as few batches as possible hold
            one of them, and least is lost when their updates are taken back.
        save_every: epochs between checkpoints that stay; 0: only the newest two stay.
        progress: show a bar on stderr; None: when stderr is a terminal.
        devices: batches are shared out over them; None: one CPU, or all accelerators if the batch can be divided.

    Raises:
        NonFiniteLossError: the loss became infinite or no number; says at which step.
        OSError: a checkpoint could not be written; earlier ones stay.
        ValueError: the classes or shapes of model and data do not fit, the folder holds another training, or there are
            fewer inputs than a batch.

    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> start = start_checkpoint(config, data, seed=0)
    >>> result = fit(start, data, Recipe(batch_size=4), seed=0, step=LineageStep(kind="train"), test=data)
    >>> result.history[0]["step"], 0 <= result.checkpoint.info.accuracy <= 1, start.info.accuracy
    (2, True, None)
    """
    run = Run(
        start,
        data,
        recipe,
        seed=seed,
        step=step,
        folder=None if folder is None else Path(folder).expanduser().absolute(),
        test=test,
        extras=Extras(
            targets=targets,
            objective=objective,
            arrays=extras,
            trained=trained,
            mask=mask,
            record=record,
            record_together=record_together,
        ),
        save_every=save_every,
        devices=devices,
    )
    try:
        finish([run], progress=progress)
        return run.result()
    finally:
        run.close()


def finish(runs: Sequence[Run], *, progress: bool | None, until: int | None = None) -> None:
    """Do the epochs that are left, or those up to `until`, one run after the other, with one bar."""
    if not runs:
        return
    total = sum(run.total_inputs for run in runs)
    done = sum(run.inputs_done for run in runs)
    kinds = {f"{run.step.kind} {run.start.info.model.name}" for run in runs}
    with progress_bar(", ".join(sorted(kinds)), total, unit=runs[0].unit, show=progress, done=done) as update:
        for run in runs:
            others = sum(other.inputs_done for other in runs if other is not run)
            while run.epoch < (run.recipe.epochs if until is None else until):
                one_epoch(run, lambda inputs, others=others: update(others + inputs))


def one_epoch(run: Run, update: Callable[[int], None]) -> None:
    """Do the next epoch of a run; `update` gets the number of inputs that it has seen."""
    began = time.monotonic()
    before, steps = run.inputs_done, 0
    waiting: list[StepMetrics] = []
    found: list[StepMetrics] = []

    def look() -> None:
        metrics = StepMetrics(
            *(np.concatenate([np.asarray(value) for value in part]) for part in zip(*waiting, strict=True))
        )
        run.check(metrics, first=sum(len(part.loss) for part in found))
        found.append(metrics)
        waiting.clear()

    for data, rows in run.feed.chunks(run.epoch):
        for plan, start, stop in run.cut(steps, len(rows)):
            part = rows[start:stop]
            placed = jax.device_put(part, run.rows_sharding) if run.rows_sharding else part
            run.state, metrics = train_steps(plan, run.state, data, placed, run.key)
            waiting.append(metrics)
        steps += len(rows)
        if len(waiting) >= _LOOK_EVERY:
            look()
            update(before + steps * run.recipe.batch_size)
    if waiting:
        look()
    metrics = StepMetrics(*(np.concatenate(part) for part in zip(*found, strict=True)))
    run.finish_epoch(metrics, time.monotonic() - began, due=run.due)
    update(run.inputs_done)
