"""Initial weights, drawn by NumPy: the same on every device, and without a compilation for each shape."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array


@dataclasses.dataclass(frozen=True)
class Initializer:
    """Random weights of mean 0 and variance `gain / fan`, for the `kernel_init` of Flax's layers.

    The numbers depend on the key alone, under `jax.jit` and `jax.vmap` as without them. Equal initialisers compare equal,
    as they must: layers remember theirs, and models of one architecture are to share one compilation.

    Attributes:
        distribution: "normal" or "uniform".
        gain: see above; 2 before a ReLU (He et al. 2015).
        fan: "in" or "out": inputs or outputs of the layer, times the size of the kernel; "none": 1.

    >>> kernel = HE_FAN_OUT(jax.random.key(0), (3, 3, 16, 200))
    >>> kernel.shape, round(float(kernel.std()) * (9 * 200 / 2) ** 0.5, 1)
    ((3, 3, 16, 200), 1.0)
    """

    distribution: Literal["normal", "uniform"]
    gain: float
    fan: Literal["in", "out", "none"]

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32, out_sharding: Any = None) -> Array:
        """Draw weights of `shape`: [*kernel, inputs, outputs]."""
        words = jax.random.key_data(key)
        if isinstance(words, Tracer):
            kind = jax.ShapeDtypeStruct(shape, jnp.float32)
            drawn = jax.pure_callback(lambda w: self._draw(w, shape), kind, words, vmap_method="sequential")
        else:
            drawn = self._draw(words, shape)
        return jnp.asarray(drawn, dtype)

    def _draw(self, words: Any, shape: tuple[int, ...]) -> np.ndarray:
        random = np.random.default_rng(np.asarray(words))
        inputs, outputs = shape[-2:]
        fan = {"in": inputs, "out": outputs, "none": 1}[self.fan]
        if self.fan != "none":
            fan *= math.prod(shape[:-2])
        if self.distribution == "normal":
            return random.standard_normal(shape, np.float32) * np.float32(math.sqrt(self.gain / fan))
        return (2 * random.random(shape, np.float32) - 1) * np.float32(math.sqrt(3 * self.gain / fan))


HE_FAN_IN = Initializer("normal", 2.0, "in")
HE_FAN_OUT = Initializer("normal", 2.0, "out")
#: Within 1 / sqrt(inputs), as PyTorch's linear layers.
UNIFORM_FAN_IN = Initializer("uniform", 1 / 3, "in")
STANDARD_NORMAL = Initializer("normal", 1.0, "none")
