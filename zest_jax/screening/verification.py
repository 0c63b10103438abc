"""Read a whole store and tell what of it is damaged."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zest_jax.errors import StoreError, ZestError
from zest_jax.screening.entries import Entry
from zest_jax.screening.layout import ENTRY_COLUMNS, digest_of_noted, entries_of, signature_of
from zest_jax.screening.sketch import make_sketch
from zest_jax.screening.store import Store
from zest_jax.signature import Signature

# Models read at a time.
AT_ONCE = 32
# Sketches are rounded to float16, and sums may be rounded otherwise on another machine.
TOLERANCE = 2e-3


class Problem(NamedTuple):
    """Something wrong with a store.

    Attributes:
        name: of the model concerned, or None where it is not known.
        text: what is wrong.

    >>> str(Problem("resnet18-v3", "cannot be read").text)
    'cannot be read'
    """

    name: str | None
    text: str


def verify(store: Store) -> Iterator[Problem]:
    """Read every model of a store and check it; yields what is wrong.

    Checked are: the signature against its SHA-256 and the store's probe set and settings; the sketch, the name, the classes,
    their names, R2 and the version of the package against the signature; architecture, data set, owner and dates against a
    SHA-256 of their own. Checksums find damage, not a forger who computes them anew.

    A store without problems yields nothing. Models are read in small groups, and where one cannot be read, one by one.

    Args:
        store: all of whose models are read.

    Yields:
        what is wrong, one problem at a time.

    >>> import tempfile
    >>> ones = np.ones((1, 3), np.float32)
    >>> model = Signature(weights=np.eye(60, 3, dtype=np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                   probe_hash="0" * 64, label="model")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/models.store", like=model)
    ...     added = store.add([model])
    ...     print(list(verify(store)))
    []
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
    for batch in store.scan([*ENTRY_COLUMNS, "noted", "signature", "norms", "sketch"], where=condition, rows=len(rows)):
        seen += len(batch)
        try:
            entries = list(entries_of(batch))
        except (ValueError, TypeError) as error:
            raise StoreError(f"what is noted of it is damaged: {error}") from error
        parts = zip(
            entries,
            batch["noted"].to_pylist(),
            batch["signature"].to_pylist(),
            batch["norms"].to_pylist(),
            (np.array(sketch.values.to_pylist(), np.float64) for sketch in batch["sketch"]),
            strict=True,
        )
        for entry, noted, content, norms, vectors in parts:
            try:
                signature = signature_of(entry.name, content, entry.digest, store.uri)
                store.header.check(signature, store.uri)
            except ZestError as error:
                found.append(Problem(entry.name, str(error)))
                continue
            if digest_of_noted(entry.digest, entry.metadata, entry.added) != noted:
                found.append(
                    Problem(
                        entry.name, "its architecture, data set, owner or dates are not what was noted at its addition"
                    )
                )
            sketch = make_sketch(signature.weights, store.header.sketch)
            same = (
                vectors.shape == sketch.vectors.shape
                and np.allclose(vectors, sketch.vectors, atol=TOLERANCE)
                and np.allclose(norms, sketch.norms, rtol=TOLERANCE)
            )
            if not same:
                found.append(Problem(entry.name, "its sketch is not that of its signature, so a search may miss it"))
            for what, stored, signed in _told_twice(entry, signature):
                if stored != signed:
                    found.append(
                        Problem(entry.name, f"{what} noted in the store: {stored}; in its signature: {signed}")
                    )
    if seen != len(rows):
        raise StoreError(f"{len(rows) - seen} models of {store.uri} cannot be found")
    return found


def _told_twice(entry: Entry, signature: Signature) -> list[tuple[str, object, object]]:
    """What a store notes of a model and its signature tells as well."""
    r2 = signature.mean_r2()
    signed = None if np.isnan(r2) else float(r2)
    # Kept in float32, and means may be rounded otherwise on another machine.
    if entry.r2 is not None and signed is not None and np.isclose(entry.r2, signed, rtol=1e-5, atol=1e-6):
        signed = entry.r2
    return [
        ("name", entry.name, signature.label),
        ("number of classes", entry.classes, signature.n_classes),
        ("class names", entry.class_names, signature.class_names),
        ("R2", entry.r2, signed),
        ("version of the package", entry.version, signature.version),
    ]


def _name_of(store: Store, row: int) -> str | None:
    try:
        return next(iter(store.scan(["name"], where=f"_rowid IN ({row})", rows=1)))["name"][0].as_py()
    except (StoreError, StopIteration):
        return None
