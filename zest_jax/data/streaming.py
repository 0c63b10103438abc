"""Batches of images read while training goes on, for sets that do not fit into memory."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zest_jax.data.folder import decode_file, find_images, folder_classes
from zest_jax.data.images import kind_of_source
from zest_jax.data.known import dataset_names, known_dataset
from zest_jax.data.reading import Size, as_size
from zest_jax.data.tfds import decode_image, locate, open_images
from zest_jax.errors import FileFormatError, WrongFileError, missing_extra


class Batch(NamedTuple):
    """Images and their classes.

    Attributes:
        images: uint8 [B, H, W, C].
        labels: int32 [B], from 0.

    >>> batch = Batch(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1], np.int32))
    >>> [(image.shape, int(label)) for image, label in zip(*batch, strict=True)]
    [((8, 8, 3), 0), ((8, 8, 3), 1)]
    """

    images: np.ndarray
    labels: np.ndarray


class Stream(Iterator[Batch]):
    """Batches without end, or for some epochs; made by `stream`.

    Each epoch goes through the images once, in an order of its own. `state()` after any batch says where the stream is;
    `restore(state)` in another process continues with the very next batch, without reading the ones before.

    Attributes:
        name: what the data set is called.
        n: how many images it has.
        class_names: name of each class.
        size: (height, width) of the images.
        steps_per_epoch: batches of one epoch.
        batch_size: images of a batch.

    Args:
        images: where the images are read.
        batches: of Grain, for one epoch.
        epochs: after which it ends; None: never.
        options: how Grain reads ahead.
        identity: what must be the same where a state is restored.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.TemporaryDirectory()
    >>> for i in range(4):
    ...     path = Path(folder.name) / "cat dog".split()[i % 2] / f"{i}.png"
    ...     path.parent.mkdir(exist_ok=True)
    ...     Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    >>> batches = stream(folder.name, 2, seed=0, size=4)
    >>> first, state, second = next(batches), batches.state(), next(batches)
    >>> batches.restore(state)
    >>> bool((next(batches).images == second.images).all()), batches.endless
    (True, True)
    >>> batches.close(); folder.cleanup()
    """

    def __init__(self, images: "_Images", batches: Any, epochs: int | None, options: Any, identity: Mapping[str, Any]):
        self.name, self.n, self.class_names, self.size = images.name, images.n, images.class_names, images.size
        self.steps_per_epoch, self.batch_size = len(batches), int(identity["batch_size"])
        self._batches, self._options, self._identity = batches.repeat(epochs), options, dict(identity)
        self._end = None if epochs is None else epochs * self.steps_per_epoch
        self._step = 0
        self._iterator: Any = None

    def __next__(self) -> Batch:
        if self._step == self._end:
            self.close()
            raise StopIteration
        if self._iterator is None:
            self._iterator = iter(self._batches[self._step :].to_iter_dataset(self._options))
        images, labels = next(self._iterator)
        self._step += 1
        return Batch(images, labels)

    @property
    def endless(self) -> bool:
        """Whether it goes on after any number of epochs."""
        return self._end is None

    def state(self) -> dict[str, Any]:
        """Where the stream is, as plain values that JSON can hold."""
        return {**self._identity, "step": self._step}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to where another stream over the same images was; it may have had another size or number of epochs.

        Raises:
            ValueError: the state is of a stream with other images or settings; the message names what differs.
        """
        differ = [
            f"`{key}` is {state.get(key)!r} there and {value!r} here"
            for key, value in self._identity.items()
            if state.get(key) != value
        ]
        step = state.get("step")
        if not isinstance(step, int) or step < 0 or (self._end is not None and step > self._end):
            differ.append(
                f"it is after {step!r} batches, and there are {'endless' if self._end is None else self._end} here"
            )
        if differ:
            raise ValueError(
                f"the state is of another stream: {'; '.join(differ)}; make the stream with the same arguments over the "
                "same data"
            )
        self.close()
        self._step = int(state["step"])

    def close(self) -> None:
        """Stop reading ahead; asking for a batch starts it again."""
        if self._iterator is not None:
            self._iterator.close()
        self._iterator = None


def stream(
    source: str | os.PathLike[str],
    batch_size: int,
    *,
    seed: int,
    split: str = "train",
    size: int | tuple[int, int] | None = None,
    epochs: int | None = None,
    shuffle: bool = True,
    keep_last: bool = False,
    threads: int | None = None,
) -> Stream:
    """Read labelled images batch by batch, shuffled, decoded and scaled in threads ahead of their use.

    Images are brought to `size` as `load_images` does: scaled until they cover it, and cut at the centre.

    Args:
        source: a TFDS name ("imagenet2012"), the folder of a data set prepared by TFDS, or a folder of images in one
            sub-folder per class.
        batch_size: images per batch.
        seed: decides the order of each epoch; from 0 to 2**32 - 1.
        split: of a TFDS data set, unless `source` names one.
        size: pixels, of a square or (height, width). None: what the set is known to need, or the size that all of its
            images are declared to have.
        epochs: end after so many; None: never end.
        shuffle: False reads in stored order.
        keep_last: give the last batch of an epoch, which may be smaller; otherwise the images that do not fill a batch
            are left out, other ones in each epoch.
        threads: that read and decode; None: one per processor, at most 16.

    Raises:
        FileNotFoundError: there is no such folder or prepared data set.
        FileFormatError: the source has no images or no labels; or, when a batch is asked for, an image cannot be read.
        MissingExtraError: Grain, or for TFDS data sets tensorflow-datasets, is not installed.
        ValueError: an argument is out of range, or no size is given where one is needed.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.TemporaryDirectory()
    >>> for i in range(6):
    ...     path = Path(folder.name) / "cat dog".split()[i % 2] / f"{i}.png"
    ...     path.parent.mkdir(exist_ok=True)
    ...     Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    >>> batches = stream(folder.name, 2, seed=0, size=4)
    >>> batches.steps_per_epoch, next(batches).images.shape, batches.class_names
    (3, (2, 4, 4, 3), ('cat', 'dog'))
    >>> batches.close(); folder.cleanup()
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; give at least 1")
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` is {seed}; give a number from 0 to 2**32 - 1")
    if epochs is not None and epochs < 1:
        raise ValueError(f"`epochs` is {epochs}; give at least 1, or None for no end")
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` is {threads}; give at least 1")
    try:
        import grain
    except ImportError as error:
        raise missing_extra("grain", "train") from error
    images = _open(source, split, as_size(size))
    if not keep_last and len(images) < batch_size:
        raise ValueError(
            f"{source} has {len(images)} images, fewer than a batch of {batch_size}; lower `batch_size`, or pass "
            "`keep_last=True`"
        )
    dataset = grain.MapDataset.source(images)
    if shuffle:
        dataset = dataset.shuffle(seed=seed)
    # Batches are made before they are counted into epochs, so that none has images of two epochs.
    batches = dataset.batch(batch_size, drop_remainder=not keep_last)
    threads = threads or min(16, os.cpu_count() or 1)
    # Each thread makes a whole batch; as many again lie ready.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    identity = {
        "name": images.name,
        "n": images.n,
        "size": list(images.size),
        "batch_size": batch_size,
        "seed": seed,
        "shuffle": shuffle,
        "keep_last": keep_last,
    }
    return Stream(images, batches, epochs, options, identity)


@dataclasses.dataclass(frozen=True, eq=False)
class _Images:
    """Images of one size by number; read and decoded when asked for."""

    name: str
    class_names: tuple[str, ...]
    size: Size
    n: int
    read: Callable[[int], tuple[np.ndarray, int]]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.int32]:
        image, label = self.read(int(index))
        return image, np.int32(label)


def _open(source: str | os.PathLike[str], split: str, size: Size | None) -> _Images:
    kind = kind_of_source(source)
    if kind == "array":
        raise WrongFileError(f"{source} is an array file, which is read whole; use `load_dataset`")
    return _of_folder(Path(source).expanduser(), size) if kind == "folder" else _of_tfds(str(source), split, size)


def _of_folder(folder: Path, size: Size | None) -> _Images:
    paths = find_images(folder)
    labels, names = folder_classes(folder, paths) if paths else (None, None)
    if labels is None or names is None:
        raise FileFormatError(
            f"{folder} has no {'labels' if paths else 'images'}: put images into one sub-folder per class"
        )
    if size is None:
        raise ValueError(f"give `size`, in pixels, for the images of {folder}: they may have any size")

    def read(i: int) -> tuple[np.ndarray, int]:
        array = decode_file(paths[i], size, 3)
        if isinstance(array, str):
            raise FileFormatError(f"{paths[i]} cannot be read as an image: {array}; remove it")
        return array, int(labels[i])

    return _Images(folder.resolve().name, names, size, len(paths), read)


def _of_tfds(source: str, split: str, size: Size | None) -> _Images:
    opened = open_images(source, split)
    name = locate(source, split).name
    known = known_dataset(name) if name in dataset_names() else None
    if opened.label is None:
        raise WrongFileError(f"{source} has no class label; it cannot be trained on")
    size = size or as_size(known.size if known else None) or opened.size
    if size is None:
        raise ValueError(f"give `size`, in pixels, for the images of {source}: they have different sizes")
    channels = len(known.mean) if known else (1 if opened.channels == 1 else 3)

    def read(i: int) -> tuple[np.ndarray, int]:
        try:
            record = opened.records[i]
            return decode_image(record[opened.image], size, channels), int(record[opened.label])
        except Exception as error:
            raise FileFormatError(
                f"record {i} of {source} cannot be read ({error}); prepare the data set again"
            ) from error

    return _Images(name, opened.class_names or (), size, len(opened.records), read)
