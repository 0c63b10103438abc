"""ResNet18 and ResNet50: He et al., "Deep Residual Learning for Image Recognition" (2016), as torchvision builds them."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from zest_jax.models.classifier import Classifier
from zest_jax.models.layers import (
    ConvNorm,
    check_image_shape,
    compute_dtype,
    linear_head,
    max_pool,
    positive,
    times_width,
)

Stem = Literal["imagenet", "cifar"]
Features = Float[Array, "batch _ _ _"]

_FACTORS = (1, 2, 4, 8)
# Depth: blocks of each stage, and whether they are bottlenecks.
_DEPTHS = {18: ((2, 2, 2, 2), False), 50: ((3, 4, 6, 3), True)}


class ResidualBlock(nnx.Module):
    """Convolutions beside a shortcut, which is a 1x1 convolution where the shape changes (option B).

    A basic block has two 3x3 convolutions. A bottleneck has 1x1, 3x3 and 1x1, the last with four times the channels; the
    3x3 one has the stride (torchvision's choice; the paper gives it to the first).
    """

    order: ClassVar[tuple[str, ...]] = ("units", "shortcut")

    def __init__(self, inputs: int, width: int, stride: int, *, bottleneck: bool, dtype: Any, rngs: nnx.Rngs) -> None:
        more = {"dtype": dtype, "rngs": rngs}
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            units = [
                ConvNorm(inputs, width, (1, 1), **more),
                ConvNorm(width, width, (3, 3), stride=stride, **more),
                ConvNorm(width, outputs, (1, 1), **more),
            ]
        else:
            units = [
                ConvNorm(inputs, width, (3, 3), stride=stride, **more),
                ConvNorm(width, outputs, (3, 3), **more),
            ]
        self.units = nnx.List(units)
        changes = stride != 1 or inputs != outputs
        self.shortcut = ConvNorm(inputs, outputs, (1, 1), stride=stride, **more) if changes else None

    def __call__(self, x: Features) -> Features:
        y = x
        for i, unit in enumerate(self.units):
            y = unit(nnx.relu(y) if i else y)
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(Classifier):
    """ResNet18 or ResNet50 with one of two stems.

    "imagenet": 7x7 convolution of stride 2 and max pooling of stride 2, total stride 32. "cifar": 3x3 convolution of stride
    1 and no pooling, total stride 8. `features` are the outputs of the four stages.

    Args:
        num_classes: at least 2.
        depth: 18 or 50.
        stem: "imagenet" or "cifar".
        width: multiplier of the channels; 1.0 is the paper's.
        in_channels: of the images.
        dtype: the type to compute in.
        rngs: source of the initial weights.

    Raises:
        ValueError: unknown depth or stem, or `width` leaves fewer than two channels.

    >>> model = ResNet(10, depth=18, stem="cifar", rngs=nnx.Rngs(0))
    >>> [stage.shape for stage in nnx.eval_shape(ResNet.features, model, np.zeros((1, 32, 32, 3), np.float32))]
    [(1, 32, 32, 64), (1, 16, 16, 128), (1, 8, 8, 256), (1, 4, 4, 512)]
    """

    order: ClassVar[tuple[str, ...]] = ("stem", "stages", "head")

    def __init__(
        self,
        num_classes: int,
        *,
        depth: int,
        stem: Stem = "imagenet",
        width: float = 1.0,
        in_channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        if depth not in _DEPTHS:
            raise ValueError(f"`depth` is {depth}; choose {' or '.join(map(str, _DEPTHS))}")
        check_stem(stem)
        positive("in_channels", in_channels)
        compute = compute_dtype(dtype)
        self.depth, self.stem_kind, self.in_channels = depth, stem, in_channels
        first = times_width(64, width)
        if stem == "imagenet":
            self.stem = ConvNorm(in_channels, first, (7, 7), stride=2, dtype=compute, rngs=rngs)
        else:
            self.stem = ConvNorm(in_channels, first, (3, 3), dtype=compute, rngs=rngs)
        counts, bottleneck = _DEPTHS[depth]
        inputs, stages = first, []
        for stage, (factor, count) in enumerate(zip(_FACTORS, counts)):
            channels = factor * first
            blocks = []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(ResidualBlock(inputs, channels, stride, bottleneck=bottleneck, dtype=compute, rngs=rngs))
                inputs = 4 * channels if bottleneck else channels
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.head = linear_head(inputs, num_classes, rngs)

    def features(self, x: Num[Array | np.ndarray, "batch height width channels"]) -> tuple[Features, ...]:
        self.check_input(x.shape[1:])
        y = nnx.relu(self.stem(jnp.asarray(x)))
        if self.stem_kind == "imagenet":
            y = max_pool(y, 3, 2, (1, 1), (1, 1))
        outputs = []
        for stage in self.stages:
            for block in stage:
                y = block(y)
            outputs.append(y)
        return tuple(outputs)

    def check_input(self, shape: Sequence[int]) -> None:
        stride = 32 if self.stem_kind == "imagenet" else 8
        check_image_shape(shape, self.in_channels, stride, f"resnet{self.depth} with stem={self.stem_kind!r}")


def check_stem(stem: str) -> None:
    """Refuse unknown stems.

    >>> check_stem("mnist")
    Traceback (most recent call last):
    ValueError: `stem` is 'mnist'; choose 'imagenet' (for images of about 224 pixels) or 'cifar' (about 32)
    """
    if stem not in ("imagenet", "cifar"):
        raise ValueError(
            f"`stem` is {stem!r}; choose 'imagenet' (for images of about 224 pixels) or 'cifar' (about 32)"
        )
