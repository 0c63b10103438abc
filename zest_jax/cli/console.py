"""What the commands say, and where: results on stdout, everything else on stderr."""

import contextlib
import dataclasses
import json
import logging
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TextIO

from zest_jax.errors import ConstantOutputsWarning, PoorFitWarning

# Columns of a console that has no limit.
UNLIMITED = 100_000
# Names and metadata up to these lengths are not folded; what has no room then is left out, or folded further.
WIDEST_NAME, WIDEST_NOTED, NARROWEST_NAME = 32, 12, 8


def escaped(text: str, keep: str = "\n") -> str:
    """Write out what cannot be seen: names come from strangers' models, and a terminal obeys control characters.

    >>> print(escaped("a\\x1b[2Jb\\u202ec"))
    a\\x1b[2Jb\\u202ec
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def note(text: str) -> None:
    """Say something that is not the result."""
    print(escaped(text), file=sys.stderr, flush=True)


def result_console() -> Any:
    """A rich console for results: as wide as the terminal, or as COLUMNS says; else, in a pipe or file, without a limit."""
    from rich.console import Console

    class Escaping(Console):
        """Every text, in tables too, comes through here."""

        def render_str(self, text: str, **settings: Any) -> Any:
            return super().render_str(escaped(text), **settings)

    given = os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty()
    return Escaping(file=sys.stdout, highlight=False, emoji=False, markup=False, width=None if given else UNLIMITED)


class Column(NamedTuple):
    """A column of a table: text is folded where there is no room, a number never, and what is noted of models may be left out."""

    name: str
    kind: Literal["text", "number", "noted"] = "text"


def print_rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose numbers are never cut: on a narrow terminal columns of metadata are left out, the last first."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    console = result_console()
    room = console.width
    longest = [max(cell_len(escaped(row[i])) for row in (names_of(columns), *rows)) for i in range(len(columns))]
    least = {
        i: longest[i] if column.kind == "number" else max(cell_len(column.name), min(longest[i], most))
        for i, column in enumerate(columns)
        for most in [WIDEST_NOTED if column.kind == "noted" else WIDEST_NAME]
    }
    left_out: list[str] = []
    for i in reversed([i for i in least if columns[i].kind == "noted"]):
        if _width(least) > room:
            del least[i]
            left_out.insert(0, columns[i].name)
    if _width(least) > room:
        least |= {i: min(least[i], NARROWEST_NAME) for i in least if columns[i].kind == "text"}
        # What is narrower still breaks the lines itself.
        console.width = max(room, _width(least))
    table: Any = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    # Rich itself would make columns narrower than they may be.
    for i, width in _narrowed({i: longest[i] for i in least}, least, console.width).items():
        if columns[i].kind == "number":
            table.add_column(columns[i].name, justify="right", no_wrap=True, width=width)
        else:
            table.add_column(columns[i].name, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(row[i] for i in least))
    console.print(table)
    if left_out:
        note(f"no room for {' and '.join(left_out)}: the terminal has {room} columns; --json has them")


def names_of(columns: Sequence[Column]) -> list[str]:
    """What stands over the columns."""
    return [column.name for column in columns]


def keep_numbers(table: Any) -> Any:
    """Let no column of a rich table be cut that must not be wrapped; returns the table."""
    from rich.cells import cell_len

    for column in table.columns:
        if column.no_wrap:
            texts = [str(column.header), *map(str, column.cells)]
            column.min_width = max(cell_len(line) for text in texts for line in text.split("\n"))
    return table


def _narrowed(widths: dict[int, int], least: Mapping[int, int], room: int) -> dict[int, int]:
    """Make the widest columns narrower, none narrower than it may be, until all have room.

    >>> _narrowed({0: 10, 1: 30, 2: 4}, {0: 10, 1: 8, 2: 4}, 40)
    {0: 10, 1: 16, 2: 4}
    """
    while _width(widths) > room and (wide := [i for i in widths if widths[i] > least[i]]):
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _width(widths: Mapping[int, int]) -> int:
    """Of a table: each column has a blank on both sides, and there is one before, between and after them."""
    return sum(widths.values()) + 3 * len(widths) + 1


def print_json(value: Any) -> None:
    """Print JSON that every reader accepts: NaN and infinity become null, and what cannot be seen is escaped."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str)
    print(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


# What JSON does not escape by itself, of what a terminal may obey.
_UNSEEN = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


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
        # Commands tell of poor fits themselves, in words of the command line.
        warnings.simplefilter("ignore", PoorFitWarning)
        warnings.simplefilter("always", ConstantOutputsWarning)
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
    >>> in_words_of_the_command_line("pass `size` (`--size 224` on the command line)", Probes(source="x", output="y"))
    'pass `--size 224`'
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

    renamed = re.sub(r"`(?P<name>[a-z][a-z0-9_]*)(=(?P<value>[^`]*))?`", rename, text)
    # What named both is left with the option twice.
    return re.sub(
        r"(?P<option>`--[a-z-]+)` \((?P=option)(?P<value>[^`]*`)(?: on the command line)?\)",
        r"\g<option>\g<value>",
        renamed,
    )


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
