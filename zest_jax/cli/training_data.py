"""Options that say what a model is trained and tested on, shared by `zest train` and `zest reuse`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from zest_jax.cli.console import note
from zest_jax.cli.files import UsageError, check_exists
from zest_jax.cli.options import OFF, commas, pixels

if TYPE_CHECKING:
    from zest_jax.data import Dataset
    from zest_jax.data.streaming import Stream
    from zest_jax.training.recipes import Recipe

_SIZE = commas("PIXELS", pixels, default="as the data are; required if image sizes differ")
_CLASSES = commas("NAME,...", lambda text: tuple(part.strip() for part in text.split(",")), default="all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What is trained and tested on."""

    data: Annotated[str, arg(metavar="DATA")]
    """A prepared TFDS data set (cifar10, cifar10:train[:500]) or its folder; a folder of images or of .wav and .flac files in
    one sub-folder per class; an .npz file with `images` and `labels`; or a .csv, .tsv or .jsonl file of texts with a column
    `label`."""

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

    rate: Annotated[int | None, arg(metavar="HZ", help_behavior_hint="(default: as the sounds are)")] = None
    """Samples per second to which sounds are resampled; the paper trains M5 at 8000."""

    column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: text, or the only one)")] = None
    """Texts: the column of a CSV or TSV file, or the field of JSON lines, that holds them."""

    skip_bad: Annotated[bool, OFF] = False
    """Leave inputs that cannot be used out and count them, instead of stopping at the first."""

    subset: Annotated[tuple[str, ...] | None, *_CLASSES] = None
    """Train on these classes alone, by name or number from 0; they are numbered anew in this order."""

    fraction: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="(default: all)")] = None
    """Train on a random share of each class, above 0 and up to 1."""

    without: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Text file with the numbers of rows to leave out of the training data, from 0, one a line."""

    def check(self) -> None:
        """Find what is wrong without reading the data.

        Raises:
            UsageError: options contradict each other, or a file of rows cannot be used.
        """
        chosen = [name for name in ("subset", "fraction", "without") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(f'--{name}' for name in chosen)} contradict each other; choose one")
        self._rows_left_out()

    def read(self, *, seed: int, progress: bool) -> "tuple[Dataset, Dataset | None]":
        """The training set and, if there is one, the test set; `seed` draws a fraction."""
        from zest_jax.data import dataset_names, fraction, known_dataset, load_dataset, of_classes, without_rows
        from zest_jax.data.tfds import without_split

        how = {**self._bad(), "size": self.size, "rate": self.rate, "progress": progress}
        data = load_dataset(self.data, split=self.split, column=self.column, **how)
        test = None
        known = known_dataset(data.name) if data.name in dataset_names() else None
        if self.test is not None or self.test_split is not None or known is not None:
            split = self.test_split or (known.test if known else "test")
            source = self.test if self.test is not None else without_split(self.data)
            test = load_dataset(source, split=split, column=self.column, **how)
            test = _as_trained_on(test, data)
        if self.subset is not None:
            classes = [_class(name, data) for name in self.subset]
            data = of_classes(data, classes, relabel=True)
            test = of_classes(test, classes, relabel=True) if test is not None else None
        elif self.fraction is not None:
            data = fraction(data, self.fraction, seed)
        elif (rows := self._rows_left_out()) is not None:
            data = without_rows(data, rows)
        return data, test

    def stream(self, *, batch_size: int, seed: int, progress: bool) -> "tuple[Stream, Dataset | None]":
        """The training set batch by batch, and the test set if one is named: of a known data set it may be large too.

        Raises:
            UsageError: only a part of the data is asked for.
        """
        from zest_jax.data import load_dataset, stream
        from zest_jax.data.tfds import without_split

        chosen = [name for name in ("subset", "fraction", "without") if getattr(self, name) is not None]
        if chosen:
            raise UsageError(f"--stream reads all of the data, and --{chosen[0]} asks for a part; leave one out")
        if self.rate is not None:
            raise UsageError("--stream reads images, and --rate is for sounds; leave one out")
        data = stream(self.data, batch_size, seed=seed, split=self.split, size=self.size)
        if self.test is None and self.test_split is None:
            return data, None
        source = self.test if self.test is not None else without_split(self.data)
        test = load_dataset(source, split=self.test_split or "test", size=self.size or data.size, progress=progress)
        return data, test

    def _bad(self) -> dict[str, Any]:
        return {"skip_bad": self.skip_bad, "on_skip": lambda name, reason: note(f"skipped {name}: {reason}")}

    def _rows_left_out(self) -> list[int] | None:
        return None if self.without is None else read_rows(self.without, "--without")


def adjusted(recipe: "Recipe", *, epochs: int | None, batch_size: int | None, dtype: str) -> "Recipe":
    """A recipe with what the command line says of it."""
    if epochs is not None:
        if epochs < 1:
            raise ValueError(f"`epochs` is {epochs}; give at least 1")
        recipe = recipe.lasting(epochs)
    given = {"batch_size": batch_size, "dtype": dtype}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, "auto")}
    return dataclasses.replace(recipe, **changes)


def read_rows(path: Path, option: str) -> list[int]:
    """Row numbers from a text file, one a line.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it holds something else.
    """
    check_exists(path, f"{option} takes a text file with one row number a line")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file; {option} takes one row number a line") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.strip().isdecimal():
            raise UsageError(f"line {number} of {path} is {line.strip()[:40]!r}, not a row number from 0")
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
