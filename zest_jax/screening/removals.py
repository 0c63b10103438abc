"""How models get out of the data set of a store: those that were meant, whatever other writers do."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from zest_jax.screening.additions import PATIENCE
from zest_jax.screening.entries import named, quoted
from zest_jax.screening.lance_files import told


class Removed(NamedTuple):
    """What `Store.remove` did.

    Attributes:
        names: of the models that were removed.
        version: of the store, which keeps them.

    >>> Removed(names=("resnet18-v3",), version=7)
    Removed(names=('resnet18-v3',), version=7)
    """

    names: tuple[str, ...]
    version: int


def delete(dataset: Any, names: Sequence[str], digests: Iterable[str], uri: str) -> int:
    """Delete rows of these names and digests in one version; returns how many there were."""
    # A label is part of what its digest is taken of, so no digest is that of another name.
    condition = f"{named(names)} AND digest IN ({', '.join(quoted(digest) for digest in sorted(digests))})"
    with told(uri, "remove from"):
        done = dataset.delete(condition, conflict_retries=50, retry_timeout=PATIENCE)
    return int(done["num_deleted_rows"])
