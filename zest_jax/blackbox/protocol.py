"""What a black box is: a batch of inputs goes in, one row of outputs per input comes out.

Inputs travel in a plain scale: images [batch, H, W, C] float32 in [0, 1], sounds [batch, samples] float32 in [-1, 1], texts
as strings. How a model wants them is told by its spec. For an `InputSpec` preparing is cheap elementwise work, so the query
loop does it on the device, in the same compiled function that composes the perturbed inputs, for every kind of model. A
`TextSpec` says whether a model takes strings or token ids.
"""

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import numpy as np

from zest_jax.blackbox.outputs import in_fixed_batches
from zest_jax.data.tokens import Tokenizer

Layout = Literal["NHWC", "NCHW", "NT", "NCT", "NTC"]
_LAYOUTS = ("NHWC", "NCHW", "NT", "NCT", "NTC")
_FULL_SCALE = {np.dtype(np.uint8): 255, np.dtype(np.int16): 32768}
Returns = Literal["auto", "logits", "probabilities"]
ArrayT = TypeVar("ArrayT", np.ndarray, jax.Array)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How a model wants images or sounds: `(x * scale + offset - mean) / std`, then the layout.

    Attributes:
        mean: per channel, in the model's own value range, or None for 0.
        std: likewise, above 0, or None for 1.
        layout: of images "NHWC" (plain) or "NCHW" (PyTorch, most ONNX files); of sounds "NCT" [batch, 1, samples], "NTC"
            [batch, samples, 1], anything else is plain: "NT" [batch, samples].
        value_range: the range to which [0, 1] is stretched before normalising: (0, 1), (0, 255), (-1, 1)... For sounds, that
            to which [-1, 1] is stretched, such as (-32768, 32768) for 16-bit samples; (0, 1), the default, leaves them as
            they are.
        rate: samples per second that the model expects of sounds, or None when unknown.

    Raises:
        ValueError: a setting is out of its range; when preparing, `mean` or `std` has another number of channels than the
            inputs.

    >>> spec = InputSpec(mean=(0.5,), std=(0.25,), layout="NCHW")
    >>> spec.prepare(np.ones((2, 8, 8, 1), np.float32)).shape
    (2, 1, 8, 8)
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: Layout = "NHWC"
    value_range: tuple[float, float] = (0.0, 1.0)
    rate: int | None = None

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
        if self.layout not in _LAYOUTS:
            raise ValueError(f"`layout` is {self.layout!r}; choose 'NHWC' or 'NCHW', for sounds 'NT', 'NCT' or 'NTC'")
        if self.rate is not None and (self.rate != int(self.rate) or self.rate < 1):
            raise ValueError(f"`rate` is {self.rate}; give samples per second, such as 8000 or 16000")
        low, high = (float(v) for v in self.value_range)
        if not high > low:
            raise ValueError(f"`value_range` is {self.value_range}; give (low, high) with low < high")
        object.__setattr__(self, "value_range", (low, high))
        object.__setattr__(self, "rate", None if self.rate is None else int(self.rate))

    def prepare(self, inputs: ArrayT) -> ArrayT:
        """Turn plain inputs [batch, H, W, C] or [batch, samples] into what the model wants; NumPy or JAX, as given."""
        channels = inputs.shape[-1] if inputs.ndim == 4 else 1
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None and len(value) not in (1, channels):
                colour = "; or make the probes in colour (`--color rgb`)" if (len(value), channels) == (3, 1) else ""
                raise ValueError(
                    f"`{name}` has {len(value)} entries for inputs of {channels} channels; give {channels}{colour}"
                )
        low, high = self.value_range
        if inputs.ndim == 2:
            # Silence stays in the middle.
            inputs = inputs if (low, high) == (0.0, 1.0) else inputs * 0.5 + 0.5
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
        if x.ndim == 2 and self.layout == "NCT":
            x = x[:, None, :]
        if x.ndim == 2 and self.layout == "NTC":
            x = x[:, :, None]
        return x

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        return dataclasses.asdict(self)


class Tokens(NamedTuple):
    """Texts as a JAX model takes them.

    Attributes:
        ids: int32 [batch, length], padded at the end.
        lengths: how many ids of each text are no padding, int32 [batch].
    """

    ids: Any
    lengths: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSpec:
    """How a model wants texts.

    Attributes:
        tokenizer: turns texts into the token ids that the model takes, or None for a model that takes strings.
        lengths: whether a model that takes ids wants the number of ids of each text as well: `model(ids, lengths)`.

    >>> TextSpec().to_json()
    {'takes': 'strings'}
    >>> TextSpec(lengths=True).prepare(np.array(["a film"], object)).tolist()
    ['a film']
    """

    tokenizer: Tokenizer | None = None
    lengths: bool = False

    def prepare(self, inputs: Any) -> Any:
        """Turn `Tokens` into what the model wants: ids, or ids and lengths. Strings stay as they are."""
        if self.tokenizer is None:
            return inputs
        return tuple(inputs) if self.lengths else inputs.ids

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON-able values; the tokenizer as its SHA-256."""
        if self.tokenizer is None:
            return {"takes": "strings"}
        return {
            "takes": "token ids and lengths" if self.lengths else "token ids",
            "length": self.tokenizer.length,
            "tokenizer": self.tokenizer.sha256,
        }


class BlackBox(abc.ABC):
    """A classifier that can only be asked.

    Attributes:
        label: what reports and error messages call the model.
        class_names: names of its outputs in order, or None when unknown.
        spec: how it wants its inputs; a `TextSpec` for a model of texts.
        fixed_batch: the only batch size it accepts, or None for any.
        returns: what its outputs are: "logits", "probabilities", or "auto" when the query loop is to find out.
        settings: what was assumed or detected about it, JSON-able; kept in the signature and shown to the user.
        wanted_batch: how many inputs it is best asked about at once, where that is not a matter of their size; None else.

    Raises:
        ValueError: `returns` is none of these.

    >>> from zest_jax import from_callable
    >>> box = from_callable(lambda x: x.mean((1, 2)), label="colour", class_names=["red", "green", "blue"])
    >>> isinstance(box, BlackBox), box.takes_texts, box.class_names
    (True, False, ('red', 'green', 'blue'))
    >>> box(np.ones((2, 8, 8, 3), np.float32)).shape                               # images [batch, H, W, C] in [0, 1]
    (2, 3)
    """

    wanted_batch: int | None = None

    def __init__(
        self,
        *,
        label: str,
        spec: InputSpec | TextSpec | None = None,
        class_names: Sequence[str] | None = None,
        fixed_batch: int | None = None,
        returns: Returns = "auto",
        settings: dict[str, Any] | None = None,
    ) -> None:
        if returns not in ("auto", "logits", "probabilities"):
            raise ValueError(f"`returns` is {returns!r}; choose 'auto', 'logits' or 'probabilities'")
        self.label = label
        # Which of the two is a matter of the model: `takes_texts` tells.
        self.spec: Any = spec or InputSpec()
        self.class_names = None if class_names is None else tuple(str(n) for n in class_names)
        self.fixed_batch = fixed_batch
        self.returns: Returns = returns
        self.settings = {**self.spec.to_json(), "returns": returns, **(settings or {})}

    @abc.abstractmethod
    def __call__(self, inputs: Any) -> np.ndarray:
        """Answer plain inputs (images [batch, H, W, C], sounds [batch, samples], texts as strings): [batch, classes]."""

    def asked_again(self, nth: int) -> contextlib.AbstractContextManager[None]:
        """While it lasts, the model is asked the first questions once more, to see whether it answers the same.

        A model that keeps its answers must really answer then: the `nth` time, from 1.
        """
        return contextlib.nullcontext()

    @property
    def takes_texts(self) -> bool:
        """Whether it is asked about texts, and not about arrays of numbers."""
        return isinstance(self.spec, TextSpec)


class HostBlackBox(BlackBox):
    """A model that answers on the host with NumPy arrays: PyTorch, ONNX Runtime, any callable.

    Attributes:
        in_callbacks: whether it may be asked from inside a compiled function (`mode="callback"`).

    >>> class Colour(HostBlackBox):
    ...     def answer_batch(self, prepared):
    ...         return prepared.mean((1, 2))
    >>> Colour(label="colour", fixed_batch=4)(np.ones((6, 8, 8, 3), np.float32)).shape
    (6, 3)
    """

    in_callbacks: bool = True

    @abc.abstractmethod
    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        """Answer one batch already prepared by `spec`, of `fixed_batch` inputs if that is set; texts come as objects [n].

        Touches NumPy only, never JAX: it may run in a host callback.
        """

    def ask(self, prepared: np.ndarray) -> np.ndarray:
        """Answer any number of inputs already prepared by `spec`, in batches of `fixed_batch`; float32 [n, classes]."""
        size = self.fixed_batch or len(prepared)
        return in_fixed_batches(self.answer_batch, prepared, size, self.label)

    def __call__(self, inputs: Any) -> np.ndarray:
        if isinstance(self.spec, TextSpec):
            return self.ask(text_array(inputs))
        return self.ask(np.ascontiguousarray(self.spec.prepare(np.asarray(inputs, np.float32))))


class JaxBlackBox(BlackBox):
    """A model that JAX can trace; it runs inside the compiled function that composes its inputs.

    `apply(state, prepared) -> outputs` must be pure and hashable; two models whose `apply` are equal and whose `state`
    has the same shapes share one compilation.

    Args:
        apply: gets the state and prepared inputs, [batch, H, W, C] or [batch, samples] (or in the layout of `spec`)
            float32, or token ids; returns scores [batch, classes].
        state: any pytree of arrays.
        **kwargs: `label`, `spec`, `class_names`, `fixed_batch`, `returns` and `settings`, see `BlackBox`.

    >>> def apply(weights, images):
    ...     return images.mean((1, 2)) @ weights
    >>> box = JaxBlackBox(apply, jnp.eye(3), label="colour")
    >>> box(np.ones((2, 8, 8, 3), np.float32)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, apply: Callable[[Any, jax.Array], jax.Array], state: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.apply = apply
        self.state = state

    def __call__(self, inputs: Any) -> np.ndarray:
        if isinstance(self.spec, TextSpec):
            assert self.spec.tokenizer is not None  # the adapters see to it
            plain = Tokens(*self.spec.tokenizer.encode_with_lengths(list(text_array(inputs))))
        else:
            plain = np.asarray(inputs, np.float32)
        return np.asarray(_forward(self.apply, self.spec, self.state, plain))


def in_plain_scale(stored: Any) -> Any:
    """Images and sounds as black boxes take them, float32: uint8 is divided by 255, int16 by 32768. NumPy or JAX, as given.

    >>> in_plain_scale(np.array([0, 255], np.uint8)).tolist(), in_plain_scale(np.array([-32768], np.int16)).tolist()
    ([0.0, 1.0], [-1.0])
    """
    full = _FULL_SCALE.get(np.dtype(stored.dtype))
    scaled = stored.astype(np.float32)
    return scaled if full is None else scaled / np.float32(full)


def text_array(texts: Any) -> np.ndarray:
    """Texts as an array of `str` objects [N], which can be cut and joined as arrays of numbers can.

    Raises:
        ValueError: it is a single text, or something in it is no text.
    """
    if isinstance(texts, str):
        raise ValueError("one text arrived where several are needed; pass a list of strings")
    found = np.empty(len(texts), object)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {i} is a {type(text).__name__}, not a string; pass a list of strings")
        found[i] = text
    return found


def _forward_impl(apply: Callable, spec: InputSpec | TextSpec, state: Any, inputs: Any) -> jax.Array:
    return apply(state, spec.prepare(inputs))


_forward = jax.jit(_forward_impl, static_argnums=(0, 1))
