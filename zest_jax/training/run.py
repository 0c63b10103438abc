"""One training with all that it keeps: its state on the device, its folder, its metrics."""

import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zest_jax.data.datasets import Dataset
from zest_jax.data.known import PLURAL
from zest_jax.data.streaming import Stream
from zest_jax.data.subsets import checked_rows
from zest_jax.data.tokens import as_stored
from zest_jax.errors import NonFiniteLossError
from zest_jax.training.beyond_labels import LABELS_ALONE, Extras, checked_mask, checked_targets
from zest_jax.training.checkpoints import (
    Checkpoint,
    DamagedCheckpointError,
    LineageStep,
    epoch_folder,
    epochs_in,
    load_training,
    read_checkpoint,
    set_weights,
    weights_of,
)
from zest_jax.training.classes import check_rate, labels_for
from zest_jax.training.engine import Plan, StepMetrics, TrainState, as_pure
from zest_jax.training.evaluation import accuracy
from zest_jax.training.feeding import (
    Feed,
    ResidentFeed,
    StreamFeed,
    describe,
    shardings,
)
from zest_jax.training.identity import identity, noted
from zest_jax.training.metrics import add_metrics, metrics_up_to
from zest_jax.training.objectives import CrossEntropy
from zest_jax.training.parameters import among, mask_like, set_modes, trained_names
from zest_jax.training.recipes import Recipe
from zest_jax.training.run_folder import RunFolder, claim
from zest_jax.training.stored_state import RECORDED, going_on, named, restored
from zest_jax.version import __version__

# A checkpoint to go on from is written when the last one is older than this, in seconds.
SAVE_AFTER = 30.0


class FitResult(NamedTuple):
    """What came out of a training.

    Attributes:
        checkpoint: the model, in evaluation mode, with everything known about it.
        history: one entry per epoch, as in `metrics.jsonl`.
        recorded: by name of the weight, the sum of the updates of all batches that held a recorded row, in the shape of the
            weight [..]; or None.

    >>> from zest_jax.data import Dataset
    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import train
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> result = train(config, data, Recipe(batch_size=4), seed=0)
    >>> [line["epoch"] for line in result.history], result.checkpoint.info.epoch, result.recorded
    ([1], 1, None)
    """

    checkpoint: Checkpoint
    history: list[dict[str, Any]]
    recorded: dict[str, np.ndarray] | None


class Run:
    """A training between its epochs.

    Makes the state that the compiled steps carry, or takes it from the folder where it was left; see `fit`.

    Args:
        at_most: go on from no later epoch than this one; None: from the last whole checkpoint.

    Attributes:
        epoch: epochs done.
        state: on the device.
        feed: the data.
        unit: what it goes through: images, texts or sounds.
    """

    def __init__(
        self,
        start: Checkpoint,
        data: Dataset | Stream,
        recipe: Recipe,
        *,
        seed: int,
        step: LineageStep,
        folder: Path | None = None,
        test: Dataset | None = None,
        extras: Extras = LABELS_ALONE,
        save_every: int = 0,
        devices: Sequence[jax.Device] | None = None,
        at_most: int | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f"`seed` is {seed}; give 0 or more")
        self.start, self.recipe, self.seed = start, recipe, seed
        self.save_every, self.history = save_every, []
        self.described = describe(data)
        self.step = noted(step, recipe=recipe, seed=seed, described=self.described, extras=extras)
        info = start.info
        for known in (data, test):
            if isinstance(known, Dataset):
                check_rate(known, info)
        self._test = None if test is None else (test, labels_for(test, info))
        model = info.model.build(seed=seed, dtype=recipe.dtype)
        set_weights(model, weights_of(start.model), origin="the model to start from")
        if isinstance(data, Dataset):
            stored = as_stored(data.inputs, info.tokenizer, origin=data.name)
            shape = stored.shape[1:]
        else:
            stored, shape = None, self.described.input_shape
        self._image_size = (shape[0], shape[1]) if len(shape) == 3 else None
        _check_sizes(model, shape, recipe)
        names = trained_names(model, extras.trained)
        set_modes(model, names)
        # Trained parameters apart, so that no gradient of the others is computed.
        graphdef, trained, frozen, rest = nnx.split(model, among(names), nnx.Param, ...)
        trained, frozen, rest = as_pure(trained), as_pure(frozen), as_pure(rest)
        objective = extras.objective or CrossEntropy(label_smoothing=recipe.label_smoothing)
        self.sharding, self.rows_sharding = shardings(devices, recipe.batch_size)
        mask = None
        if extras.mask is not None:
            checked_mask(extras.mask, names)
            mask = mask_like(trained, extras.mask)
        self.feed = self._feed(data, stored, model.num_classes, mask, extras)
        self._plan = Plan(
            graphdef=graphdef,
            recipe=recipe,
            steps_per_epoch=self.feed.steps_per_epoch,
            objective=objective,
            preparation=start.preparation,
        )
        recorded = jax.tree.map(jnp.zeros_like, trained) if extras.record is not None else None
        state = TrainState(
            trained, frozen, rest, self._plan.transform.init(trained), jnp.zeros((), jnp.int32), recorded
        )
        self.epoch = 0
        self.folder = None
        self._path = folder
        if folder is not None:
            self.folder = RunFolder(folder, keep_every=save_every)
            try:
                claim(
                    folder,
                    identity(
                        start,
                        self.step,
                        recipe=recipe,
                        seed=seed,
                        described=self.described,
                        extras=extras,
                        trained=names,
                    ),
                )
                state = self._resumed(folder, state, at_most)
            except BaseException:
                self.folder.close()
                raise
        self.unit = PLURAL[data.modality if isinstance(data, Dataset) else "image"]
        self.state: TrainState = jax.device_put(state, self.sharding)
        self.key = jax.random.key(seed)
        self._saved_at = time.monotonic()

    @property
    def total_inputs(self) -> int:
        return self.recipe.epochs * self.feed.steps_per_epoch * self.recipe.batch_size

    @property
    def inputs_done(self) -> int:
        return self.epoch * self.feed.steps_per_epoch * self.recipe.batch_size

    def plan(self, scale: float = 1.0) -> Plan:
        """What steps are compiled from that show images at a share of their size."""
        if self._image_size is None or scale == 1:
            return self._plan
        height, width = self._image_size
        return dataclasses.replace(self._plan, size=(round(height * scale), round(width * scale)))

    def cut(self, first: int, steps: int) -> Iterator[tuple[Plan, int, int]]:
        """Cut a chunk of the coming epoch, which begins with its step `first`, where the size of the images changes.

        Yields:
            the plan of a part, and which of the chunk's steps it has: from, up to.
        """
        for start, stop, scale in self.recipe.stretches(self.epoch, self.feed.steps_per_epoch):
            start, stop = max(start - first, 0), min(stop - first, steps)
            if stop > start:
                yield self.plan(scale), start, stop

    def check(self, metrics: StepMetrics, first: int) -> None:
        """Stop at the first loss that is no number; `first` is the number of the first step of `metrics` in its epoch.

        Raises:
            NonFiniteLossError: names the step.
        """
        bad = np.flatnonzero(~np.isfinite(metrics.loss))
        if bad.size:
            step = self.epoch * self.feed.steps_per_epoch + first + int(bad[0]) + 1
            kept = epochs_in(self._path) if self._path else []
            raise NonFiniteLossError(
                f"the loss of step {step:,} (epoch {self.epoch + 1} of {self.recipe.epochs}) is {metrics.loss[bad[0]]}; "
                "lower the learning rate, or look for inputs that are not finite"
                + (f"; the checkpoint of epoch {kept[-1]} in {self._path} is whole" if kept else "")
            )

    @property
    def measures(self) -> bool:
        """Whether the checkpoint after the epoch under way is one that stays, whose accuracy is measured."""
        epoch = self.epoch + 1
        return epoch == self.recipe.epochs or (self.save_every > 0 and epoch % self.save_every == 0)

    @property
    def due(self) -> bool:
        """Whether the state is looked at after the epoch under way, to be measured or saved."""
        return self.measures or (self.folder is not None and time.monotonic() - self._saved_at > SAVE_AFTER)

    def finish_epoch(self, metrics: StepMetrics, seconds: float, *, due: bool) -> None:
        """Note an epoch's metrics, and write a checkpoint when one is due."""
        measures = self.measures
        self.epoch += 1
        step = self.epoch * self.feed.steps_per_epoch
        checkpoint = None
        line: dict[str, Any] = {
            "epoch": self.epoch,
            "step": step,
            "loss": float(metrics.loss.mean()),
            "accuracy": float(metrics.accuracy.mean()),
            "learning_rate": np.asarray(self.recipe.learning_rates(self.feed.steps_per_epoch)(step - 1)).item(),
            "inputs_per_second": len(metrics.loss) * self.recipe.batch_size / seconds,
        }
        if measures:
            checkpoint = self.checkpoint(measured=True)
            if checkpoint.info.accuracy is not None:
                line["test_accuracy"] = checkpoint.info.accuracy
        self.history.append(line)
        if self.folder is None or self._path is None:
            return
        # Before the checkpoint: going on from one cuts off the lines that come after it.
        add_metrics(self._path, line)
        if due:
            self.folder.save(checkpoint or self.checkpoint(measured=False), self._training())
            self._saved_at = time.monotonic()

    def checkpoint(self, *, measured: bool) -> Checkpoint:
        """The model as it is now, float32 and in evaluation mode."""
        info = self.start.info
        model = nnx.clone(self.start.model)
        trained = nnx.merge(self._plan.graphdef, self.state.trained, self.state.frozen, self.state.rest)
        weights = weights_of(trained)
        # The last update of all may have been too large, and no later loss tells.
        if bad := [name for name, array in weights.items() if not np.isfinite(array).all()]:
            raise NonFiniteLossError(
                f"after epoch {self.epoch} of {self.recipe.epochs}, {', '.join(bad[:3])} are not finite; lower the learning rate"
            )
        set_weights(model, weights, origin="the training")
        found: float | None = None
        if measured and self._test is not None:
            test, labels = self._test
            stored = as_stored(test.inputs, info.tokenizer, origin=test.name)
            found = accuracy(model, stored, labels, self.start.preparation)
        info = dataclasses.replace(
            info,
            dataset=self.described.name,
            data_hash=self.described.data_hash,
            recipe=self.recipe.to_json(),
            seed=self.seed,
            epoch=self.epoch,
            accuracy=found,
            lineage=(*info.lineage, self.step),
            version=__version__,
        )
        path = epoch_folder(self._path, self.epoch) if self._path else None
        return Checkpoint(model, info, path)

    def result(self) -> FitResult:
        """What came out, once all epochs are done."""
        checkpoint = self.checkpoint(measured=not self.history or "test_accuracy" not in self.history[-1])
        if self.history and "test_accuracy" in self.history[-1]:
            info = dataclasses.replace(checkpoint.info, accuracy=self.history[-1]["test_accuracy"])
            checkpoint = dataclasses.replace(checkpoint, info=info)
        recorded = self.state.recorded
        return FitResult(checkpoint, self.history, None if recorded is None else named(recorded))

    def close(self) -> None:
        if self.folder is not None:
            self.folder.close()

    def _feed(self, data: Dataset | Stream, stored: Any, num_classes: int, mask: Any, extras: Extras) -> Feed:
        if extras.record_together and extras.record is None:
            raise ValueError("`record_together` is set, and no rows are recorded; give `record`")
        if isinstance(data, Stream):
            if extras.targets is not None or extras.record is not None:
                raise ValueError("a stream has no rows to give targets to or to record; load the data set whole")
            if len(data.class_names) != num_classes:
                raise ValueError(f"{data.name} has {len(data.class_names)} classes and the model {num_classes}")
            if data.batch_size != self.recipe.batch_size:
                raise ValueError(
                    f"the stream has batches of {data.batch_size} and the recipe {self.recipe.batch_size}; make them equal"
                )
            if data.state()["keep_last"] or not data.endless:
                raise ValueError(
                    "a stream to train on has whole batches and no end; make it without `keep_last` and `epochs`"
                )
            return StreamFeed(data, mask=mask, extras=extras.arrays)
        record = None
        if extras.record is not None:
            record = np.zeros(len(data), bool)
            record[checked_rows(data, extras.record)] = True
        accelerated = jax.default_backend() != "cpu"
        return ResidentFeed(
            stored,
            labels_for(data, self.start.info)
            if extras.targets is None
            else checked_targets(extras.targets, data, num_classes),
            batch_size=self.recipe.batch_size,
            seed=self.seed,
            # XLA's CPU backend does convolutions inside a loop several times as slowly as outside.
            steps_per_chunk=None if accelerated else 1,
            sharding=self.sharding,
            record=record,
            together=extras.record_together,
            mask=mask,
            extras=extras.arrays,
        )

    def _resumed(self, folder: Path, state: TrainState, at_most: int | None) -> TrainState:
        """The state after the last whole checkpoint (up to an epoch), or `state` when there is none."""
        damage: list[str] = []
        for epoch in reversed([e for e in epochs_in(folder) if at_most is None or e <= at_most]):
            path = epoch_folder(folder, epoch)
            try:
                checkpoint, training = read_checkpoint(path), load_training(path)
                state = restored(state, weights_of(checkpoint.model), training, path)
            except DamagedCheckpointError as error:
                damage.append(str(error))
                continue
            self.epoch = epoch
            break
        if damage:
            warnings.warn(
                f"{'; '.join(damage)}; going on from "
                + (f"the checkpoint of epoch {self.epoch}" if self.epoch else "the start"),
                stacklevel=2,
            )
        self.history = metrics_up_to(folder, self.epoch)
        return state

    def _training(self) -> dict[str, Any]:
        """What a checkpoint keeps besides the model."""
        kept = {name: np.asarray(value) for name, value in going_on(self.state)}
        if self.state.recorded is not None:
            kept |= {f"{RECORDED}{name}": value for name, value in named(self.state.recorded).items()}
        return kept


def _check_sizes(model: Any, shape: Sequence[int], recipe: Recipe) -> None:
    """Refuse inputs that the model cannot take, at any size that the recipe shrinks them to."""
    model.check_input(shape)
    if len(shape) != 3:
        return
    for _, scale in recipe.progressive:
        small = round(shape[0] * scale), round(shape[1] * scale)
        try:
            model.check_input((*small, shape[2]))
        except ValueError as error:
            raise ValueError(
                f"the recipe {recipe.name} shrinks images of {shape[0]}x{shape[1]} to {small[0]}x{small[1]} at first, which the "
                f"model cannot take ({error}); choose another recipe, or set `progressive=()`"
            ) from error
