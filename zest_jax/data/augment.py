"""Random changes to training images, on the device and inside the training step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from zest_jax.data.reading import as_size

Fill = float | tuple[float, ...] | np.ndarray | Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """What is changed at random, separately for each image of a batch.

    Attributes:
        crop_padding: pixels P: the image moves by -P to P pixels along each axis, every place equally likely. This is
            padding by P and cutting out a random window of the image's own size (He et al. 2016, section 4.2, P = 4).
        flip: mirror left and right with probability 1/2.
        rotation_degrees: turn about the centre by an angle uniform in [-R, R], bilinear.

    Raises:
        ValueError: `crop_padding` is negative, or `rotation_degrees` not in [0, 180].

    >>> Augment(crop_padding=4, flip=True)
    Augment(crop_padding=4, flip=True, rotation_degrees=0.0)
    """

    crop_padding: int = 0
    flip: bool = False
    rotation_degrees: float = 0.0

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ValueError(f"`crop_padding` is {self.crop_padding}; give pixels, 0 for no crops")
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(f"`rotation_degrees` is {self.rotation_degrees}; give degrees from 0 (none) to 180")


def augment(
    images: Float[Array, "batch height width channels"],
    key: PRNGKeyArray,
    settings: Augment,
    fill: Fill = 0.0,
) -> Float[Array, "batch height width channels"]:
    """Mirror, turn and move each image at random.

    All three are one map of places: pixel (y, x) of the result is read where the image was before it was mirrored, then
    turned, then moved. So an image that is turned out of the frame and moved back in loses nothing on the way, and is
    interpolated once; mirrored and moved pixels are copied exactly.

    Pure, and one image does not depend on the others. Each kind of change has random numbers of its own: switching one
    on does not alter the others. Under `jit`, `settings` is static: it can be hashed.

    Args:
        images: normalised images.
        key: a key used nowhere else.
        settings: what to change.
        fill: what comes in from outside of the image: one number, or one per channel. After normalisation, 0 is the mean
            colour.

    Returns:
        images changed, float [batch, height, width, channels], in the scale in which they came.

    >>> images = jnp.ones((2, 8, 8, 3))
    >>> augment(images, jax.random.key(0), Augment(crop_padding=2, flip=True)).shape
    (2, 8, 8, 3)
    """
    for_flip, for_angle, for_offset = jax.random.split(key, 3)
    n = len(images)
    mirrored = jax.random.bernoulli(for_flip, shape=(n,)) if settings.flip else None
    degrees, offsets = None, None
    if limit := settings.rotation_degrees:
        degrees = jax.random.uniform(for_angle, (n,), minval=-limit, maxval=limit)
    if limit := settings.crop_padding:
        offsets = jax.random.randint(for_offset, (n, 2), -limit, limit + 1)
    return transform(images, mirrored=mirrored, degrees=degrees, offsets=offsets, fill=fill)


def transform(
    images: Float[Array, "batch height width channels"],
    *,
    mirrored: Bool[Array, " batch"] | None = None,
    degrees: Float[Array, " batch"] | None = None,
    offsets: Int[Array, "batch 2"] | None = None,
    fill: Fill = 0.0,
) -> Float[Array, "batch height width channels"]:
    """Mirror, turn and move each image as told; see `augment`.

    Args:
        images: what to change.
        mirrored: which images are mirrored left and right.
        degrees: by how much each is turned counter-clockwise about its centre, as
            `scipy.ndimage.rotate(image, degrees, reshape=False, order=1, mode="grid-constant", cval=fill)` does.
        offsets: (dy, dx): what was at (y + dy, x + dx) comes to (y, x).
        fill: what comes in from outside of the image: one number, or one per channel.

    >>> image = jnp.arange(1.0, 4.0).reshape(1, 1, 3, 1)
    >>> transform(image, offsets=jnp.array([[0, 1]])).ravel()
    Array([2., 3., 0.], dtype=float32)
    >>> transform(image, mirrored=jnp.array([True])).ravel()
    Array([3., 2., 1.], dtype=float32)
    """
    if mirrored is None and degrees is None and offsets is None:
        return images
    _, height, width, _ = images.shape
    dy, dx = (0, 0) if offsets is None else (offsets[:, 0, None, None], offsets[:, 1, None, None])
    y = jnp.arange(height)[:, None] + dy + jnp.zeros((len(images), 1, width), int)
    x = jnp.arange(width)[None, :] + dx + jnp.zeros((len(images), height, 1), int)
    if degrees is None:
        return _read(images, y, _mirror(x, mirrored, width), fill)
    angle = jnp.deg2rad(degrees)[:, None, None]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    source_y = cos * (y - middle_y) + sin * (x - middle_x) + middle_y
    source_x = cos * (x - middle_x) - sin * (y - middle_y) + middle_x
    top, left = jnp.floor(source_y), jnp.floor(source_x)
    down, right = (source_y - top)[..., None], (source_x - left)[..., None]

    def corner(below: int, beside: int) -> Array:
        column = _mirror(left.astype(int) + beside, mirrored, width)
        return _read(images, top.astype(int) + below, column, fill)

    upper = corner(0, 0) * (1 - right) + corner(0, 1) * right
    lower = corner(1, 0) * (1 - right) + corner(1, 1) * right
    return (upper * (1 - down) + lower * down).astype(images.dtype)


def _mirror(x: Array, mirrored: Array | None, width: int) -> Array:
    return x if mirrored is None else jnp.where(mirrored[:, None, None], width - 1 - x, x)


def _read(images: Array, y: Array, x: Array, fill: Fill) -> Array:
    """Pixels [B, H, W, C] at integer places [B, H, W], which may lie outside of the image.

    Of the ways to write it, XLA compiles this one best for a CPU inside of a `lax.scan`: vmapped slices, two gathers along
    the axes, flat indices, `mode="fill"`, products with one-hot matrices and rolls bit by bit all take several times as long.
    """
    _, height, width, _ = images.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    found = images[jnp.arange(len(images))[:, None, None], jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)]
    return jnp.where(inside[..., None], found, jnp.asarray(fill, images.dtype))


def resize(images: Array, size: int | tuple[int, int]) -> Array:
    """Scale images [B, H, W, C] to `size`, bilinear and antialiased, as float.

    Small images make early epochs cheap (progressive resizing); nothing is cut off.

    Args:
        images: uint8 or float; the scale of the values stays.
        size: pixels, of a square or (height, width).

    Returns:
        images float [B, height, width, C]; float32 where the given ones were integers.

    >>> resize(jnp.ones((2, 8, 8, 3)), 4).shape
    (2, 4, 4, 3)
    """
    target = as_size(size)
    assert target is not None
    if not jnp.issubdtype(images.dtype, jnp.floating):
        images = images.astype(jnp.float32)
    if images.shape[1:3] == target:
        return images
    shape = (len(images), *target, images.shape[-1])
    return jax.image.resize(images, shape, method="linear", antialias=True)
