"""What the entries of a zoo are built with: data sets read once, and the models built before."""

import dataclasses
import functools
import json
from pathlib import Path

from zest_jax.data.datasets import Dataset, dataset_names, known_dataset, load_dataset
from zest_jax.data.subsets import fraction, of_classes, of_rows, without_rows
from zest_jax.data.tfds import without_split
from zest_jax.errors import FileFormatError
from zest_jax.training.checkpoints import Checkpoint, load_checkpoint

# In the folder of each model, beside what made it; written last.
MADE_FILE = "made.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """A data set or a part of it, as `load_dataset` and `zest_jax.data.subsets` make it.

    Attributes:
        source: a TFDS name, or a path.
        split: None takes the one to train on.
        classes: keep only these, numbered anew.
        test: where accuracy is measured; None: the split for it of the same source, if it has one.
        share: draw this share of the rows (of each class), with `seed`.
        rows: keep only these rows.
        without: keep all but these rows.
        seed: of `share`.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/noise.npz", images=np.zeros((8, 4, 4, 1), np.uint8), labels=np.arange(8) % 2)
    ...     data = Data(source=f"{folder}/noise.npz", without=(0, 1)).load()
    >>> len(data), data.class_names
    (6, ('0', '1'))
    """

    source: str = "cifar10"
    split: str | None = None
    test: str | None = None
    classes: tuple[int | str, ...] = ()
    share: float = 1.0
    rows: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    seed: int = 0

    def load(self) -> Dataset:
        """Read it.

        Raises:
            FileNotFoundError: there is no such data set.
            ValueError: a class, row or share is out of range.
        """
        found = _loaded(self.source, self.split or "train")
        if self.classes:
            found = of_classes(found, self.classes, relabel=True)
        if self.rows:
            found = of_rows(found, self.rows)
        if self.without:
            found = without_rows(found, self.without)
        return found if self.share == 1 else fraction(found, self.share, self.seed)

    def load_test(self) -> Dataset | None:
        """Read what accuracy is measured on, with the classes and scales of the training data.

        None where the source has no data besides those to train on.
        """
        source = self.test or without_split(self.source)
        name = source.partition(":")[0]
        split = known_dataset(name).test if name in dataset_names() else "test"
        test, train = _loaded(source, split), _loaded(self.source, self.split or "train")
        if test.content_hash == train.content_hash:
            return None
        if self.classes:
            test = of_classes(test, self.classes, relabel=True)
        return dataclasses.replace(test, mean=train.mean, std=train.std)


class Workbench:
    """Where the models of a zoo lie, by name.

    Args:
        root: folder of the zoo.
        progress: as for `fit`.
    """

    def __init__(self, root: Path, *, progress: bool | None = False) -> None:
        self.root, self.progress = root, progress

    def folder(self, name: str) -> Path:
        """Folder of a model, whether or not it exists."""
        return self.root / name

    def model(self, name: str) -> Checkpoint:
        """A model that was built before.

        Raises:
            FileFormatError: it is not the model that was built, since its newest checkpoint is damaged.
        """
        found = load_checkpoint(self.folder(name))
        made = self.folder(name) / MADE_FILE
        if made.is_file() and json.loads(made.read_text(encoding="utf-8"))["fingerprint"] != found.fingerprint:
            raise FileFormatError(
                f"{self.folder(name)} does not hold the model that was made there; remove the folder to make it anew"
            )
        return found


@functools.lru_cache(maxsize=4)
def _loaded(source: str, split: str) -> Dataset:
    return load_dataset(source, split=split)
