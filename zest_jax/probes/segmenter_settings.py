"""Settings of the named ways to cut an input into segments: looked up, checked, and written down."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np

Settings = TypeVar("Settings")


def checked_settings(
    method: str | Callable[..., Any], settings: Mapping[str, Any], known: Mapping[str, type[Settings]]
) -> Settings | None:
    """Settings of a named method as its dataclass in `known`; None for a callable.

    Raises:
        ValueError: the method or a setting is unknown or out of range, or a callable is given settings.
    """
    if callable(method):
        if settings:
            raise ValueError(
                f"a callable takes no settings, but {', '.join(sorted(settings))} arrived; "
                "bind them first with `functools.partial`"
            )
        return None
    if method not in known:
        names = ", ".join(repr(name) for name in known)
        raise ValueError(f"unknown segmentation method {method!r}; choose one of {names}, or pass a callable")
    names = [field.name for field in fields(known[method])]  # pyright: ignore[reportArgumentType]  dataclasses all
    if unknown := sorted(set(settings) - set(names)):
        raise ValueError(
            f"unknown setting {', '.join(unknown)} of the segmentation method {method!r}; it takes {', '.join(names)}"
        )
    try:
        return known[method](**settings)
    except TypeError as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        raise ValueError(
            f"the settings {shown} of {method!r} are not all numbers of the right kind ({error})"
        ) from error


def recorded(method: str | Callable[..., Any], chosen: Any) -> dict[str, Any]:
    """Name every setting that is used, defaults included, as JSON-able values; `chosen` is what `checked_settings` gave."""
    if chosen is None:
        name = getattr(method, "__qualname__", type(method).__qualname__)
        module = getattr(method, "__module__", type(method).__module__)
        return {"method": "callable", "callable": f"{module}.{name}"}
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in asdict(chosen).items()}
    return {"method": method, **values}
