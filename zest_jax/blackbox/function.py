"""Black boxes from functions: traced by JAX, or called on the host."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np

from zest_jax.blackbox.outputs import Output, as_rows, failed_when_asked, rows_of_lists, select_output, traced_rows
from zest_jax.blackbox.protocol import HostBlackBox, JaxBlackBox, Layout, Returns
from zest_jax.blackbox.settings import jax_spec, name_of, spec_of


def from_jax(
    fn: Callable[..., Any],
    state: Any = None,
    *,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    layout: Layout = "NHWC",
    rate: int | None = None,
    output: Output = None,
    returns: Returns = "auto",
    tokenizer: Any = None,
    lengths: bool = False,
) -> JaxBlackBox:
    """Make a black box of a function that JAX can trace: `fn(x)`, or `fn(state, x)` when `state` is given.

    Put the parameters into `state` rather than into a closure: then two models with the same `fn` and equally shaped
    parameters share one compilation, and the parameters are no constants of the compiled program.

    Args:
        fn: pure; gets images [batch, H, W, C] or sounds [batch, samples] (or in `layout`) float32, or token ids (see
            `tokenizer`); returns scores [batch, classes], or a tuple or mapping of arrays from which `output` chooses.
        state: any pytree of arrays.
        label: the model's name in reports; the function's name by default.
        class_names: one per output column, in order.
        mean: per channel, in `value_range`; subtracted before the model sees its inputs.
        std: per channel, in `value_range`; divided by after that.
        value_range: the range to which inputs in [0, 1] are stretched first, such as (0, 255) or (-1, 1).
        layout: of images "NHWC" or "NCHW"; of sounds "NCT" [batch, 1, samples], "NTC", else [batch, samples].
        rate: samples per second that a model of sounds expects; probes of another rate are refused.
        output: index or name of the output to take, None for the only [batch, classes] one.
        returns: "logits", "probabilities", or "auto" to let the query loop find out.
        tokenizer: of a model of texts, which then gets their token ids int32 [batch, length]: a
            `zest_jax.data.tokens.Tokenizer`, or a `tokenizers.Tokenizer` that pads and truncates to one length.
        lengths: give a model of texts the number of ids of each text too, int32 [batch], as a second argument.

    Raises:
        ValueError: settings of images and of texts are given together.
        ModelOutputError: when asked, if the answer is not one array [batch, classes].

    >>> box = from_jax(lambda w, x: x.mean((1, 2)) @ w, np.eye(3, dtype=np.float32), label="colour")
    >>> box(np.full((2, 8, 8, 3), 0.5, np.float32))
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]], dtype=float32)
    """
    label = label or name_of(fn)
    apply = _FunctionApply(fn=hashable(fn), with_state=state is not None, output=output, label=label)
    return JaxBlackBox(
        apply,
        state,
        label=label,
        class_names=class_names,
        spec=jax_spec(spec_of(mean, std, value_range, layout, rate), tokenizer, lengths=lengths, label=label),
        returns=returns,
        settings={"adapter": "jax", "output": output},
    )


def from_callable(
    fn: Callable[[np.ndarray], Any],
    *,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    layout: Layout = "NHWC",
    rate: int | None = None,
    output: Output = None,
    returns: Returns = "auto",
    fixed_batch: int | None = None,
) -> HostBlackBox:
    """Make a black box of any function on NumPy arrays: a remote service, another framework, a lookup.

    Args:
        fn: gets images [batch, H, W, C] or sounds [batch, samples] (or in `layout`) float32, returns scores
            [batch, classes] as an array or as nested lists, or a tuple or mapping of arrays from which `output` chooses. It
            must not call JAX: it may run inside a host callback, where that can deadlock. Use `from_jax` for JAX functions
            and `from_texts` for functions on strings.
        fixed_batch: the only batch size that `fn` accepts, None for any.

    The other arguments are those of `from_jax`.

    Raises:
        ModelOutputError: when asked, if `fn` raises or its answer is not one array [batch, classes].

    >>> box = from_callable(lambda x: x.mean((1, 2)).tolist(), label="colour", value_range=(0.0, 255.0))
    >>> box(np.ones((1, 8, 8, 3), np.float32))
    array([[255., 255., 255.]], dtype=float32)
    """
    return _CallableBlackBox(
        fn,
        output,
        label=label or name_of(fn),
        class_names=class_names,
        spec=spec_of(mean, std, value_range, layout, rate),
        returns=returns,
        fixed_batch=fixed_batch,
        settings={"adapter": "callable", "output": output},
    )


class _CallableBlackBox(HostBlackBox):
    def __init__(self, fn: Callable[[np.ndarray], Any], output: Output, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._fn = fn
        self._output = output

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        try:
            answer = self._fn(prepared)
        except Exception as error:
            raise failed_when_asked(self.label, prepared, error) from error
        if self._output is None and isinstance(answer, list):
            answer = rows_of_lists(answer)
        return as_rows(select_output(answer, self._output, self.label), len(prepared), self.label)


@dataclasses.dataclass(frozen=True)
class _FunctionApply:
    fn: Any
    with_state: bool
    output: Output
    label: str = dataclasses.field(compare=False)

    def __call__(self, state: Any, prepared: Any) -> jax.Array:
        fn, inputs = unwrapped(self.fn), arguments(prepared)
        answer = fn(state, *inputs) if self.with_state else fn(*inputs)
        return traced_rows(answer, self.output, len(inputs[0]), self.label)


def arguments(prepared: Any) -> tuple[Any, ...]:
    """What a model is called with: its inputs, or token ids and lengths."""
    return prepared if isinstance(prepared, tuple) else (prepared,)


@dataclasses.dataclass(frozen=True, eq=False)
class ById:
    """Holds something that cannot be hashed (a module holding arrays): equal to nothing but itself."""

    value: Any


def hashable(value: Any) -> Any:
    """Return `value`, held by a `ById` if it cannot be hashed: jit wants static arguments hashable."""
    return value if is_hashable(value) else ById(value)


def unwrapped(value: Any) -> Any:
    """Undo `hashable`."""
    return value.value if isinstance(value, ById) else value


def is_hashable(value: Any) -> bool:
    """Whether `value` and all that it holds can be hashed."""
    try:
        hash(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, Hashable)
