"""ResNets for CIFAR: He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from zest_jax.models.classifier import Classifier
from zest_jax.models.initializers import HE_FAN_IN
from zest_jax.models.layers import ConvNorm, check_image_shape, compute_dtype, linear_head, positive, times_width

Features = Float[Array, "batch _ _ _"]


class OptionABlock(nnx.Module):
    """Two 3x3 convolutions around a shortcut without parameters (option A).

    Where the block halves the size, the shortcut takes every other pixel and pads the new channels with zeros, half of
    them before the old ones and half behind.
    """

    order: ClassVar[tuple[str, ...]] = ("units",)

    def __init__(self, inputs: int, outputs: int, stride: int, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        self.units = nnx.List(
            [
                ConvNorm(inputs, outputs, (3, 3), stride=stride, init=HE_FAN_IN, dtype=dtype, rngs=rngs),
                ConvNorm(outputs, outputs, (3, 3), init=HE_FAN_IN, dtype=dtype, rngs=rngs),
            ]
        )
        self.stride = stride
        self.padding = outputs - inputs

    def __call__(self, x: Features) -> Features:
        first, second = self.units
        shortcut = x
        if self.padding:
            # As a slice by name: JAX before 0.9.2 makes a gather of a slice with steps, which no ONNX graph has.
            shortcut = jax.lax.slice(x, (0, 0, 0, 0), x.shape, (1, self.stride, self.stride, 1))
            shortcut = jnp.pad(
                shortcut, ((0, 0), (0, 0), (0, 0), (self.padding // 2, self.padding - self.padding // 2))
            )
        return nnx.relu(second(nnx.relu(first(x))) + shortcut)


class CifarResNet(Classifier):
    """ResNet of 6n + 2 layers: a stem of 16 channels, then three stages of n blocks with 16, 32 and 64 channels.

    Shortcuts are the paper's option A. Stages 2 and 3 halve the size, so that the total stride is 4. `features` are the
    outputs of the stem and of the three stages.

    Args:
        num_classes: at least 2.
        depth: 20, 32, 44, 56, ...: 6n + 2.
        width: multiplier of the channels; 1.0 is the paper's.
        in_channels: of the images.
        dtype: the type to compute in.
        rngs: source of the initial weights.

    Raises:
        ValueError: `depth` is not 6n + 2, or `width` leaves fewer than two channels.

    >>> model = CifarResNet(10, depth=8, rngs=nnx.Rngs(0))
    >>> [stage.shape for stage in model.features(np.zeros((1, 32, 32, 3), np.float32))]
    [(1, 32, 32, 16), (1, 32, 32, 16), (1, 16, 16, 32), (1, 8, 8, 64)]
    """

    order: ClassVar[tuple[str, ...]] = ("stem", "stages", "head")

    def __init__(
        self,
        num_classes: int,
        *,
        depth: int,
        width: float = 1.0,
        in_channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"`depth` is {depth}; a CIFAR ResNet has 6n + 2 layers: 8, 14, 20, 26, 32, ...")
        positive("in_channels", in_channels)
        first = times_width(16, width)
        compute = compute_dtype(dtype)
        self.depth, self.in_channels = depth, in_channels
        self.stem = ConvNorm(in_channels, first, (3, 3), init=HE_FAN_IN, dtype=compute, rngs=rngs)
        stages = []
        for inputs, outputs in ((first, first), (first, 2 * first), (2 * first, 4 * first)):
            stride = 1 if inputs == outputs else 2
            blocks = [OptionABlock(inputs, outputs, stride, compute, rngs)]
            blocks += [OptionABlock(outputs, outputs, 1, compute, rngs) for _ in range(depth // 6 - 1)]
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.head = linear_head(4 * first, num_classes, rngs)

    def features(self, x: Num[Array | np.ndarray, "batch height width channels"]) -> tuple[Features, ...]:
        self.check_input(x.shape[1:])
        y = nnx.relu(self.stem(jnp.asarray(x)))
        outputs = [y]
        for stage in self.stages:
            for block in stage:
                y = block(y)
            outputs.append(y)
        return tuple(outputs)

    def check_input(self, shape: Sequence[int]) -> None:
        check_image_shape(shape, self.in_channels, 4, f"resnet{self.depth}")
