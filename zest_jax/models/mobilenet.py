"""MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), as torchvision builds it."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from zest_jax.models.classifier import Classifier
from zest_jax.models.layers import (
    ConvNorm,
    check_image_shape,
    compute_dtype,
    dropout_layer,
    linear_head,
    pooled,
    positive,
)
from zest_jax.models.resnet import Stem, check_stem

Features = Float[Array, "batch _ _ _"]

# The paper's table 2: expansion t, channels c, repeats n, stride s.
_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Blocks after which the first three features are taken: the last of 24, 32 and 96 channels.
_STAGE_ENDS = (2, 5, 12)


class InvertedResidual(nnx.Module):
    """Expand by a 1x1 convolution, convolve each channel 3x3, project by a 1x1 convolution; add the input where it fits."""

    order: ClassVar[tuple[str, ...]] = ("units",)

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, dtype: Any, rngs: nnx.Rngs) -> None:
        more = {"dtype": dtype, "rngs": rngs}
        hidden = inputs * expansion
        expand = [ConvNorm(inputs, hidden, (1, 1), **more)] if expansion != 1 else []
        self.units = nnx.List(
            [
                *expand,
                ConvNorm(hidden, hidden, (3, 3), stride=stride, groups=hidden, **more),
                ConvNorm(hidden, outputs, (1, 1), **more),
            ]
        )
        self.adds_input = stride == 1 and inputs == outputs

    def __call__(self, x: Features) -> Features:
        *units, project = self.units
        y = x
        for unit in units:
            y = nnx.relu6(unit(y))
        y = project(y)
        return x + y if self.adds_input else y


class MobileNetV2(Classifier):
    """MobileNetV2 with one of two stems.

    "imagenet": total stride 32. "cifar": the stem and the first group of stride 2 have stride 1, total stride 8.
    `features` are the outputs of the last blocks of 24, 32 and 96 channels (times `width`) and of the last convolution:
    strides 4, 8, 16 and 32 with the "imagenet" stem, 1, 2, 4 and 8 with the "cifar" stem.

    Args:
        num_classes: at least 2.
        width: multiplier of the channels, which are rounded to multiples of 8; the last convolution never has fewer than
            1280.
        stem: "imagenet" or "cifar".
        dropout: share of the head's inputs that are dropped in training, in [0, 1); torchvision's is 0.2.
        in_channels: of the images.
        dtype: the type to compute in.
        rngs: source of the initial weights and of dropout.

    Raises:
        ValueError: unknown stem, `width` not above 0, `dropout` out of range.

    >>> model = MobileNetV2(10, stem="cifar", rngs=nnx.Rngs(0))
    >>> [stage.shape for stage in nnx.eval_shape(MobileNetV2.features, model, np.zeros((1, 32, 32, 3), np.float32))]
    [(1, 32, 32, 24), (1, 16, 16, 32), (1, 8, 8, 96), (1, 4, 4, 1280)]
    """

    order: ClassVar[tuple[str, ...]] = ("stem", "blocks", "last", "head")

    def __init__(
        self,
        num_classes: int,
        *,
        width: float = 1.0,
        stem: Stem = "imagenet",
        dropout: float = 0.0,
        in_channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        if not width > 0:
            raise ValueError(f"`width` is {width}; give a multiplier above 0, such as 0.5, 1.0 or 1.4")
        check_stem(stem)
        positive("in_channels", in_channels)
        compute = compute_dtype(dtype)
        self.stem_kind, self.in_channels = stem, in_channels
        inputs = scaled(32, width)
        stride = 2 if stem == "imagenet" else 1
        self.stem = ConvNorm(in_channels, inputs, (3, 3), stride=stride, dtype=compute, rngs=rngs)
        blocks = []
        for group, (expansion, channels, repeats, stride) in enumerate(_GROUPS):
            if stem == "cifar" and group == 1:
                stride = 1
            for i in range(repeats):
                outputs = scaled(channels, width)
                blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion, compute, rngs))
                inputs = outputs
        self.blocks = nnx.List(blocks)
        outputs = scaled(1280, max(1.0, width))
        self.last = ConvNorm(inputs, outputs, (1, 1), dtype=compute, rngs=rngs)
        self.head = linear_head(outputs, num_classes, rngs)
        self.dropout = dropout_layer(dropout, rngs)

    def features(self, x: Num[Array | np.ndarray, "batch height width channels"]) -> tuple[Features, ...]:
        self.check_input(x.shape[1:])
        y = nnx.relu6(self.stem(jnp.asarray(x)))
        outputs = []
        for i, block in enumerate(self.blocks):
            y = block(y)
            if i in _STAGE_ENDS:
                outputs.append(y)
        return (*outputs, nnx.relu6(self.last(y)))

    def classify(self, features: tuple[Array, ...]) -> Float[Array, "batch classes"]:
        x = pooled(features[-1])
        return self.head(x if self.dropout is None else self.dropout(x))

    def check_input(self, shape: Sequence[int]) -> None:
        stride = 32 if self.stem_kind == "imagenet" else 8
        check_image_shape(shape, self.in_channels, stride, f"mobilenet_v2 with stem={self.stem_kind!r}")


def scaled(channels: int, width: float) -> int:
    """Multiply channels by `width` and round to a multiple of 8, up where rounding would lose more than a tenth.

    >>> scaled(32, 1.0), scaled(24, 0.5), scaled(1280, 1.4)
    (32, 16, 1792)
    """
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
