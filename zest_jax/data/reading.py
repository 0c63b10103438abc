"""What every reader of images shares: its options, the value it returns, and how images come to one shape."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

Color = Literal["auto", "rgb", "grey"]
Size = tuple[int, int]
OnSkip = Callable[[str, str], None]

# What Pillow raises on files that are no images, are cut off, or are absurdly large.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

# Luminance of ITU-R 601, as Pillow computes it.
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ImageSet:
    """Images of one shape, read from somewhere.

    Attributes:
        images: [N, H, W, C], C = 1 (grey) or 3 (RGB); uint8, or float32 in [0, 1] where floats were stored.
        labels: class of each image, int64 [N], or None when unknown.
        class_names: name of each class, or None.
        skipped: names of the unreadable images that were left out.
        source: where they come from, as the user wrote it.

    >>> pool = ImageSet(images=np.zeros((3, 8, 8, 1), np.uint8), labels=np.array([0, 1, 0]), class_names=("cat", "dog"))
    >>> len(pool), pool.skipped
    (3, ())
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    skipped: tuple[str, ...] = ()
    source: str = ""

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Arguments of `load_images` that all readers take."""

    size: Size | None = None
    split: str = "train"
    limit: int | None = None
    seed: int | None = None
    skip_bad: bool = False
    on_skip: OnSkip | None = None
    color: Color = "auto"
    progress: bool | None = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"`limit` is {self.limit}; read at least 1, or give None for all")
        if self.color not in ("auto", "rgb", "grey"):
            raise ValueError(f"`color` is {self.color!r}; choose 'auto', 'rgb' or 'grey'")

    def rows(self, n: int) -> np.ndarray:
        """Which of n images to read, ascending: all, the first `limit`, or with a seed `limit` random ones."""
        if self.limit is None or self.limit >= n:
            return np.arange(n)
        if self.seed is None:
            return np.arange(self.limit)
        return np.sort(np.random.default_rng(self.seed).permutation(n)[: self.limit])

    def skip(self, name: str, reason: str) -> None:
        if self.on_skip is not None:
            self.on_skip(name, reason)


def as_size(size: int | tuple[int, int] | None) -> Size | None:
    """Turn the user's `size` into (height, width).

    >>> as_size(224), as_size((192, 256))
    ((224, 224), (192, 256))
    """
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"`size` is {size}; give pixels, at least 1: one number for a square, or (height, width)")
    return int(height), int(width)


def channels_of(color: Color, all_grey: bool) -> int:
    """How many channels the images get: with "auto", 1 when all of them are grey and 3 otherwise."""
    return {"rgb": 3, "grey": 1, "auto": 1 if all_grey else 3}[color]


def common_size(sizes: Iterable[Size], wanted: Size | None, source: str | os.PathLike[str]) -> Size:
    """The size all images have, or are to get.

    Raises:
        ValueError: they differ and no size is wanted.
    """
    if wanted is not None:
        return wanted
    counts = Counter(sizes)
    if len(counts) > 1:
        shown = ", ".join(f"{n} of {h}x{w}" for (h, w), n in counts.most_common(4))
        more = f" and {len(counts) - 4} sizes more" if len(counts) > 4 else ""
        raise ValueError(
            f"the images of {source} have {len(counts)} different sizes ({shown}{more}; height x width); probes need one: "
            "pass `size` (`--size 224` on the command line), the size that the models expect"
        )
    return next(iter(counts))


def displayed_size(image: Image.Image) -> Size:
    """(height, width) as the image is meant to be seen: a camera's orientation tag may turn it."""
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)


def is_grey(image: Image.Image) -> bool:
    """Whether the image has brightness only, of whatever depth."""
    return image.mode in ("1", "L", "LA", "La", "I") or image.mode.startswith("I;16")


def to_array(image: Image.Image, size: Size, channels: int) -> np.ndarray:
    """Decode an opened image to uint8 [H, W, C] of the given size."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; store 8-bit images, or an .npz array in [0, 1]")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16-bit grey values at 255.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    image = image.convert("RGB" if channels == 3 else "L")
    return np.asarray(fit(image, size)).reshape(*size, channels)


def fit(image: Image.Image, size: Size) -> Image.Image:
    """Scale until the image covers `size`, antialiased, and cut out the centre."""
    height, width = size
    if (image.height, image.width) == size:
        return image
    return ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)


def fit_array(image: np.ndarray, size: Size, channels: int) -> np.ndarray:
    """Bring one image [H, W, C] of uint8 or float32 to the given size and number of channels."""
    if image.shape[-1] == 3 and channels == 1:
        grey = image.astype(np.float32) @ np.asarray(_LUMINANCE, np.float32)
        image = (np.rint(grey) if image.dtype == np.uint8 else grey).astype(image.dtype)[..., None]
    elif image.shape[-1] == 1 and channels == 3:
        image = np.repeat(image, 3, axis=-1)
    if image.shape[:2] == size:
        return image
    planes = [np.asarray(fit(Image.fromarray(image[..., c]), size)) for c in range(channels)]
    fitted = np.stack(planes, axis=-1)
    return fitted.clip(0, 1) if fitted.dtype == np.float32 else fitted


def only_readable(
    images: np.ndarray, labels: np.ndarray | None, bad: dict[int, str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Drop the rows of unreadable images."""
    if not bad:
        return images, labels
    keep = np.setdiff1d(np.arange(len(images)), list(bad))
    return images[keep], None if labels is None else labels[keep]
