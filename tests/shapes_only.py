"""The type checker of the tests: enforces the array shapes and dtypes in annotations, and leaves everything else alone.

Wrong arguments must reach the package's own error messages, so `Literal`s, unions and the like are pyright's business.
"""

import typing
from collections.abc import Callable

import beartype
import jaxtyping


def check_shapes(function: Callable) -> Callable:
    """Apply beartype to those annotations of `function` that hold a jaxtyping array."""
    annotations = getattr(function, "__annotations__", {})
    function.__annotations__ = {name: hint for name, hint in annotations.items() if _has_shape(hint)}
    return beartype.beartype(function)


def _has_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_shape(argument) for argument in typing.get_args(hint))
