"""What a store knows of a model besides its signature, and how models are chosen by it."""

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from zest_jax.names import check_text
from zest_jax.wording import listed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is noted of a model when it is added; None is unknown.

    Attributes:
        architecture: such as "resnet18".
        data: what it was trained on, such as "flowers".
        owner: whose it is.
        date: when it was made, or came in.

    Raises:
        ValueError: a text is empty, longer than 200 characters, or holds characters that cannot be printed.

    >>> Metadata(architecture="resnet18", owner="lab 3", date=dt.date(2024, 5, 1)).architecture
    'resnet18'
    """

    architecture: str | None = None
    data: str | None = None
    owner: str | None = None
    date: dt.date | None = None

    def __post_init__(self) -> None:
        for field in ("architecture", "data", "owner"):
            value = getattr(self, field)
            if value is not None:
                check_text(field, value)
        check_date("date", self.date)


class Entry(NamedTuple):
    """One model of a store, without its signature.

    Attributes:
        name: unique in the store.
        metadata: what was noted of it.
        added: when it was added, in UTC; None where it is in no store.
        classes: how many outputs it has.
        class_names: of the outputs in order, or None.
        r2: share of the answers' variance that the linear fits explain, or None where nothing varies.
        version: of the package that made the signature.
        digest: SHA-256 over the signature, in hexadecimal.

    >>> entry = Entry(name="resnet18-v3", metadata=Metadata(owner="lab 3"), added=dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
    ...               classes=10, class_names=None, r2=0.61, version="0.1.0", digest="0" * 64)
    >>> entry.name, entry.metadata.owner, entry.added.isoformat()
    ('resnet18-v3', 'lab 3', '2024-05-01T00:00:00+00:00')
    """

    name: str
    metadata: Metadata
    added: dt.datetime | None
    classes: int
    class_names: tuple[str, ...] | None
    r2: float | None
    version: str
    digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filter:
    """Which models of a store are meant: those that meet everything given; what is unknown of a model does not meet it.

    Attributes:
        architecture: one of these architectures; () for any.
        data: one of these data sets; () for any.
        owner: one of these owners; () for any.
        since: first date, included; None for any.
        until: last date, included; None for any.
        exclude: names of models that are not meant.

    Raises:
        ValueError: a value is no possible one, or `since` is after `until`.

    >>> Filter(owner=("lab 3", "o'hara"), since=dt.date(2024, 1, 1)).sql()
    "owner IN ('lab 3', 'o''hara') AND date >= DATE '2024-01-01'"
    >>> Filter().sql() is None
    True
    """

    architecture: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    since: dt.date | None = None
    until: dt.date | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("architecture", "data", "owner", "exclude"):
            values = getattr(self, field)
            if isinstance(values, str):
                raise ValueError(f"`{field}` is the text {values!r}; give a tuple of texts, ({values!r},)")
            for value in values:
                check_text(field, value)
        for field in ("since", "until"):
            check_date(field, getattr(self, field))
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError(f"`since` is {self.since}, after `until`, {self.until}; no model can meet that")

    def sql(self) -> str | None:
        """The condition in SQL, or None where every model is meant."""
        parts = [
            f"{field} IN ({', '.join(quoted(value) for value in getattr(self, field))})"
            for field in ("architecture", "data", "owner")
            if getattr(self, field)
        ]
        if self.since is not None:
            parts.append(f"date >= DATE '{self.since.isoformat()}'")
        if self.until is not None:
            parts.append(f"date <= DATE '{self.until.isoformat()}'")
        if self.exclude:
            parts.append(f"name NOT IN ({', '.join(quoted(name) for name in self.exclude)})")
        return " AND ".join(parts) or None

    def __str__(self) -> str:
        parts = [
            f"{field} {' or '.join(getattr(self, field))}"
            for field in ("architecture", "data", "owner")
            if getattr(self, field)
        ]
        parts += [f"{field} {value}" for field in ("since", "until") if (value := getattr(self, field)) is not None]
        if self.exclude:
            parts.append(f"without {listed(self.exclude, 5)}")
        return ", ".join(parts) or "any"


def quoted(text: str) -> str:
    """A text as SQL writes it.

    >>> print(quoted("o'hara"))
    'o''hara'
    """
    return "'" + text.replace("'", "''") + "'"


def named(names: Iterable[str]) -> str:
    """The condition in SQL that a model has one of the names.

    >>> named(["a", "b"])
    "name IN ('a', 'b')"
    """
    return f"name IN ({', '.join(quoted(name) for name in names)})"


def check_date(field: str, value: dt.date | None) -> None:
    """Refuse what is no date; a time of day would be dropped."""
    if value is not None and (not isinstance(value, dt.date) or isinstance(value, dt.datetime)):
        raise ValueError(f"`{field}` is {value!r}; give a datetime.date without a time")


UNKNOWN = Metadata()
"""Nothing is noted."""

ANY = Filter()
"""Every model is meant."""
