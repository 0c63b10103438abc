"""Quickshift on the accelerator: scikit-image's segmentation as dense window operations in JAX.

Quickshift (Vedaldi and Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008) links each pixel to its
nearest neighbour of higher density in the joint space of colour and position; the trees of links are the segments.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Int32
from numpy.typing import ArrayLike
from skimage.color import rgb2lab

from zest_jax.probes.pixels import checked_images, scaled_rgb

# Bounds device memory to a few hundred MB (a pixel takes about 100 bytes in float64), whatever the number of images.
_PIXELS_PER_BATCH = 2**20
# Links between pixels further apart in the image than this many kernel widths are not looked for (as in scikit-image).
_WINDOW_KERNELS = 3
# Standard deviation of the noise that breaks ties between equal densities (as in scikit-image).
_TIE_NOISE = 1e-5


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
    with jax.enable_x64(dtype == "float64"):  # in this thread and block only
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


def lab_features(image: np.ndarray, *, ratio: float, white: float) -> Float[np.ndarray, "3 H W"]:
    """Convert one checked image to the scaled Lab colours that Quickshift compares, float64, channels first."""
    return np.ascontiguousarray(np.moveaxis(rgb2lab(scaled_rgb(image, white)) * ratio, -1, 0))


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
