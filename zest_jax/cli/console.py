"""What the commands say, and where: results on stdout, everything else on stderr."""

import contextlib
import dataclasses
import json
import logging
import math
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TextIO


def note(text: str) -> None:
    """Say something that is not the result."""
    print(text, file=sys.stderr, flush=True)


def result_console() -> Any:
    """A rich console for results; 80 columns wide when stdout is no terminal and COLUMNS is not set."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)


def print_json(value: Any) -> None:
    """Print JSON that every reader accepts: NaN and infinity become null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str))


def pairs_of(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested settings to (dotted name, text), leaving out what is None."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from pairs_of(item, f"{prefix}{name}.")
        elif item is not None:
            yield prefix + name, short(item)


def short(item: Any, most: int = 60) -> str:
    """Text of a setting, cut when it is long."""
    if isinstance(item, list | tuple):
        shown = ", ".join("any" if part is None else short(part) for part in item[:8])
        item = f"{shown}, ... ({len(item)} in all)" if len(item) > 8 else shown
    elif isinstance(item, float):
        item = f"{item:g}"
    text = str(item)
    return text if len(text) <= most else text[: most - 3] + "..."


@contextlib.contextmanager
def tidy_warnings() -> Iterator[None]:
    """Show Python warnings as one line each, and keep libraries from chatting."""
    chatty = logging.getLogger("absl")
    level = chatty.level
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        chatty.setLevel(logging.ERROR)
        try:
            yield
        finally:
            chatty.setLevel(level)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    note(f"warning: {' '.join(str(message).split())}")


def in_words_of_the_command_line(text: str, command: Any) -> str:
    """Name options the way they are typed: `n_references` becomes `--n-references`.

    >>> from zest_jax.cli.probes import Probes
    >>> in_words_of_the_command_line("lower `n_references` or sign with `ridge`", Probes(source="x", output="y"))
    'lower `--n-references` or sign with `ridge`'
    """
    names = _option_names(command)

    def rename(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        # In a message `output` is the model's; the command line calls that --model-output.
        name = "model_output" if name == "output" else name
        if name not in names:
            return match[0]
        option = f"--{name.replace('_', '-')}"
        if value is None or value == "True":
            return f"`{option}`"
        if value == "False":
            return f"`--no-{option[2:]}`"
        value = value.strip("'\"")
        return f"`{option} {value}`"

    return re.sub(r"`(?P<name>[a-z][a-z0-9_]*)(=(?P<value>[^`]*))?`", rename, text)


def _option_names(command: Any) -> set[str]:
    names: set[str] = set()
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        names |= _option_names(value) if dataclasses.is_dataclass(value) else {field.name}
    return names


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
