"""What is known of the models of a store: options that note it and choose by it, and how it is printed."""

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from zest_jax.cli.console import Column, print_rows
from zest_jax.cli.options import commas

if TYPE_CHECKING:
    from zest_jax.screening import Entry, Filter, Metadata

_ANY = arg(metavar="NAME ...", help_behavior_hint="(default: any)")
_DATE = commas("YYYY-MM-DD", dt.date.fromisoformat, default="any")
_TODAY = commas("YYYY-MM-DD", dt.date.fromisoformat, default="today, UTC")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which models of the store are meant; a model of which something is unknown does not meet it."""

    architecture: Annotated[tuple[str, ...], _ANY] = ()
    """Only models of these architectures."""

    data: Annotated[tuple[str, ...], _ANY] = ()
    """Only models trained on these data sets."""

    owner: Annotated[tuple[str, ...], _ANY] = ()
    """Only models of these owners."""

    since: Annotated[dt.date | None, *_DATE] = None
    """Only models of this date or later."""

    until: Annotated[dt.date | None, *_DATE] = None
    """Only models of this date or earlier."""

    def filter(self) -> "Filter":
        """As the library takes it."""
        from zest_jax.screening import Filter

        return Filter(**dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotedOptions:
    """What is noted of all models that are added."""

    architecture: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: what a checkpoint says, else unknown)")
    ] = None
    """Architecture of all of them."""

    data: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: unknown)")] = None
    """What they were trained on."""

    owner: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: unknown)")] = None
    """Whose they are."""

    date: Annotated[dt.date | None, *_TODAY] = None
    """When they were made, or came in."""

    def metadata(self) -> "Metadata":
        """As the library takes it."""
        from zest_jax.screening import Metadata

        return Metadata(**dataclasses.asdict(self))


def noted_of(entries: "Iterable[Entry]") -> list[str]:
    """What is noted of at least one of the models, but for the date."""
    found = list(entries)
    return [name for name in ("architecture", "data", "owner") if any(getattr(e.metadata, name) for e in found)]


def as_json(entry: "Entry") -> dict[str, Any]:
    """An entry as JSON has it."""
    fields = {**entry._asdict(), **dataclasses.asdict(entry.metadata)}
    del fields["metadata"]
    return {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in fields.items()}


def print_entries(entries: "list[Entry]") -> None:
    """One line per model."""
    noted = noted_of(entries)
    dated = ["date"] if any(entry.metadata.date for entry in entries) else []
    columns = [
        Column("model"),
        Column("R2", "number"),
        Column("classes", "number"),
        *(Column(name, "noted") for name in (*noted, *dated)),
    ]
    rows = [
        (
            entry.name,
            "-" if entry.r2 is None else f"{entry.r2:.2f}",
            str(entry.classes),
            *(str(getattr(entry.metadata, name) or "-") for name in (*noted, *dated)),
        )
        for entry in entries
    ]
    print_rows(columns, rows)
