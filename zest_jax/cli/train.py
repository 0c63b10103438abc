"""`zest train`: train a classifier, or several seeds of it."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from zest_jax.cli.console import note
from zest_jax.cli.files import UsageError, check_exists
from zest_jax.cli.options import Common, commas, pixels, settings

if TYPE_CHECKING:
    from zest_jax.data import Dataset
    from zest_jax.models.registry import ModelConfig
    from zest_jax.training.checkpoints import Checkpoint
    from zest_jax.training.recipes import Recipe

_OPTIONS = commas("NAME=VALUE,...", settings, default="the model's own")
_SIZE = commas("PIXELS", pixels, default="as the data are; required if image sizes differ")
_CLASSES = commas("NAME,...", lambda text: tuple(part.strip() for part in text.split(",")), default="all")
_RECIPES_OWN = "(default: the recipe's)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Common):
    """Train a classifier and keep checkpoints of it.

    The same command again goes on from the newest whole checkpoint, and does nothing once training is done. Whatever takes
    a model takes the folder of a run.
    """

    model: Annotated[str, arg(metavar="NAME")]
    """resnet20, resnet32, resnet44, resnet56, resnet18, resnet50, mobilenet_v2, lstm or m5."""

    data: Annotated[str, arg(metavar="DATA")]
    """A prepared TFDS data set (cifar10, cifar10:train[:500]) or its folder, a folder of images in one sub-folder per class,
    or an .npz file with `images` and `labels`."""

    recipe: Annotated[str, arg(metavar="NAME")]
    """How it is trained: paper-cifar10, paper-cifar100, fast-cifar, fine-tune, text or audio."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FOLDER")]
    """Folder of the run."""

    seed: int = 0
    """Decides the first weights, the order of the data, their augmentation and, with --fraction, which are used."""

    seeds: Annotated[tuple[int, ...], arg(metavar="N N ...", help_behavior_hint="(default: one model, of --seed)")] = ()
    """Train one model for each of these seeds, into folders of their own inside --output."""

    option: Annotated[dict[str, Any] | None, *_OPTIONS] = None
    """Options of the model, as stem=cifar,width=0.5."""

    epochs: Annotated[int | None, arg(metavar="N", help_behavior_hint=_RECIPES_OWN)] = None
    """Passes over the data."""

    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=_RECIPES_OWN)] = None
    """Inputs per step."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type to compute in; auto takes the recipe's. Weights are float32 always."""

    save_every: Annotated[int, arg(metavar="K", help_behavior_hint="(default: only the newest is kept)")] = 0
    """Keep the checkpoint of every K-th epoch besides the newest."""

    split: Annotated[str, arg(metavar="NAME")] = "train"
    """Split to train on, unless --data names one."""

    test: Annotated[str | None, arg(metavar="DATA", help_behavior_hint="(default: that of a known data set)")] = None
    """Where the data are that accuracy is measured on, if not in --data."""

    test_split: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: that of a known data set, else test)")
    ] = None
    """Split that accuracy is measured on."""

    size: Annotated[int | tuple[int, int] | None, *_SIZE] = None
    """Height and width to which images are brought: one number for a square, or HEIGHTxWIDTH."""

    subset: Annotated[tuple[str, ...] | None, *_CLASSES] = None
    """Train on these classes alone, by name or number from 0; they are numbered anew in this order."""

    fraction: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="(default: all)")] = None
    """Train on a random share of each class, above 0 and up to 1."""

    without: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Text file with the numbers of rows to leave out of the training data, from 0, one a line."""

    def run(self) -> None:
        chosen = [name for name in ("subset", "fraction", "without") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(f'--{name}' for name in chosen)} contradict each other; choose one")
        if len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"--seeds names a seed twice: {' '.join(map(str, self.seeds))}")
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"--output {self.output} is a file; name a folder")
        rows = self._rows_left_out()
        # What can be wrong without the data is found before they are read.
        recipe = self._recipe()
        from zest_jax.models.registry import ModelConfig, check_options

        check_options(self.model, self.option or {})
        data, test = self._data(rows)
        config = ModelConfig(name=self.model, num_classes=data.num_classes, options=self.option or {})
        note(
            f"{self.model} on {len(data):,} inputs of {data.name} in {data.num_classes} classes"
            + (f", tested on {len(test):,}" if test else "; give --test to have accuracy measured")
        )
        with _kept_on_interrupt(self.output):
            checkpoints = self._train(config, data, test, recipe)
        for folder, checkpoint in checkpoints:
            accuracy = checkpoint.info.accuracy
            measured = "not measured" if accuracy is None else f"{accuracy:.2%}"
            print(f"{folder}: accuracy {measured}, epoch {checkpoint.info.epoch}, fingerprint {checkpoint.fingerprint}")

    def _train(
        self, config: "ModelConfig", data: "Dataset", test: "Dataset | None", recipe: "Recipe"
    ) -> "list[tuple[Path, Checkpoint]]":
        common: dict[str, Any] = {"test": test, "save_every": self.save_every, "progress": self.progress}
        if self.seeds:
            from zest_jax.training.seeds import train_seeds

            results = train_seeds(config, data, recipe, seeds=self.seeds, folder=self.output, **common)
            found = [result.checkpoint for result in results]
            return [(_run_of(checkpoint.path) or self.output, checkpoint) for checkpoint in found]
        from zest_jax.training.loop import train

        return [(self.output, train(config, data, recipe, seed=self.seed, folder=self.output, **common).checkpoint)]

    def _recipe(self) -> "Recipe":
        from zest_jax.errors import missing_extra

        try:
            import orbax.checkpoint  # noqa: F401 - found missing before the data are read

            from zest_jax.training.recipes import recipe
        except ImportError as error:
            package = "optax" if (error.name or "").startswith("optax") else "orbax-checkpoint"
            raise missing_extra(package, "train") from error
        given = {"epochs": self.epochs, "batch_size": self.batch_size, "dtype": self.dtype}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, "auto")}
        return dataclasses.replace(recipe(self.recipe), **changes)

    def _data(self, rows: list[int] | None) -> "tuple[Dataset, Dataset | None]":
        from zest_jax.data import dataset_names, fraction, known_dataset, load_dataset, of_classes, without_rows

        data = load_dataset(self.data, split=self.split, size=self.size, progress=self.progress)
        test = None
        known = known_dataset(data.name) if data.name in dataset_names() else None
        if self.test is not None or self.test_split is not None or known is not None:
            split = self.test_split or (known.test if known else "test")
            source = self.test if self.test is not None else _without_split(self.data)
            test = load_dataset(source, split=split, size=self.size, progress=self.progress)
            test = _as_trained_on(test, data)
        if self.subset is not None:
            classes = [_class(name, data) for name in self.subset]
            data = of_classes(data, classes, relabel=True)
            test = of_classes(test, classes, relabel=True) if test is not None else None
        elif self.fraction is not None:
            data = fraction(data, self.fraction, self.seed)
        elif rows is not None:
            data = without_rows(data, rows)
        return data, test

    def _rows_left_out(self) -> list[int] | None:
        if self.without is None:
            return None
        check_exists(self.without, "--without takes a text file with one row number a line")
        try:
            lines = self.without.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.without} is not a text file; --without takes one row number a line") from error
        found = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if not line.strip().isdecimal():
                raise UsageError(f"line {number} of {self.without} is {line.strip()[:40]!r}, not a row number from 0")
            found.append(int(line))
        return found


def _as_trained_on(test: "Dataset", data: "Dataset") -> "Dataset":
    """The test set with the scales of the training set, if both have the same classes and inputs."""
    # Classes without names are counted up to the highest that occurs, which need not be the last in a small test set.
    names = data.class_names if test.class_names == data.class_names[: test.num_classes] else test.class_names
    if names != data.class_names:
        raise UsageError(
            f"the test data have {test.num_classes} classes ({_few(test.class_names)}), the training data "
            f"{data.num_classes} ({_few(data.class_names)}); give test data of the same classes"
        )
    if test.input_shape != data.input_shape:
        raise UsageError(
            f"test inputs have shape {test.input_shape}, training inputs {data.input_shape}; bring images to one size "
            "with --size"
        )
    return dataclasses.replace(test, class_names=names, mean=data.mean, std=data.std)


def _class(name: str, data: "Dataset") -> int | str:
    return int(name) if name.isdecimal() and name not in data.class_names else name


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _without_split(source: str) -> str:
    """The data set that a split belongs to.

    >>> _without_split("cifar10:3.0.2:train[:500]"), _without_split("mnist:test"), _without_split("my/pets.npz")
    ('cifar10:3.0.2', 'mnist', 'my/pets.npz')
    """
    if Path(source).expanduser().exists():
        return source
    name, *more = source.split(":")
    return ":".join([name, *(part for part in more[:1] if re.fullmatch(r"\d+\.\d+\.\d+", part))])


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
