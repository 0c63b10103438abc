"""What is known of some data sets before they are read: splits, classes, sizes, scales, sample rates."""

import dataclasses
from typing import Literal

Modality = Literal["image", "text", "audio"]

# How messages and progress bars call several inputs of a kind.
PLURAL: dict[str, str] = {"image": "images", "text": "texts", "audio": "sounds"}

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """What is known of a data set before it is read.

    Attributes:
        name: its TFDS name.
        modality: "image", "text" or "audio".
        num_classes: how many classes it has.
        mean: per channel, for pixels in [0, 1] and samples in [-1, 1]; empty for texts. CIFAR's and MNIST's are those of
            their training pixels; photographs have ImageNet's, which models trained on it expect.
        std: likewise.
        train: the split to train on.
        test: the split to measure accuracy on.
        size: pixels to which images of many sizes are brought, or samples of a sound at `rate`; None where all have one
            size.
        rate: samples per second, in Hz; None for what are no sounds.

    >>> cifar = known_dataset("cifar10")
    >>> cifar.modality, cifar.num_classes, cifar.test, cifar.mean
    ('image', 10, 'test', (0.4914, 0.4822, 0.4465))
    """

    name: str
    modality: Modality
    num_classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    train: str = "train"
    test: str = "test"
    size: int | None = None
    rate: int | None = None


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
        # Descriptions of Debian's packages, and the section of each: games, net, science or sound.
        KnownDataset(name="debian_sections", modality="text", num_classes=4),
        # One second; ten words, silence and unknown.
        KnownDataset(
            name="speech_commands", modality="audio", num_classes=12, mean=(0.0,), std=(1.0,), size=16000, rate=16000
        ),
        # One second; the 35 words of Speech Commands, spoken by espeak-ng. No speaker is in two splits.
        KnownDataset(
            name="espeak_commands", modality="audio", num_classes=35, mean=(0.0,), std=(1.0,), size=16000, rate=16000
        ),
    )
}


def dataset_names() -> tuple[str, ...]:
    """Names of the data sets whose splits, sizes and scales are known.

    Returns:
        names, as TFDS has them.

    >>> "cifar10" in dataset_names()
    True
    """
    return tuple(_KNOWN)


def known_dataset(name: str) -> KnownDataset:
    """What is known of a data set.

    Args:
        name: one of `dataset_names`.

    Raises:
        ValueError: it is none of `dataset_names`.

    >>> known_dataset("imagenet2012").test
    'validation'
    """
    if name not in _KNOWN:
        raise ValueError(f"no data set {name!r} is known; known are {', '.join(_KNOWN)}")
    return _KNOWN[name]
