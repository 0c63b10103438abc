"""The layers that the models are made of, and the order in which data passes them."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from zest_jax.models.convolutions import convolve
from zest_jax.models.initializers import HE_FAN_OUT, UNIFORM_FAN_IN, Initializer

DTYPES = ("float32", "bfloat16")


def compute_dtype(dtype: str) -> Any:
    """Turn the user's `dtype` into JAX's.

    >>> compute_dtype("float64")
    Traceback (most recent call last):
    ValueError: `dtype` is 'float64'; choose 'float32' or 'bfloat16', the type that a model computes in
    """
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` is {dtype!r}; choose 'float32' or 'bfloat16', the type that a model computes in")
    return jnp.dtype(dtype)


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation over all axes but the last: running averages keep 0.9 of the old value, epsilon is 1e-5.

    Computes in float32, statistics and normalisation alike, and answers in `dtype`. The running variance averages the
    variance of the batch, where PyTorch averages n / (n - 1) times that.
    """

    def __init__(self, features: int, *, dtype: Any, rngs: nnx.Rngs) -> None:
        super().__init__(
            features, use_running_average=True, momentum=0.9, epsilon=1e-5, dtype=jnp.dtype("float32"), rngs=rngs
        )
        self.answer_dtype = dtype

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Array:
        return super().__call__(x, *args, **kwargs).astype(self.answer_dtype)


class ConvNorm(nnx.Module):
    """A convolution without bias, then batch normalisation; channels last, any number of spatial axes.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: size in each spatial axis.
        stride: in all spatial axes.
        padding: zeros on each side, of all spatial axes; half the kernel, rounded down, by default.
        groups: of channels that are convolved apart.
        init: initialiser of the kernel.
        dtype: the type to compute in.
        rngs: source of the initial weights.
    """

    order: ClassVar[tuple[str, ...]] = ("conv", "norm")

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        init: Initializer = HE_FAN_OUT,
        dtype: Any,
        rngs: nnx.Rngs,
    ) -> None:
        self.conv = nnx.Conv(
            inputs,
            outputs,
            tuple(kernel),
            strides=(stride,) * len(kernel),
            # Explicit: "SAME" pads a stride of 2 on one side only, unlike PyTorch.
            padding=tuple((k // 2, k // 2) if padding is None else (padding, padding) for k in kernel),
            feature_group_count=groups,
            use_bias=False,
            kernel_init=init,
            dtype=dtype,
            conv_general_dilated=convolve,
            rngs=rngs,
        )
        self.norm = BatchNorm(outputs, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.norm(self.conv(x))


def linear_head(inputs: int, num_classes: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Make the last layer of a model: float32, weights uniform within 1 / sqrt(inputs), bias 0.

    Raises:
        ValueError: fewer than 2 classes.
    """
    if num_classes < 2:
        raise ValueError(f"`num_classes` is {num_classes}; a classifier needs at least 2")
    return nnx.Linear(inputs, num_classes, kernel_init=UNIFORM_FAN_IN, dtype=jnp.dtype("float32"), rngs=rngs)


def dropout_layer(rate: float, rngs: nnx.Rngs) -> nnx.Dropout | None:
    """Make dropout, or None for a rate of 0, so that a model without it carries no random state."""
    if not 0 <= rate < 1:
        raise ValueError(f"`dropout` is {rate}; give a share in [0, 1)")
    return nnx.Dropout(rate, deterministic=True, rngs=rngs) if rate else None


def positive(name: str, *values: int) -> None:
    """Refuse sizes below 1.

    >>> positive("hidden", 0)
    Traceback (most recent call last):
    ValueError: `hidden` is 0; give at least 1
    """
    if any(value < 1 for value in values):
        raise ValueError(f"`{name}` is {', '.join(map(str, values))}; give at least 1")


def pooled(x: Float[Array, "batch *space channels"]) -> Float[Array, "batch channels"]:
    """Average over all positions, in float32."""
    return x.mean(tuple(range(1, x.ndim - 1)), dtype=jnp.float32)


def max_pool(x: Array, size: int, stride: int, *padding: tuple[int, int]) -> Array:
    """Largest value of each window; `padding` is (before, after) of each spatial axis."""
    settings: Any = {"strides": (stride,) * len(padding), "padding": padding}  # Flax says that padding is a string
    return nnx.max_pool(x, (size,) * len(padding), **settings)


def check_image_shape(shape: Sequence[int], channels: int, stride: int, model: str) -> None:
    """Refuse shapes [H, W, C] of images that a model cannot take; those below its total stride are too small.

    Raises:
        ValueError: another number of axes or channels, or too small.
    """
    takes = f"{model} takes images of {channels} channel{'s' * (channels != 1)}, at least {stride}x{stride}"
    if len(shape) != 3:
        raise ValueError(
            f"an input has shape {tuple(shape)}; {takes}: give [height, width, channels] without the batch"
        )
    height, width, given = shape
    if given != channels:
        raise ValueError(
            f"images have {given} channels (shape {tuple(shape)}, channels last); {takes}: "
            f"convert them, or create the model with in_channels={given}"
        )
    if min(height, width) < stride:
        raise ValueError(f"images are {height}x{width} pixels; {takes}, its total stride: resize them")


# The parts of Flax's layers that hold parameters, from input to output.
_LAYER_ORDER: dict[type, tuple[str, ...]] = {
    nnx.Conv: ("kernel", "bias"),
    nnx.Linear: ("kernel", "bias"),
    nnx.BatchNorm: ("scale", "bias"),
    nnx.Embed: ("embedding",),
    nnx.RNN: ("cell",),
    nnx.OptimizedLSTMCell: ("dense_i", "dense_h"),
}


def depth_order(part: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths of the `nnx.Param`s of a model or a part of it, from input to output.

    Our modules name their parts in `order`; lists are walked by index.

    Raises:
        TypeError: a part is of a kind whose order is unknown.

    >>> depth_order(nnx.List([nnx.Linear(2, 3, rngs=nnx.Rngs(0))]))
    [(0, 'kernel'), (0, 'bias')]
    """
    if part is None or (isinstance(part, nnx.Variable) and not isinstance(part, nnx.Param)):
        return []
    if isinstance(part, nnx.Param):
        return [path]
    if isinstance(part, nnx.List):
        return [found for i, item in enumerate(part) for found in depth_order(item, (*path, i))]
    names = getattr(type(part), "order", None)
    if names is None:
        names = next((order for kind, order in _LAYER_ORDER.items() if isinstance(part, kind)), None)
    if names is None:
        raise TypeError(f"{type(part).__name__} does not say in which order data passes its parts; give it `order`")
    return [found for name in names for found in depth_order(getattr(part, name), (*path, name))]


def times_width(channels: int, width: float) -> int:
    """Channels at a width multiplier, rounded; for models whose widths are no multiples of 8.

    Raises:
        ValueError: fewer than 2 are left.

    >>> times_width(16, 0.5)
    8
    """
    if isinstance(width, bool) or not isinstance(width, int | float) or not math.isfinite(width):
        raise ValueError(f"`width` is {width!r}; give a multiplier above 0, such as 0.5")
    found = round(channels * width)
    if found < 2:
        raise ValueError(
            f"`width` is {width}; give a multiplier that leaves at least 2 of {channels} channels, such as 0.5"
        )
    return found
