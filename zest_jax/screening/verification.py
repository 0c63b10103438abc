"""Read a whole store and tell what of it is damaged."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zest_jax.errors import StoreError, ZestError
from zest_jax.screening.layout import ENTRY_COLUMNS, entries_of, signature_of
from zest_jax.screening.sketch import make_sketch
from zest_jax.screening.store import Store

# Models read at a time.
AT_ONCE = 32
# Sketches are rounded to float16, and sums may be rounded otherwise on another machine.
TOLERANCE = 2e-3


class Problem(NamedTuple):
    """Something wrong with a store.

    Attributes:
        name: of the model concerned, or None where it is not known.
        text: what is wrong.
    """

    name: str | None
    text: str


def verify(store: Store) -> Iterator[Problem]:
    """Read every model of a store and check it: signature, sketch, probe set, metadata; yields what is wrong.

    A store without problems yields nothing. Models are read in small groups, and where one cannot be read, one by one.
    """
    names: Counter[str] = Counter()
    rows: list[int] = []
    try:
        for batch in store.scan(["name"], rows=8192):
            rows += batch["_rowid"].to_pylist()
            names.update(batch["name"].to_pylist())
    except StoreError as error:
        yield Problem(None, f"the list of models cannot be read: {error}")
        return
    for name, count in names.items():
        if count > 1:
            yield Problem(name, f"the name is there {count} times; remove it and add the model again")
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        try:
            yield from _problems(store, part)
        except StoreError:
            for row in part:
                try:
                    yield from _problems(store, [row])
                except StoreError as error:
                    yield Problem(_name_of(store, row), f"cannot be read: {error}")


def _problems(store: Store, rows: list[int]) -> list[Problem]:
    found: list[Problem] = []
    condition = f"_rowid IN ({', '.join(map(str, rows))})"
    seen = 0
    for batch in store.scan([*ENTRY_COLUMNS, "signature", "norms", "sketch"], where=condition, rows=len(rows)):
        seen += len(batch)
        parts = zip(
            entries_of(batch),
            batch["signature"].to_pylist(),
            batch["norms"].to_pylist(),
            (np.array(sketch.values.to_pylist(), np.float64) for sketch in batch["sketch"]),
            strict=True,
        )
        for entry, content, norms, vectors in parts:
            try:
                signature = signature_of(entry.name, content, entry.digest, store.uri)
                store.header.check(signature, store.uri)
            except ZestError as error:
                found.append(Problem(entry.name, str(error)))
                continue
            sketch = make_sketch(signature.weights, store.header.sketch)
            same = (
                vectors.shape == sketch.vectors.shape
                and np.allclose(vectors, sketch.vectors, atol=TOLERANCE)
                and np.allclose(norms, sketch.norms, rtol=TOLERANCE)
            )
            if not same:
                found.append(Problem(entry.name, "its sketch is not that of its signature, so a search may miss it"))
            if (signature.label, signature.n_classes) != (entry.name, entry.classes):
                found.append(
                    Problem(
                        entry.name,
                        f"its signature is that of {signature.label} with {signature.n_classes} classes, not {entry.classes}",
                    )
                )
    if seen != len(rows):
        raise StoreError(f"{len(rows) - seen} models of {store.uri} cannot be found")
    return found


def _name_of(store: Store, row: int) -> str | None:
    try:
        return next(iter(store.scan(["name"], where=f"_rowid IN ({row})", rows=1)))["name"][0].as_py()
    except (StoreError, StopIteration):
        return None
