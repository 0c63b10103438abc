"""`zest train`: train a classifier, or several seeds of it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from zest_jax.cli.console import note
from zest_jax.cli.files import UsageError
from zest_jax.cli.options import OFF, Common, commas, settings
from zest_jax.cli.training_data import TrainingData, adjusted, read_rows

if TYPE_CHECKING:
    from zest_jax.data import Dataset
    from zest_jax.models.registry import ModelConfig
    from zest_jax.training.checkpoints import Checkpoint
    from zest_jax.training.recipes import Recipe

_OPTIONS = commas("NAME=VALUE,...", settings, default="the model's own")
_RECIPES_OWN = "(default: the recipe's)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Common):
    """Train a classifier and keep checkpoints of it.

    The same command again goes on from the newest whole checkpoint, and does nothing once training is done. Whatever takes
    a model takes the folder of a run.
    """

    model: Annotated[str, arg(metavar="NAME")]
    """resnet8, resnet20, resnet32, resnet44, resnet56, resnet18, resnet50, mobilenet_v2, lstm, m5, or ensemble
    (with --option of=resnet20,members=2)."""

    data: Annotated[TrainingData, arg(name="training data")]

    recipe: Annotated[str, arg(metavar="NAME")]
    """How it is trained: paper-cifar10, paper-cifar100, fast-cifar, fine-tune, text or audio."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FOLDER")]
    """Folder of the run."""

    seed: int = 0
    """Decides the first weights, the order of the data, their augmentation and, with --fraction, which are used."""

    seeds: Annotated[tuple[int, ...], arg(metavar="N N ...", help_behavior_hint="(default: one model, of --seed)")] = ()
    """Train one model for each of these seeds, into folders of their own inside --output."""

    option: Annotated[dict[str, Any] | None, *_OPTIONS] = None
    """Options of the model, such as stem=cifar,width=0.5 of mobilenet_v2."""

    epochs: Annotated[int | None, arg(metavar="N", help_behavior_hint=_RECIPES_OWN)] = None
    """Passes over the data; the rate is lowered at the same shares of them as in the recipe."""

    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=_RECIPES_OWN)] = None
    """Inputs per step."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type to compute in; auto takes the recipe's. Weights are float32 always."""

    save_every: Annotated[int, arg(metavar="K", help_behavior_hint="(default: only the newest is kept)")] = 0
    """Keep the checkpoint of every K-th epoch besides the newest."""

    record: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Text file with the numbers of rows, from 0, one a line; the updates of all batches that hold one of them are summed,
    so that `zest reuse unlearn-amnesiac` can take them back."""

    shards: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one model of all data)")] = None
    """Train a model on each of this many shards of the data and let them vote (SISA), so that `zest reuse unlearn-sisa`
    need train only some of them anew."""

    stream: Annotated[bool, OFF] = False
    """Read the images batch by batch while training goes on, for sets that do not fit into memory, such as imagenet2012."""

    def run(self) -> None:
        self._check_options()
        self.data.check()
        rows = None if self.record is None else read_rows(self.record, "--record")
        # What can be wrong without the data is found before they are read.
        recipe = self._recipe()
        from zest_jax.models.registry import ModelConfig, check_options

        check_options(self.model, self.option or {})
        if self.stream:
            data, test = self.data.stream(batch_size=recipe.batch_size, seed=self.seed, progress=self.progress)
            n, num_classes = data.n, len(data.class_names)
        else:
            data, test = self.data.read(seed=self.seed, progress=self.progress)
            n, num_classes = len(data), data.num_classes
        config = ModelConfig(name=self.model, num_classes=num_classes, options=self.option or {})
        note(
            f"{self.model} on {n:,} inputs of {data.name} in {num_classes} classes"
            + (f", tested on {len(test):,}" if test else "; give --test to have accuracy measured")
        )
        with _kept_on_interrupt(self.output):
            checkpoints = self._train(config, data, test, recipe, rows)
        for folder, checkpoint in checkpoints:
            accuracy = checkpoint.info.accuracy
            measured = "not measured" if accuracy is None else f"{accuracy:.2%}"
            print(f"{folder}: accuracy {measured}, epoch {checkpoint.info.epoch}, fingerprint {checkpoint.fingerprint}")

    def _check_options(self) -> None:
        if len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"--seeds names a seed twice: {' '.join(map(str, self.seeds))}")
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"--output {self.output} is a file; name a folder")
        one = [name for name in ("seeds", "record", "shards", "stream") if getattr(self, name)]
        if len(one) > 1:
            raise UsageError(f"{' and '.join(f'--{name}' for name in one)} contradict each other; choose one")
        if self.shards is not None and self.save_every:
            raise UsageError("--shards and --save-every contradict each other: an ensemble has one checkpoint")

    def _train(
        self,
        config: "ModelConfig",
        data: Any,
        test: "Dataset | None",
        recipe: "Recipe",
        rows: list[int] | None,
    ) -> "list[tuple[Path, Checkpoint]]":
        if self.shards is not None:
            from zest_jax.reuse import train_sisa

            how: dict[str, Any] = {"shards": self.shards, "seed": self.seed, "folder": self.output}
            return [(self.output, train_sisa(config, data, recipe, test=test, progress=self.progress, **how))]
        common: dict[str, Any] = {"test": test, "save_every": self.save_every, "progress": self.progress}
        if self.seeds:
            from zest_jax.training.seeds import train_seeds

            results = train_seeds(config, data, recipe, seeds=self.seeds, folder=self.output, **common)
            found = [result.checkpoint for result in results]
            return [(_run_of(checkpoint.path) or self.output, checkpoint) for checkpoint in found]
        from zest_jax.training.loop import train

        result = train(config, data, recipe, seed=self.seed, folder=self.output, record=rows, **common)
        return [(self.output, result.checkpoint)]

    def _recipe(self) -> "Recipe":
        from zest_jax.errors import missing_extra

        try:
            import orbax.checkpoint  # noqa: F401 - found missing before the data are read

            from zest_jax.training.recipes import recipe
        except ImportError as error:
            package = "optax" if (error.name or "").startswith("optax") else "orbax-checkpoint"
            raise missing_extra(package, "train") from error
        return adjusted(recipe(self.recipe), epochs=self.epochs, batch_size=self.batch_size, dtype=self.dtype)


def _run_of(path: Path | None) -> Path | None:
    return None if path is None else path.parents[1]


@contextlib.contextmanager
def _kept_on_interrupt(folder: Path) -> Iterator[None]:
    """Tell, on Ctrl-C, what became of the work."""
    try:
        yield
    except KeyboardInterrupt:
        if any(path.name.isdigit() for path in folder.glob("**/checkpoints/*")):
            raise KeyboardInterrupt(
                f"what is done so far is in {folder}: run the same command again to go on from there"
            ) from None
        raise KeyboardInterrupt("no checkpoint was written yet; the same command starts anew") from None
