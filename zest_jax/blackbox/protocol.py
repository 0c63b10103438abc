"""What a black box is: a batch of inputs goes in, one row of outputs per input comes out.

Inputs travel in a plain scale (images [batch, H, W, C] float32 in [0, 1]). How a model wants them is told by its
`InputSpec`; preparing them is cheap elementwise work, so the query loop does it on the device, in the same compiled
function that composes the perturbed inputs, for every kind of model.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from zest_jax.blackbox.outputs import in_fixed_batches

Layout = Literal["NHWC", "NCHW"]
Returns = Literal["auto", "logits", "probabilities"]
ArrayT = TypeVar("ArrayT", np.ndarray, jax.Array)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How a model wants its inputs: `(x * scale + offset - mean) / std`, then the layout.

    Attributes:
        mean, std: per channel, in the model's own value range, or None for 0 and 1.
        layout: "NHWC" (plain) or "NCHW" (PyTorch, most ONNX files).
        value_range: the range to which [0, 1] is stretched before normalising: (0, 1), (0, 255), (-1, 1)...

    >>> spec = InputSpec(mean=(0.5,), std=(0.25,), layout="NCHW")
    >>> spec.prepare(np.ones((2, 8, 8, 1), np.float32)).shape
    (2, 1, 8, 8)
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Layout = "NHWC"
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None:
                value = tuple(float(v) for v in np.atleast_1d(value))
                if not all(np.isfinite(value)):
                    raise ValueError(f"`{name}` is {value}; give finite numbers, one per channel")
                object.__setattr__(self, name, value)
        if self.std is not None and any(v <= 0 for v in self.std):
            raise ValueError(f"`std` is {self.std}; every entry must be above 0")
        if self.layout not in ("NHWC", "NCHW"):
            raise ValueError(f"`layout` is {self.layout!r}; choose 'NHWC' or 'NCHW'")
        low, high = (float(v) for v in self.value_range)
        if not high > low:
            raise ValueError(f"`value_range` is {self.value_range}; give (low, high) with low < high")
        object.__setattr__(self, "value_range", (low, high))

    def prepare(self, inputs: ArrayT) -> ArrayT:
        """Turn plain inputs [batch, ..., C] float32 in [0, 1] into what the model wants; NumPy or JAX, as given."""
        channels = inputs.shape[-1]
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None and len(value) not in (1, channels):
                colour = "; or make the probes in colour (`--color rgb`)" if (len(value), channels) == (3, 1) else ""
                raise ValueError(
                    f"`{name}` has {len(value)} entries for inputs of {channels} channels; give {channels}{colour}"
                )
        low, high = self.value_range
        shift = np.asarray(self.mean or (0.0,), np.float32) - np.float32(low)
        std = np.asarray(self.std or (1.0,), np.float32)
        x = inputs
        if (low, high) != (0.0, 1.0):
            x = x * np.float32(high - low)
        if self.mean is not None or low != 0.0:
            x = x - shift
        if self.std is not None:
            x = x / std
        if self.layout == "NCHW" and x.ndim == 4:
            x = x.transpose(0, 3, 1, 2)
        return x


class BlackBox(abc.ABC):
    """A classifier that can only be asked.

    Attributes:
        label: what reports and error messages call the model.
        class_names: names of its outputs in order, or None when unknown.
        spec: how it wants its inputs.
        fixed_batch: the only batch size it accepts, or None for any.
        returns: what its outputs are: "logits", "probabilities", or "auto" when the query loop is to find out.
        settings: what was assumed or detected about it, JSON-able; kept in the signature and shown to the user.
    """

    def __init__(
        self,
        *,
        label: str,
        spec: InputSpec | None = None,
        class_names: Sequence[str] | None = None,
        fixed_batch: int | None = None,
        returns: Returns = "auto",
        settings: dict[str, Any] | None = None,
    ) -> None:
        if returns not in ("auto", "logits", "probabilities"):
            raise ValueError(f"`returns` is {returns!r}; choose 'auto', 'logits' or 'probabilities'")
        self.label = label
        self.spec = spec or InputSpec()
        self.class_names = None if class_names is None else tuple(str(n) for n in class_names)
        self.fixed_batch = fixed_batch
        self.returns: Returns = returns
        self.settings = {**dataclasses.asdict(self.spec), "returns": returns, **(settings or {})}

    @abc.abstractmethod
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Answer plain inputs [batch, ..., C] float32 in [0, 1] with outputs [batch, classes]."""


class HostBlackBox(BlackBox):
    """A model that answers on the host with NumPy arrays: PyTorch, ONNX Runtime, any callable."""

    @abc.abstractmethod
    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        """Answer one batch already prepared by `spec`, of `fixed_batch` inputs if that is set.

        Touches NumPy only, never JAX: it may run in a host callback.
        """

    def ask(self, prepared: np.ndarray) -> np.ndarray:
        """Answer any number of inputs already prepared by `spec`, in batches of `fixed_batch`; float32 [n, classes]."""
        size = self.fixed_batch or len(prepared)
        return in_fixed_batches(self.answer_batch, prepared, size, self.label)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        return self.ask(np.ascontiguousarray(self.spec.prepare(np.asarray(inputs, np.float32))))


class JaxBlackBox(BlackBox):
    """A model that JAX can trace; it runs inside the compiled function that composes its inputs.

    `apply(state, prepared) -> outputs` must be pure and hashable; two models whose `apply` are equal and whose `state`
    has the same shapes share one compilation.
    """

    def __init__(self, apply: Callable[[Any, jax.Array], jax.Array], state: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.apply = apply
        self.state = state

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(_forward(self.apply, self.spec, self.state, np.asarray(inputs, np.float32)))


def _forward_impl(apply: Callable, spec: InputSpec, state: Any, inputs: jax.Array) -> jax.Array:
    return apply(state, spec.prepare(inputs))


_forward = jax.jit(_forward_impl, static_argnums=(0, 1))
