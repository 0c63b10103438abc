"""M5: Dai et al., "Very Deep Convolutional Neural Networks for Raw Waveforms" (2016), table 1."""

import itertools
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from zest_jax.models.classifier import Classifier
from zest_jax.models.layers import ConvNorm, compute_dtype, linear_head, max_pool, positive

_FILTER = 80
_STRIDE = 4
_POOL = 4


class M5(Classifier):
    """Four 1-D convolutions over raw audio, float32 [batch, samples], each with batch normalisation and max pooling by 4.

    The first has filters of 80 samples (10 ms at 8 kHz) and stride 4, the others of 3. Sizes are those of the paper: 32,000
    samples become 8,000 and, pooled, 2,000, 500, 125 and 32. `features` are the pooled outputs of the four.

    Args:
        num_classes: at least 2.
        widths: channels of the four convolutions.
        dtype: the type to compute in.
        rngs: source of the initial weights.

    Raises:
        ValueError: `widths` are not four numbers of at least 1.

    >>> model = M5(35, rngs=nnx.Rngs(0))
    >>> [stage.shape for stage in model.features(np.zeros((1, 8000), np.float32))]
    [(1, 500, 128), (1, 125, 128), (1, 32, 256), (1, 8, 512)]
    """

    order: ClassVar[tuple[str, ...]] = ("convolutions", "head")

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int] = (128, 128, 256, 512),
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        if len(widths) != 4:
            raise ValueError(f"`widths` is {tuple(widths)}; give the channels of M5's four convolutions")
        positive("widths", *widths)
        compute = compute_dtype(dtype)
        # Half of what the filter exceeds the stride by on each side, so that the length is divided by the stride.
        padding = (_FILTER - _STRIDE) // 2
        first = ConvNorm(1, widths[0], (_FILTER,), stride=_STRIDE, padding=padding, dtype=compute, rngs=rngs)
        others = [ConvNorm(i, o, (3,), dtype=compute, rngs=rngs) for i, o in itertools.pairwise(widths)]
        self.convolutions = nnx.List([first, *others])
        self.head = linear_head(widths[-1], num_classes, rngs)

    def features(self, x: Float[Array | np.ndarray, "batch samples"]) -> tuple[Float[Array, "batch _ _"], ...]:
        self.check_input(x.shape[1:])
        y = jnp.asarray(x)[..., None]
        outputs = []
        for unit in self.convolutions:
            y = nnx.relu(unit(y))
            # The last window may hang over the end.
            y = max_pool(y, _POOL, _POOL, (0, -y.shape[1] % _POOL))
            outputs.append(y)
        return tuple(outputs)

    def check_input(self, shape: Sequence[int]) -> None:
        if len(shape) != 1 or shape[0] < _FILTER:
            raise ValueError(
                f"an input has shape {tuple(shape)}; m5 takes raw audio [samples], at least {_FILTER} samples, one channel"
            )
