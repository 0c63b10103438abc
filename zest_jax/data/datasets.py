"""A data set as training needs it: inputs, a class for each, and how inputs are normalised."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zest_jax.data.images import load_images
from zest_jax.data.known import KnownDataset, Modality, dataset_names, known_dataset
from zest_jax.data.modality import modality_of
from zest_jax.data.reading import Color, OnSkip, ReadOptions
from zest_jax.data.resampling import checked_rate, resampled_length
from zest_jax.data.sound_records import load_sounds, open_sounds
from zest_jax.data.sounds import load_sound_pool
from zest_jax.data.text_records import load_texts
from zest_jax.data.texts import load_text_pool
from zest_jax.data.tfds import is_tfds_folder, locate
from zest_jax.errors import FileFormatError, WrongFileError

__all__ = ["Dataset", "KnownDataset", "Modality", "channel_scales", "dataset_names", "known_dataset", "load_dataset"]


# How inputs of each kind get theirs.
_LABELS: dict[Modality, str] = {
    "image": "put images into one sub-folder per class, store `labels` in an .npz file",
    "text": "give the table a column, or the JSON lines a field, called `label`",
    "audio": "put the files into one sub-folder per class",
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Inputs and their classes, in memory.

    Attributes:
        inputs: images [N, H, W, C], uint8 or float32 in [0, 1]; texts [N], an object array of `str`; or sounds
            [N, samples], int16.
        labels: class of each input, int32 [N], from 0 to the number of classes - 1.
        class_names: name of each class.
        mean: per channel, on the scale of [0, 1] for images and [-1, 1] for sounds; empty for texts.
        std: per channel, on the same scale, above 0.
        modality: "image", "text" or "audio".
        name: what the data set is called, such as "cifar10".
        rate: samples per second of sounds, in Hz; None where it is not known, and for images and texts.

    Raises:
        ValueError: when made of values that do not fit together.

    >>> data = Dataset(
    ...     inputs=np.zeros((4, 8, 8, 3), np.uint8), labels=np.array([0, 1, 1, 0], np.int32), class_names=("cat", "dog"),
    ...     mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), name="pets")
    >>> len(data), data.num_classes, data.input_shape, data.take([1, 2]).labels.tolist()
    (4, 2, (8, 8, 3), [1, 1])
    """

    inputs: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    modality: Modality = "image"
    name: str
    rate: int | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) == 0:
            raise ValueError(f"{self.name} holds no inputs; a data set needs at least one")
        if self.labels.shape != (len(self.inputs),) or self.labels.dtype != np.int32:
            raise ValueError(
                f"{self.name} has labels of shape {self.labels.shape} and type {self.labels.dtype} for "
                f"{len(self.inputs)} inputs; give one int32 for each"
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise ValueError(
                f"{self.name} has labels from {low} to {high} but {len(self.class_names)} class names; labels go from 0 "
                "to the number of classes - 1"
            )
        channels = {"image": self.inputs.shape[-1], "audio": 1, "text": 0}[self.modality]
        if not len(self.mean) == len(self.std) == channels:
            raise ValueError(
                f"{self.name} has {len(self.mean)} means and {len(self.std)} standard deviations; {channels} of each are "
                "needed, one per channel"
            )
        if not all(value > 0 for value in self.std):
            raise ValueError(f"the standard deviations of {self.name} are {self.std}; all must be above 0")
        if self.rate is not None and (self.modality != "audio" or self.rate < 1):
            raise ValueError(
                f"{self.name} ({self.modality}) has the rate {self.rate}; give samples per second for sounds, and None for "
                "all else"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def num_classes(self) -> int:
        """How many classes there are, whether or not all of them occur."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (height, width, channels), (samples,), or () for texts."""
        return self.inputs.shape[1:]

    @functools.cached_property
    def content_hash(self) -> str:
        """SHA-256 over types, shapes and values of inputs and labels, in hexadecimal; names and scales do not count."""
        digest = hashlib.sha256()
        for array in (self.inputs, self.labels):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            if array.dtype.kind == "O":
                for text in array:
                    encoded = text.encode("utf-8", "surrogatepass")
                    digest.update(len(encoded).to_bytes(8, "little"))
                    digest.update(encoded)
            else:
                digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | np.ndarray) -> "Dataset":
        """The given rows, in their order; everything else is kept. See `zest_jax.data.subsets` for checked choices.

        Args:
            rows: their numbers, [rows].
        """
        chosen = np.asarray(rows)
        return dataclasses.replace(self, inputs=self.inputs[chosen], labels=self.labels[chosen])


def load_dataset(
    source: str | os.PathLike[str],
    *,
    split: str = "train",
    size: int | tuple[int, int] | None = None,
    rate: int | None = None,
    limit: int | None = None,
    seed: int | None = None,
    column: str | None = None,
    skip_bad: bool = False,
    on_skip: OnSkip | None = None,
    progress: bool | None = False,
) -> Dataset:
    """Read a labelled data set into memory.

    Args:
        source: a TFDS name ("cifar10", "cifar10:test", "cifar10:3.0.2:train[:500]"), the folder of a data set prepared by
            TFDS, a folder of images in one sub-folder per class, or an .npz file with `images`, `labels` and, if the
            classes have names, `class_names`. Nothing is downloaded, and TensorFlow is not needed.
        split: of a data set or .npz file with several, unless `source` names one.
        size: pixels, of a square or (height, width), to which images are brought as `load_images` does; for sounds, how
            many samples are kept (at `rate`, if one is given). None: what the set is known to need (`known_dataset`), or
            else what is stored.
        rate: samples per second, in Hz, to which sounds are resampled: 8000 for M5 as in the paper. None leaves them as
            they are stored.
        limit: read at most this many.
        seed: None reads the first `limit`, a number that many random ones.
        column: of a table or JSON lines, the one that holds the texts; see `load_text_pool`.
        skip_bad: leave inputs of files that cannot be used out, instead of raising an error that counts them.
        on_skip: called with the name and what is wrong, for every input left out.
        progress: show a bar on stderr; None: when stderr is a terminal.

    Sets that are not known by name get mean and std from all pixels of the rows read, per channel (a channel that never
    changes gets std 1). Read a test set with the mean and std of its training set: `dataclasses.replace`. Classes without
    names are called "0", "1", ... up to the highest that occurs. Bytes of a text that are not UTF-8 become U+FFFD, with a
    warning that counts such texts.

    Raises:
        FileNotFoundError: there is no such file, folder or prepared data set.
        FileFormatError: something in it cannot be read, or it has no labels.
        MissingExtraError: a TFDS data set is given and tensorflow-datasets is not installed.
        ValueError: an argument is out of range, the images have different sizes and `size` is None, they would take more
            memory than is reasonable without a `limit`, or sounds whose rate is not known are to be resampled.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> np.savez(Path(folder.name) / "tiny.npz", images=np.full((5, 8, 8, 1), 51, np.uint8), labels=np.arange(5) % 2)
    >>> data = load_dataset(Path(folder.name) / "tiny.npz")
    >>> data.name, data.class_names, [round(m, 2) for m in data.mean]
    ('tiny', ('0', '1'), [0.2])
    >>> folder.cleanup()
    """
    try:
        modality, name = _recognised(source, split)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. Data sets known by name: {', '.join(dataset_names())}") from error
    rate = checked_rate(rate)
    if rate is not None and modality != "audio":
        raise ValueError(f"`rate` is {rate}, but {source} holds {modality}s; leave `rate` out: only sounds have one")
    if column is not None and (modality != "text" or _is_prepared(source)):
        raise ValueError(f"`column` is {column!r}, but {source} is no file of texts; leave it out")
    known = known_dataset(name) if name in dataset_names() else None
    bad: dict[str, Any] = {"skip_bad": skip_bad, "on_skip": on_skip}
    final_rate: int | None = None
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None = (known.mean, known.std) if known else None
    if modality == "image":
        color: Color = "auto" if known is None else "grey" if len(known.mean) == 1 else "rgb"
        size = size if size is not None or known is None else known.size
        pool = load_images(
            source, size=size, split=split, limit=limit, seed=seed, color=color, progress=progress, **bad
        )
        inputs, labels, class_names = pool.images, pool.labels, pool.class_names
        mean_std = mean_std or channel_scales(inputs)
    else:
        options = ReadOptions(split=split, limit=limit, seed=seed, progress=progress, **bad)
        if modality == "text":
            if _is_prepared(source):
                inputs, labels, class_names = load_texts(str(source), options)
            else:
                texts = load_text_pool(source, column=column, limit=limit, seed=seed, progress=progress, **bad)
                inputs, labels, class_names = texts.texts, texts.labels, texts.class_names
            mean_std = (), ()
        elif not _is_prepared(source):
            inputs, labels, class_names, final_rate = _sound_files(source, _samples(size), rate, options)
            mean_std = (0.0,), (1.0,)
        else:
            samples = _samples(size)
            opened = open_sounds(str(source), split)
            final_rate = rate or opened.rate
            if samples is None and known and known.size and known.rate and final_rate:
                samples = resampled_length(known.size, known.rate, final_rate)
            inputs, labels = load_sounds(opened, samples, rate, options)
            class_names, mean_std = opened.class_names, ((0.0,), (1.0,))
    if labels is None:
        raise WrongFileError(f"{source} has no labels: {_LABELS[modality]}, or choose a data set with a class label")
    if labels.min() < 0:
        raise FileFormatError(
            f"{np.count_nonzero(labels < 0):,} of {len(labels):,} labels of {source} are negative: the classes of this "
            "split are not public or not known; choose another"
        )
    return Dataset(
        inputs=inputs,
        labels=labels.astype(np.int32),
        class_names=class_names or tuple(map(str, range(int(labels.max()) + 1))),
        mean=mean_std[0],
        std=mean_std[1],
        modality=modality,
        name=name,
        rate=final_rate,
    )


def channel_scales(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, on the scale of [0, 1].

    A channel that never changes gets a standard deviation of 1, so that dividing by it is safe.

    Args:
        images: [N, H, W, C], uint8 or float in [0, 1].

    Returns:
        means and standard deviations, one of each per channel.

    >>> channel_scales(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1))
    ((0.5,), (0.5,))
    """
    means, stds = [], []
    for c in range(images.shape[-1]):
        if images.dtype == np.uint8:
            # Exact, and without a copy of the images as floats.
            counts = np.bincount(images[..., c].ravel(), minlength=256) / images[..., c].size
            levels = np.arange(256) / 255
            mean = float(counts @ levels)
            std = float(np.sqrt(counts @ (levels - mean) ** 2))
        else:
            mean, std = float(images[..., c].mean(dtype=np.float64)), float(images[..., c].std(dtype=np.float64))
        means.append(mean)
        stds.append(std if std > 0 else 1.0)
    return tuple(means), tuple(stds)


def _recognised(source: str | os.PathLike[str], split: str) -> tuple[Modality, str]:
    """What a source holds, and what it is called."""
    modality = modality_of(source, split)
    if _is_prepared(source):
        return modality, locate(str(source), split).name
    return modality, Path(source).expanduser().resolve().stem


def _is_prepared(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a data set of TFDS, and not a file or folder of the user's."""
    path = Path(source).expanduser()
    return not path.exists() or is_tfds_folder(path)


def _sound_files(
    source: str | os.PathLike[str], samples: int | None, rate: int | None, options: ReadOptions
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None, int]:
    """Sounds of a folder as a data set holds them: int16, labels, class names, rate."""
    pool = load_sound_pool(
        source,
        rate=rate,
        limit=options.limit,
        seed=options.seed,
        skip_bad=options.skip_bad,
        on_skip=options.on_skip,
        progress=options.progress,
    )
    assert pool.rate is not None  # files tell theirs
    sounds = np.rint(pool.sounds * 32768).clip(-32768, 32767).astype(np.int16)
    if samples is not None:
        sounds = np.pad(sounds, ((0, 0), (0, max(samples - sounds.shape[1], 0))))[:, :samples]
    return sounds, pool.labels, pool.class_names, pool.rate


def _samples(size: int | tuple[int, int] | None) -> int | None:
    if size is None:
        return None
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"`size` is {size}; for sounds give the number of samples, at least 1")
    return size
