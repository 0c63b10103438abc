"""The settings that every kind of black box takes."""

import functools
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from zest_jax.blackbox.outputs import Output
from zest_jax.blackbox.protocol import InputSpec, Layout, Returns


class CommonSettings(TypedDict, total=False):
    """The keyword arguments that all adapters share.

    Attributes:
        label: the model's name in reports.
        class_names: one per output column, in order.
        mean, std: per channel, in `value_range`; subtracted and divided by before the model sees its inputs.
        value_range: the range to which inputs in [0, 1] are stretched first, such as (0, 255) or (-1, 1).
        output: index or name of the output to take, None for the only [batch, classes] one.
        returns: "logits", "probabilities", or "auto" to let the query loop find out.
    """

    label: str | None
    class_names: Sequence[str] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    value_range: tuple[float, float]
    output: Output
    returns: Returns


def spec_of(
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    value_range: tuple[float, float],
    layout: Layout,
) -> InputSpec:
    """Build the `InputSpec`; per-channel values may be lists, arrays or a single number.

    >>> spec_of([0.5], 0.25, (0.0, 255.0), "NHWC").std
    (0.25,)
    """
    return InputSpec(mean=_as_tuple(mean), std=_as_tuple(std), value_range=value_range, layout=layout)


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
