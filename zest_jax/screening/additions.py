"""How models get into the data set of a store: all of them or none, whatever other writers do."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from zest_jax.errors import StoreError
from zest_jax.screening.entries import Metadata
from zest_jax.screening.lance_files import told
from zest_jax.screening.layout import METADATA_COLUMNS

# How long a writer waits for others.
PATIENCE = dt.timedelta(minutes=5)


class Added(NamedTuple):
    """What `Store.add` did.

    Attributes:
        added: names of the models that are new.
        present: names of those that were there already, with the same signature.

    >>> Added(added=("b",), present=("a",)).added
    ('b',)
    """

    added: tuple[str, ...]
    present: tuple[str, ...]


def insert(dataset: Any, table: Any, uri: str) -> bool:
    """Add rows in one version; False where another writer added one of the names meanwhile, and nothing was added."""
    try:
        with told(uri, "add to"):
            (
                dataset.merge_insert("name")
                .when_matched_fail()
                .when_not_matched_insert_all()
                .conflict_retries(50)
                .retry_timeout(PATIENCE)
                .execute(table)
            )
    except StoreError as error:
        if "found matching row" in str(error.__cause__):
            return False
        raise
    return True


def already_there(
    batches: Iterable[Any], rows: Mapping[str, Mapping[str, Any]], given: Mapping[str, Metadata], uri: str
) -> set[str]:
    """Which of the rows are there already.

    Args:
        batches: Arrow batches of the models of those names: name, digest and metadata.
        rows: to be added, by name.
        given: their metadata as given; what is not given does not count.
        uri: of the store, for messages.

    Raises:
        StoreError: one is there with another signature or other metadata.
    """
    found = set()
    for batch in batches:
        for stored in batch.to_pylist():
            name = stored["name"]
            if stored["digest"] != rows[name]["digest"]:
                raise StoreError(
                    f"{uri} holds another signature under the name {name}; nothing was added: give the new model "
                    "another name, or remove the old one first"
                )
            for field in METADATA_COLUMNS:
                wanted = getattr(given[name], field)
                if wanted not in (None, stored[field]):
                    raise StoreError(
                        f"{uri} holds {name} already, with {field} {stored[field]} instead of {wanted}; nothing was "
                        "added: remove it first to note something else of it"
                    )
            found.add(name)
    return found
