"""Quickshift on the accelerator: scikit-image's segmentation as dense window operations in JAX.

Quickshift (Vedaldi and Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008) links each pixel to its
nearest neighbour of higher density in the joint space of colour and position; the trees of links are the segments.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Int32
from numpy.typing import ArrayLike
from skimage.color import rgb2lab

# Bounds device memory to a few hundred MB (a pixel takes about 100 bytes in float64), whatever the number of images.
_PIXELS_PER_BATCH = 2**20
# Links between pixels further apart in the image than this many kernel widths are not looked for (as in scikit-image).
_WINDOW_KERNELS = 3
# Standard deviation of the noise that breaks ties between equal densities (as in scikit-image).
_TIE_NOISE = 1e-5
_RANGE_TOLERANCE = 1e-6
_LEVEL_TOLERANCE = 1e-4


def quickshift(
    images: ArrayLike,
    *,
    kernel_size: float = 4.0,
    max_dist: float = 200.0,
    ratio: float = 0.2,
    white: float = 255.0,
    seed: int = 42,
    dtype: str = "float64",
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Int32[np.ndarray, "N H W"]:
    """Segment images exactly as `skimage.segmentation.quickshift` does, many at a time and on any JAX device.

    With f(p) = (ratio * Lab colour, row, column) of pixel p and a window of ceil(3 * kernel_size) pixels to each side:

        density(p) = noise(p) + sum over q in window(p) of exp(-|f(p) - f(q)|^2 / (2 * kernel_size^2))
        parent(p)  = nearest q in window(p) with density(q) > density(p); p itself if there is none within max_dist

    and the segments are the trees of `parent`, found by pointer jumping and numbered by the position of their root, as
    scikit-image numbers them.

    The defaults are those of the paper's authors, who pass colours of 0 to 255 where scikit-image expects 0 to 1; that
    decides how many segments come out (about 16 on a 32 x 32 photograph against 1 or 2). `white=1.0` is scikit-image's
    own range.

    `dtype="float64"` gives scikit-image's labels, number for number, on every image tried: photographs, drawings,
    noise, flat and grey images, 32 to 224 pixels wide. In float32 the tie-breaking noise drowns in the rounding of
    the densities, which changed 25 of 59 such images (scikit-image itself changes as many between the two); take it
    only where float64 is very slow and scikit-image is not to be reproduced. JAX's own precision setting is neither
    needed nor changed.

    Args:
        images: [N, H, W, C] with C = 1 or 3, or [N, H, W]; uint8, or float in [0, 1]. Grey is taken as equal R, G, B.
        kernel_size: width of the density's kernel in pixels, at least 1; larger means fewer segments.
        max_dist: longest link, in pixels and scaled colour together, above 0; larger means fewer segments.
        ratio: weight of colour against position, above 0; larger means more segments.
        white: value of white (255, or 1.0) when the colours are converted to Lab, above 0.
        seed: of the noise that breaks ties; 42 is scikit-image's.
        dtype: of the densities and distances, "float64" or "float32".
        batch_size: images on the device at a time; by default as many as make 2^20 pixels.
        progress: called with the number of images done after each batch.

    Returns:
        labels, 0 to K - 1 in each image. Calls with the same H, W and batch share one compilation.

    Raises:
        ValueError: the images are of a wrong shape, type or range, or a setting is out of range.

    >>> image = np.zeros((1, 4, 6, 3), np.uint8)
    >>> image[:, :, 3:] = 255
    >>> quickshift(image)[0].tolist()
    [[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]]
    """
    images = checked_images(images)
    check_quickshift_settings(kernel_size=kernel_size, max_dist=max_dist, ratio=ratio, white=white, seed=seed)
    if dtype not in ("float64", "float32"):
        raise ValueError(f"unknown `dtype` {dtype!r}; choose 'float64' (scikit-image's labels) or 'float32'")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; give at least 1 image a batch, or None to choose by memory")

    count, height, width = images.shape[:3]
    batch = _even_batch(count, batch_size or max(1, _PIXELS_PER_BATCH // (height * width)))
    noise = np.random.default_rng(seed).normal(scale=_TIE_NOISE, size=(height, width)).astype(dtype)
    labels = np.empty((count, height, width), np.int32)
    with _x64(dtype == "float64"):
        for start in range(0, count, batch):
            chunk = images[start : start + batch]
            features = np.stack([lab_features(image, ratio=ratio, white=white) for image in chunk]).astype(dtype)
            # A short last batch is filled up with its first image, so that one compilation serves all batches.
            features = np.concatenate([features, np.repeat(features[:1], batch - len(chunk), axis=0)])
            found = _segment_batch(features, noise, kernel_size, max_dist, window=_window(kernel_size))
            labels[start : start + len(chunk)] = np.asarray(found)[: len(chunk)]
            if progress is not None:
                progress(start + len(chunk))
    return labels


@partial(jax.jit, static_argnames="window")
def _segment_batch(
    features: Float[Array, "N C H W"],
    noise: Float[Array, "H W"],
    kernel_size: Float[Array, ""] | float,
    max_dist: Float[Array, ""] | float,
    *,
    window: int,
) -> Int32[Array, "N H W"]:
    """Run the three phases on every image of a batch."""
    kernel_size, max_dist = jnp.asarray(kernel_size, noise.dtype), jnp.asarray(max_dist, noise.dtype)

    def segment(image: Float[Array, "C H W"]) -> Int32[Array, "H W"]:
        density = _density(image, noise, kernel_size, window)
        parent = _nearest_higher(image, density, max_dist, window)
        return _tree_labels(parent)

    return jax.vmap(segment)(features)


def _density(
    image: Float[Array, "C H W"], noise: Float[Array, "H W"], kernel_size: Float[Array, ""], window: int
) -> Float[Array, "H W"]:
    """Sum the kernel over each pixel's window, starting from the noise.

    The terms are added in scikit-image's order (offsets row by row), because the sums must round alike. One row of
    offsets is unrolled: the compiler fuses it into a single pass, about five times faster on a CPU than a loop over
    single offsets.
    """
    scale = -0.5 / (kernel_size * kernel_size)
    padded = _pad(image, window, jnp.inf)  # at infinite distance the kernel is exactly 0

    def add_row(row: Int[Array, ""], density: Float[Array, "H W"]) -> Float[Array, "H W"]:
        rows = lax.dynamic_slice_in_dim(padded, row, image.shape[1], axis=1)
        for column in range(2 * window + 1):
            density = density + jnp.exp(_squared_distance(image, rows, row, column, window) * scale)
        return density

    return lax.fori_loop(0, 2 * window + 1, add_row, noise)


def _nearest_higher(
    image: Float[Array, "C H W"], density: Float[Array, "H W"], max_dist: Float[Array, ""], window: int
) -> Int32[Array, "H W"]:
    """Find the flat index of each pixel's nearest neighbour of higher density; its own where none is near enough.

    Of several at the same distance the first one, row by row, is taken.
    """
    height, width = density.shape
    own = jnp.arange(height * width, dtype=jnp.int32).reshape(height, width)
    padded = _pad(image, window, jnp.inf)
    padded_density = _pad(density, window, -jnp.inf)  # outside the image nothing is higher

    def visit_row(
        row: Int[Array, ""], best: tuple[Float[Array, "H W"], Int32[Array, "H W"]]
    ) -> tuple[Float[Array, "H W"], Int32[Array, "H W"]]:
        closest, parent = best
        rows = lax.dynamic_slice_in_dim(padded, row, height, axis=1)
        row_densities = lax.dynamic_slice_in_dim(padded_density, row, height, axis=0)
        for column in range(2 * window + 1):
            distance = _squared_distance(image, rows, row, column, window)
            better = (row_densities[:, column : column + width] > density) & (distance < closest)
            closest = jnp.where(better, distance, closest)
            offset = (row - window) * width + (column - window)
            parent = jnp.where(better, own + offset.astype(jnp.int32), parent)
        return closest, parent

    start = (jnp.full_like(density, jnp.inf), own)
    closest, parent = lax.fori_loop(0, 2 * window + 1, visit_row, start)
    return jnp.where(jnp.sqrt(closest) > max_dist, own, parent)


def _tree_labels(parent: Int32[Array, "H W"]) -> Int32[Array, "H W"]:
    """Point every pixel at its root by pointer jumping, and number the roots by their position."""
    shape = parent.shape
    flat = parent.ravel()
    is_root = flat == jnp.arange(flat.size, dtype=jnp.int32)

    def jump(state: tuple[Int32[Array, " P"], Int32[Array, " P"]]) -> tuple[Int32[Array, " P"], Int32[Array, " P"]]:
        _, pointer = state
        return pointer, pointer[pointer]

    _, root = lax.while_loop(lambda state: jnp.any(state[0] != state[1]), jump, (jnp.full_like(flat, -1), flat))
    number = jnp.cumsum(is_root, dtype=jnp.int32) - 1
    return number[root].reshape(shape)


def _squared_distance(
    image: Float[Array, "C H W"], rows: Float[Array, "C H PW"], row: Int[Array, ""], column: int, window: int
) -> Float[Array, "H W"]:
    """Squared distance of each pixel to its neighbour at one offset, channels first, then rows, then columns.

    The order of the additions is scikit-image's.
    """
    neighbour = rows[:, :, column : column + image.shape[2]]
    total = jnp.zeros_like(image[0])
    for channel in range(image.shape[0]):
        total = total + (image[channel] - neighbour[channel]) ** 2
    down = (row - window).astype(image.dtype)
    return total + down * down + float((column - window) ** 2)


def _pad(array: Float[Array, "*batch H W"], window: int, value: float) -> Float[Array, "*batch PH PW"]:
    widths = [(0, 0)] * (array.ndim - 2) + [(window, window)] * 2
    return jnp.pad(array, widths, constant_values=value)


def _window(kernel_size: float) -> int:
    return math.ceil(_WINDOW_KERNELS * kernel_size)


def _even_batch(count: int, largest: int) -> int:
    """Size of equal batches, none above `largest`, so that the last one is hardly filled up."""
    return math.ceil(count / math.ceil(count / largest))


def _x64(needed: bool) -> AbstractContextManager:
    """Allow float64 in this thread and block only; JAX before 0.8 has the context manager in `jax.experimental`."""
    enable = getattr(jax, "enable_x64", None)
    if enable is None:
        from jax import experimental

        enable = getattr(experimental, "enable_x64")  # noqa: B009  newer JAX does not declare it
    return enable(needed)


def lab_features(image: np.ndarray, *, ratio: float, white: float) -> Float[np.ndarray, "3 H W"]:
    """Convert one checked image to the scaled Lab colours that Quickshift compares, float64, channels first."""
    return np.ascontiguousarray(np.moveaxis(rgb2lab(scaled_rgb(image, white)) * ratio, -1, 0))


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
        raise ValueError(
            f"the images are {array.dtype}; pass uint8 (0 to 255) or float (0 to 1), for example `images.astype(np.uint8)`"
        )
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


def check_quickshift_settings(*, kernel_size: float, max_dist: float, ratio: float, white: float, seed: int) -> None:
    """Raise `ValueError` where a setting of Quickshift is out of range, whichever implementation runs."""
    if not 1 <= kernel_size < math.inf:
        raise ValueError(
            f"`kernel_size` is {kernel_size}; give a finite width in pixels of at least 1 (the paper uses 4)"
        )
    for name, value, paper in (("max_dist", max_dist, "200"), ("ratio", ratio, "0.2"), ("white", white, "255")):
        if not 0 < value < math.inf:
            raise ValueError(f"`{name}` is {value}; give a finite number above 0 (the paper's authors use {paper})")
    if seed < 0:
        raise ValueError(f"`seed` is {seed}; give a non-negative integer (42 is scikit-image's)")
