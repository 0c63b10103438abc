"""A data set as training needs it: inputs, a class for each, and how inputs are normalised."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from zest_jax.data.images import kind_of_source, load_images
from zest_jax.data.reading import Color, ReadOptions
from zest_jax.data.sounds import described_features, load_sounds
from zest_jax.data.texts import load_texts
from zest_jax.data.tfds import locate
from zest_jax.errors import FileFormatError

Modality = Literal["image", "text", "audio"]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """What is known of a data set before it is read.

    Attributes:
        name: its TFDS name.
        modality: "image", "text" or "audio".
        num_classes: how many classes it has.
        mean, std: per channel, for pixels in [0, 1] and samples in [-1, 1]; empty for texts. CIFAR's and MNIST's are
            those of their training pixels; photographs have ImageNet's, which models trained on it expect.
        train, test: the splits to train and to measure accuracy on.
        size: pixels to which images of many sizes are brought, or samples of a sound; None where all have one size.
    """

    name: str
    modality: Modality
    num_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    train: str = "train"
    test: str = "test"
    size: int | None = None


_KNOWN = {
    known.name: known
    for known in (
        KnownDataset(
            name="cifar10",
            modality="image",
            num_classes=10,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
        ),
        KnownDataset(
            name="cifar100",
            modality="image",
            num_classes=100,
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
        ),
        KnownDataset(name="mnist", modality="image", num_classes=10, mean=(0.1307,), std=(0.3081,)),
        # The labels of ImageNet's split "test" are not public.
        KnownDataset(
            name="imagenet2012",
            modality="image",
            num_classes=1000,
            mean=_IMAGENET_MEAN,
            std=_IMAGENET_STD,
            test="validation",
            size=224,
        ),
        KnownDataset(
            name="oxford_flowers102",
            modality="image",
            num_classes=102,
            mean=_IMAGENET_MEAN,
            std=_IMAGENET_STD,
            size=224,
        ),
        KnownDataset(
            name="stanford_dogs", modality="image", num_classes=120, mean=_IMAGENET_MEAN, std=_IMAGENET_STD, size=224
        ),
        KnownDataset(name="ag_news_subset", modality="text", num_classes=4),
        # One second at 16 kHz; ten words, silence and unknown.
        KnownDataset(name="speech_commands", modality="audio", num_classes=12, mean=(0.0,), std=(1.0,), size=16000),
    )
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
        """The given rows, in their order; everything else is kept. See `zest_jax.data.subsets` for checked choices."""
        chosen = np.asarray(rows)
        return dataclasses.replace(self, inputs=self.inputs[chosen], labels=self.labels[chosen])


def dataset_names() -> tuple[str, ...]:
    """Names of the data sets whose splits, sizes and scales are known.

    >>> "cifar10" in dataset_names()
    True
    """
    return tuple(_KNOWN)


def known_dataset(name: str) -> KnownDataset:
    """What is known of a data set.

    Raises:
        ValueError: it is none of `dataset_names`.

    >>> known_dataset("imagenet2012").test
    'validation'
    """
    if name not in _KNOWN:
        raise ValueError(f"no data set {name!r} is known; known are {', '.join(_KNOWN)}")
    return _KNOWN[name]


def load_dataset(
    source: str | os.PathLike[str],
    *,
    split: str = "train",
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    progress: bool | None = False,
) -> Dataset:
    """Read a labelled data set into memory.

    Args:
        source: a TFDS name ("cifar10", "cifar10:test", "cifar10:3.0.2:train[:500]"), the folder of a data set prepared by
            TFDS, a folder of images in one sub-folder per class, or an .npz file with `images`, `labels` and, if the
            classes have names, `class_names`. Nothing is downloaded, and TensorFlow is not needed.
        split: of a data set or .npz file with several, unless `source` names one.
        size: pixels, of a square or (height, width), to which images are brought as `load_images` does; for sounds, how
            many samples are kept. None: what the set is known to need (`known_dataset`), or else what is stored.
        limit: read at most this many.
        seed: None reads the first `limit`, a number that many random ones.
        progress: show a bar on stderr; None: when stderr is a terminal.

    Sets that are not known by name get mean and std from all pixels of the rows read, per channel (a channel that never
    changes gets std 1). Read a test set with the mean and std of its training set: `dataclasses.replace`. Classes without
    names are called "0", "1", ... up to the highest that occurs.

    Raises:
        FileNotFoundError: there is no such file, folder or prepared data set.
        FileFormatError: something in it cannot be read, or it has no labels.
        MissingExtraError: a TFDS data set is given and tensorflow-datasets is not installed.
        ValueError: an argument is out of range, the images have different sizes and `size` is None, or they would take
            more memory than is reasonable without a `limit`.

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
        raise FileNotFoundError(f"{error}. Data sets known by name: {', '.join(_KNOWN)}") from error
    known = _KNOWN.get(name)
    size = size if size is not None or known is None else known.size
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None = (known.mean, known.std) if known else None
    if modality == "image":
        color: Color = "auto" if known is None else "grey" if len(known.mean) == 1 else "rgb"
        pool = load_images(source, size=size, split=split, limit=limit, seed=seed, color=color, progress=progress)
        inputs, labels, class_names = pool.images, pool.labels, pool.class_names
        mean_std = mean_std or channel_scales(inputs)
    else:
        options = ReadOptions(split=split, limit=limit, seed=seed, progress=progress)
        if modality == "text":
            inputs, labels, class_names = load_texts(str(source), options)
            mean_std = (), ()
        else:
            inputs, labels, class_names = load_sounds(str(source), _samples(size), options)
            mean_std = (0.0,), (1.0,)
    if labels is None:
        raise FileFormatError(
            f"{source} has no labels: put images into one sub-folder per class, store `labels` in an .npz file, or choose "
            "a data set with a class label"
        )
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
    )


def channel_scales(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, on the scale of [0, 1].

    A channel that never changes gets a standard deviation of 1, so that dividing by it is safe.

    Args:
        images: [N, H, W, C], uint8 or float in [0, 1].

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
    if kind_of_source(source) != "tfds":
        return "image", Path(source).expanduser().resolve().stem
    located = locate(str(source), split)
    features = described_features(located.folder)
    kinds = {kind for kind, _ in features.values()}
    if "Image" in kinds:
        return "image", located.name
    if "audio" in features:
        return "audio", located.name
    return "text" if "Text" in kinds else "image", located.name


def _samples(size: int | tuple[int, int] | None) -> int | None:
    if size is None:
        return None
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"`size` is {size}; for sounds give the number of samples, at least 1")
    return size
