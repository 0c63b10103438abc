"""The settings that every kind of black box takes."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np

from zest_jax.blackbox.outputs import Output
from zest_jax.blackbox.protocol import InputSpec, Layout, Returns, TextSpec
from zest_jax.data.tokens import Tokenizer


class CommonSettings(TypedDict, total=False):
    """The keyword arguments that all adapters share.

    Attributes:
        label: the model's name in reports.
        class_names: one per output column, in order.
        mean: per channel, in `value_range`; subtracted before the model sees its inputs.
        std: per channel, in `value_range`; divided by after that.
        value_range: the range to which inputs in [0, 1] are stretched first, such as (0, 255) or (-1, 1).
        rate: samples per second that a model of sounds expects; probes of another rate are refused.
        output: index or name of the output to take, None for the only [batch, classes] one.
        returns: "logits", "probabilities", or "auto" to let the query loop find out.
    """

    label: str | None
    class_names: Sequence[str] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    value_range: tuple[float, float]
    rate: int | None
    output: Output
    returns: Returns


def spec_of(
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    value_range: tuple[float, float],
    layout: Layout,
    rate: int | None = None,
) -> InputSpec:
    """Build the `InputSpec`; per-channel values may be lists, arrays or a single number.

    >>> spec_of([0.5], 0.25, (0.0, 255.0), "NHWC").std
    (0.25,)
    """
    return InputSpec(mean=_as_tuple(mean), std=_as_tuple(std), value_range=value_range, layout=layout, rate=rate)


def layout_of(shape: list[int | None], layout: Layout | Literal["auto"], name: str) -> tuple[Layout, str]:
    """The layout of a model whose input has this shape (None for what is open), and how that is known.

    >>> layout_of([None, 3, 32, 32], "auto", "suspect")
    ('NCHW', 'input shape')
    """
    if layout != "auto":
        return layout, "given"
    if len(shape) == 3 and 1 in shape[1:]:
        return ("NCT" if shape[1] == 1 else "NTC"), "input shape"
    if len(shape) != 4:
        return "NHWC", "not an image model"
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last:
        raise ValueError(f"{name} takes inputs {shape}, where both axis 1 and axis 3 could be channels; set `layout`")
    if first or last:
        return ("NCHW" if first else "NHWC"), "input shape"
    return "NCHW", "assumed: the input shape does not tell"


def check_shape(prepared: np.ndarray, wanted: Sequence[int | None], label: str, spec: Any) -> None:
    """Refuse inputs of another shape than a model takes; None is open, the first is the batch, no shape takes anything.

    Raises:
        ValueError: they do not fit.
    """
    if not wanted:
        return
    fits = len(wanted) == prepared.ndim and all(
        want in (None, have) for want, have in zip(wanted[1:], prepared.shape[1:], strict=True)
    )
    if not fits:
        shown = ", ".join("any" if d is None else str(d) for d in wanted)
        layout = f" ({spec.layout})" if isinstance(spec, InputSpec) else ""
        remedy = _other_length(prepared.shape, wanted, spec) or (
            "make the references of that size and number of channels, or set `layout` if the channels are elsewhere"
        )
        raise ValueError(f"{label} takes inputs [{shown}]{layout}, got {list(prepared.shape)}; {remedy}")


def _other_length(have: Sequence[int], wanted: Sequence[int | None], spec: Any) -> str | None:
    """What to do where a model takes sounds of another length, and nothing else is amiss; else None."""
    if not isinstance(spec, InputSpec) or len(have) not in (2, 3) or len(have) != len(wanted):
        return None
    axis = 2 if len(have) == 3 and spec.layout == "NCT" else 1
    if any(
        want not in (None, got) for i, (got, want) in enumerate(zip(have, wanted, strict=True)) if i not in (0, axis)
    ):
        return None
    samples = wanted[axis]
    assert samples is not None  # else it fits
    if spec.rate is None:
        seconds = f"`zest probes --seconds S`, S being {samples:,} / rate"
    else:
        seconds = f"`zest probes --seconds {samples / spec.rate:g}` at its {spec.rate:,} Hz"
    return (
        f"it takes sounds of {samples:,} samples, and these have {have[axis]:,}: make the probes of sounds of that length "
        f"({seconds})"
    )


def jax_spec(spec: InputSpec, tokenizer: Tokenizer | Any | None, *, lengths: bool, label: str) -> InputSpec | TextSpec:
    """The spec of a JAX model: that of token ids where a tokenizer is given, else `spec`.

    Raises:
        ValueError: settings of images are given with a tokenizer, or `lengths` without one.
    """
    if tokenizer is None:
        if lengths:
            raise ValueError(f"`lengths` is set for {label}, which takes no texts; give its `tokenizer` as well")
        return spec
    if spec != InputSpec():
        raise ValueError(
            f"{label} takes texts; mean, std, value_range, layout and rate belong to images and sounds: leave them out"
        )
    return TextSpec(tokenizer=tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer(tokenizer), lengths=lengths)


def name_of(model: Any) -> str:
    """Name a function or module for the reader: its own name, else the name of its class.

    >>> name_of(functools.partial(sorted, reverse=True))
    'sorted'
    """
    if isinstance(model, functools.partial):
        return name_of(model.func)
    name = getattr(model, "__name__", None) or type(model).__name__
    return "function" if name == "<lambda>" else name


def _as_tuple(values: Any) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(v) for v in np.atleast_1d(np.asarray(values)))
