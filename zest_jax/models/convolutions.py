"""Convolutions the way each backend computes them fast."""

import functools
from collections.abc import Sequence
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
    for _, part in nnx.iter_modules(model):
        if isinstance(part, nnx.Conv):
            part.conv_general_dilated = lax.conv_general_dilated


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
