"""Convolutions the way each backend computes them fast."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array


def convolve(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    feature_group_count: int = 1,
    **settings: Any,
) -> Array:
    """`lax.conv_general_dilated` as `nnx.Conv` calls it; equal but for rounding.

    XLA has no fast path on CPUs for two kinds (benchmarks/results/speed/mobile_convolutions): kernels of one pixel, which are
    computed as a product of matrices there, and as many groups as channels, computed as a sum over the kernel:

        y[n, p, c] = sum_k kernel[k, 0, c] * x[n, p * stride + k, c]

    summed in float32. The latter has gradients (reverse mode) there and no forward-mode derivatives.

    Args:
        x: [batch, *space, inputs].
        kernel: [*size, inputs / groups, outputs].
        strides: of each spatial axis.
        padding: zeros before and after, of each spatial axis.
        feature_group_count: groups of channels that are convolved apart.
        settings: the others of `lax.conv_general_dilated`.

    >>> x, kernel = jnp.arange(10.0).reshape(1, 5, 2), jnp.array([[[1.0, 0.0]], [[10.0, 1.0]]])
    >>> convolve(x, kernel, (2,), ((0, 1),), feature_group_count=2)[0].tolist()
    [[20.0, 3.0], [64.0, 7.0], [8.0, 0.0]]
    """
    if jax.default_backend() == "cpu" and _is_plain(settings):
        if 1 < feature_group_count == x.shape[-1] == kernel.shape[-1]:
            return _depthwise(x, kernel, tuple(strides), tuple(map(tuple, padding)))
        alone = feature_group_count == 1 and kernel.size == kernel.shape[-2] * kernel.shape[-1]
        if alone and set(strides) == {1} and not np.any(padding):
            # Flat, since gradients of products with more axes are slow as well.
            flat = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[-2:])
            return flat.reshape(*x.shape[:-1], -1)
    return lax.conv_general_dilated(x, kernel, strides, padding, feature_group_count=feature_group_count, **settings)


def convolve_several(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]] | str,
    *,
    feature_group_count: int = 1,
    **settings: Any,
) -> Array:
    """`convolve`, with several neighbouring pixels of a row at once where there are few outputs; equal but for rounding.

    XLA writes the neighbourhood of each pixel into memory on CPUs, which takes longer than multiplying it with few outputs. For
    m pixels at once, of stride s, the kernel is written m times, each s further to the right, side by side:

        wide[i, j, c, (p, o)] = kernel[i, j - p * s, c, o]    with p = 0, ..., m - 1

    so that neighbourhoods which overlap are written once, for more products with zeros (of which infinite inputs make NaN). Made
    for asking: gradients by inputs are slower than those of `convolve`.

    >>> x, kernel = jnp.arange(8.0).reshape(1, 1, 8, 1), jnp.array([[[[1.0]], [[10.0]]]])
    >>> images = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    >>> convolve_several(x, kernel, (1, 2), ((0, 0), (0, 0)), **images)[0, 0, :, 0].tolist()
    [10.0, 32.0, 54.0, 76.0]
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:-1], kernel.shape[:-2], strides, padding)
    count = 1
    if jax.default_backend() == "cpu" and feature_group_count == 1 and kernel.ndim == 4 and _is_plain(settings):
        count = _pixels_at_once(x.shape, kernel.shape, strides[1], padding[1])
    if count == 1:
        return convolve(x, kernel, strides, padding, feature_group_count=feature_group_count, **settings)
    width, outputs, stride, before = kernel.shape[1], kernel.shape[3], strides[1], padding[1][0]
    pixels = _pixels(x.shape[2], width, stride, padding[1])
    length = width + stride * (count - 1)
    places = [(stride * place, length - width - stride * place) for place in range(count)]
    wide = jnp.stack([jnp.pad(kernel, ((0, 0), place, (0, 0), (0, 0))) for place in places], axis=3)
    after = (pixels // count - 1) * stride * count + length - x.shape[2] - before
    found = lax.conv_general_dilated(
        x,
        wide.reshape(*wide.shape[:3], count * outputs),
        (strides[0], stride * count),
        (padding[0], (before, after)),
        feature_group_count=1,
        **settings,
    )
    return found.reshape(*found.shape[:2], pixels, outputs)


# Outputs, all pixels together, up to which more pixels at once are faster; measured for images of 8x8 to 32x32 pixels.
_OUTPUTS = 32


def _pixels_at_once(shape: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: tuple[int, int]) -> int:
    """A power of two that divides the pixels of a row, 1 where it would not be faster."""
    pixels = _pixels(shape[2], kernel[1], stride, padding)
    count = 1
    while kernel[1] > 1 and pixels > 0 and pixels % (2 * count) == 0 and 2 * count * kernel[3] <= _OUTPUTS:
        count *= 2
    return count


def _pixels(length: int, width: int, stride: int, padding: tuple[int, int]) -> int:
    """How many outputs a convolution has along an axis."""
    return (length + sum(padding) - width) // stride + 1


def _is_plain(settings: dict[str, Any]) -> bool:
    """Whether nothing is dilated, and the type of the result is that of the inputs."""
    dilations = (settings.get(name) or (1,) for name in ("lhs_dilation", "rhs_dilation"))
    others = ("preferred_element_type", "out_sharding")
    return (
        all(set(dilation) == {1} for dilation in dilations)
        and settings.get("batch_group_count", 1) == 1
        and all(settings.get(name) is None for name in others)
    )


def plain_convolutions(model: nnx.Module) -> None:
    """Let all convolutions of a model be single operations, which is how other frameworks write them down."""
    _compute_with(lax.conv_general_dilated, model)


def narrow_convolutions(model: nnx.Module) -> None:
    """Let a model that is only asked, not trained, compute its convolutions with few outputs as `convolve_several` does."""
    _compute_with(convolve_several, model)


def _compute_with(convolution: Callable[..., Array], model: nnx.Module) -> None:
    for _, part in nnx.iter_modules(model):
        if isinstance(part, nnx.Conv):
            part.conv_general_dilated = convolution


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x: Array, kernel: Array, strides: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> Array:
    return _sum(x, kernel, strides, padding)


def _sum(x: Array, kernel: Array, strides: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> Array:
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    wide = kernel.astype(jnp.float32)
    total = jnp.zeros((), jnp.float32)
    for place, window in _windows(padded.shape[1:-1], kernel.shape[:-2], strides).items():
        total = total + padded[(slice(None), *window)].astype(jnp.float32) * wide[(*place, 0)]
    return total.astype(x.dtype)


def _forward(x: Array, kernel: Array, strides: Any, padding: Any) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(x, kernel, strides, padding), (x, kernel)


def _backward(strides: Any, padding: Any, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    (of_x,) = jax.linear_transpose(lambda x: _sum(x, kernel, strides, padding), x)(gradient)
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    windows = _windows(padded.shape[1:-1], kernel.shape[:-2], strides)
    channels = x.shape[-1]

    # XLA sums over all but the last axis channel by channel, across all of memory; image by image, and as a product with
    # ones, it takes a third of the time.
    def add(total: Array, image: tuple[Array, Array]) -> tuple[Array, None]:
        padded, gradient = image
        products = [(padded[window] * gradient).reshape(-1, channels) for window in windows.values()]
        ones = jnp.ones(products[0].shape[0], x.dtype)
        return total + jnp.stack([ones @ product for product in products]).astype(jnp.float32), None

    sums, _ = jax.lax.scan(add, jnp.zeros((len(windows), channels), jnp.float32), (padded, gradient))
    return of_x, sums.reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_forward, _backward)


def _windows(
    space: Sequence[int], size: Sequence[int], strides: Sequence[int]
) -> dict[tuple[int, ...], tuple[slice, ...]]:
    """For each place of the kernel, what of the padded input it is multiplied with."""
    ends = [(length - k) // stride * stride + 1 for length, k, stride in zip(space, size, strides, strict=True)]
    return {
        place: tuple(slice(start, start + end, step) for start, end, step in zip(place, ends, strides, strict=True))
        for place in np.ndindex(*size)
    }
