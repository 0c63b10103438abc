"""Images as segmentation takes them: what is accepted, and the value ranges they are scaled to."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

_RANGE_TOLERANCE = 1e-6
_LEVEL_TOLERANCE = 1e-4


def checked_images(images: ArrayLike) -> np.ndarray:
    """Check that images are what segmentation takes, and return them as [N, H, W, C] with C = 1 or 3.

    Args:
        images: [N, H, W, C], or [N, H, W] for grey; uint8, or float in [0, 1].

    Raises:
        ValueError: the set is empty, the images differ in size, have other than 1 or 3 channels, are neither uint8 nor
            float, hold NaN or infinity, or leave [0, 1].

    >>> checked_images(np.zeros((2, 8, 8), np.uint8)).shape
    (2, 8, 8, 1)
    """
    try:
        array = np.asarray(images)
    except ValueError as error:
        raise ValueError("the images have different sizes; resize them to one [H, W, C] and stack them") from error
    if array.ndim == 3 and array.shape[-1] in (1, 3, 4):
        raise ValueError(
            f"one image of shape {array.shape} arrived where a set [N, H, W, C] is needed; pass `image[None]`"
        )
    if array.ndim not in (3, 4):
        raise ValueError(f"the images have shape {array.shape}; pass [N, H, W, C], or [N, H, W] for grey images")
    if 0 in array.shape:
        raise ValueError(
            f"the set of images is empty (shape {array.shape}); pass at least one image of at least one pixel"
        )
    if array.ndim == 3:
        array = array[..., None]
    _check_channels(array.shape)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        scaled = {"uint16": "images / 65535", "bool": "images * 1.0"}.get(str(array.dtype), "images / images.max()")
        hint = "images.astype(np.uint8)" if 1 < array.max() <= 255 and array.min() >= 0 else scaled
        raise ValueError(f"the images are {array.dtype}; pass uint8 (0 to 255) or float (0 to 1), for example `{hint}`")
    return _check_range(array)


def _check_channels(shape: tuple[int, ...]) -> None:
    channels = shape[-1]
    if channels in (1, 3):
        return
    if shape[1] in (1, 3):
        hint = "they look channels-first: pass `np.moveaxis(images, 1, -1)`"
    elif channels == 4:
        hint = "drop the alpha channel with `images[..., :3]`"
    else:
        hint = "choose 1 or 3 of the channels"
    raise ValueError(f"the images have {channels} channels (shape {shape}); 1 (grey) or 3 (RGB) are needed; {hint}")


def _check_range(images: np.ndarray) -> np.ndarray:
    low, high = images.min(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))
    broken = ~np.isfinite(low) | ~np.isfinite(high)
    if broken.any():
        raise ValueError(f"image {int(np.argmax(broken))} holds NaN or infinity; remove it or repair its pixels")
    outside = (low < -_RANGE_TOLERANCE) | (high > 1 + _RANGE_TOLERANCE)
    if outside.any():
        first = int(np.argmax(outside))
        if low.min() < -_RANGE_TOLERANCE:
            hint = "undo their normalisation (multiply by the standard deviation, add the mean)"
        else:
            hint = (
                "divide them by 255 or pass uint8" if high.max() > 2 else "clip them, or divide them by their maximum"
            )
        raise ValueError(
            f"image {first} has float values from {low[first]:.4g} to {high[first]:.4g}, "
            f"but float images must be in [0, 1]; {hint}"
        )
    return images if low.min() >= 0 and high.max() <= 1 else images.clip(0, 1)


def scaled_rgb(image: np.ndarray, white: float) -> Float[np.ndarray, "H W 3"]:
    """Scale one checked image to 0 (black) to `white`, float64; grey becomes equal R, G and B.

    A float image that holds nothing but 8-bit levels up to rounding is taken as those levels: an image has the same
    segments as uint8, as float32 and as float64.

    >>> levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    >>> bool((scaled_rgb(levels, 255.0) == scaled_rgb(levels / np.float32(255), 255.0)).all())
    True
    """
    levels = image.astype(np.float64)
    if image.dtype != np.uint8:
        levels *= 255.0
        rounded = np.rint(levels)
        if np.abs(levels - rounded).max() < _LEVEL_TOLERANCE:
            levels = rounded
    if white != 255.0:
        levels *= white / 255.0
    return np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels


def unit_image(image: np.ndarray) -> Float[np.ndarray, "H W C"]:
    """Scale one checked image to [0, 1], float32; always a copy, so that a callable may work in place."""
    unit = image.astype(np.float32)
    return unit / np.float32(255) if image.dtype == np.uint8 else unit
