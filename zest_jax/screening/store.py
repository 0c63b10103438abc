"""The store: signatures of many models and what is known of them, in a Lance data set."""

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zest_jax.errors import StoreError
from zest_jax.names import check_text
from zest_jax.screening.additions import Added, already_there, insert
from zest_jax.screening.entries import ANY, UNKNOWN, Entry, Filter, Metadata, named
from zest_jax.screening.lance_files import (
    check_room,
    import_lance,
    local_folder,
    now,
    open_dataset,
    other_files,
    settle,
    told,
)
from zest_jax.screening.layout import (
    ENTRY_COLUMNS,
    METADATA_COLUMNS,
    SKETCH_COLUMNS,
    Header,
    SketchBatch,
    entries_of,
    rows_of,
    signature_of,
    sketches_of,
    table_of,
)
from zest_jax.screening.removals import Removed, delete
from zest_jax.screening.sketch import DEFAULT, SketchSettings
from zest_jax.signature import Signature

# Another writer's name clashing anew at every try would need this many writers of the same names.
TRIES = 10
# Bytes of sketches, and signatures, that a reader holds at a time.
SKETCH_BYTES = 16 * 2**20
SIGNATURE_BYTES = 32 * 2**20


class StoreVersion(NamedTuple):
    """A state of a store.

    Attributes:
        number: counts up with each change.
        made: when, in UTC.

    >>> str(StoreVersion(number=7, made=dt.datetime(2024, 5, 1, tzinfo=dt.UTC)).made.date())
    '2024-05-01'
    """

    number: int
    made: dt.datetime


class Store:
    """Signatures of one probe set, each under a name, with metadata, in a folder or an object store.

    An object is a view of one version: what others add afterwards is seen by `latest()`. Every change makes a new version, all
    at once or not at all, whenever its process is killed; versions are kept. Several processes may add, remove and read at the
    same time.

    It is made by `Store.create` and opened by `Store.open`.

    Args:
        uri: where the store is.
        dataset: that which is there, opened by Lance.
        header: what all its signatures share.
        storage_options: keys and settings of an object store, as Lance takes them.
        past: whether an older version is looked at, which can be read only.

    >>> import tempfile
    >>> rng = np.random.default_rng(0)
    >>> def model(label):
    ...     ones = np.ones((2, 3), np.float32)
    ...     return Signature(weights=rng.normal(size=(50, 3)).astype(np.float32), segment_counts=np.array([20, 30]),
    ...                      r2=ones, variance=ones, probe_hash="0" * 64, label=label)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store.create(f"{folder}/models.store", like=model("any"))
    ...     added = store.add([model("a"), model("b")], metadata=Metadata(architecture="resnet18"))
    ...     print(added.added, len(store), store.load(["b"])[0].label, store.remove(["a"]).names, len(store))
    ('a', 'b') 2 b ('a',) 1
    """

    def __init__(
        self, uri: str, dataset: Any, header: Header, storage_options: Mapping[str, str] | None, *, past: bool = False
    ) -> None:
        self.uri, self.header = uri, header
        self._dataset, self._options, self._past = dataset, storage_options, past

    @classmethod
    def create(
        cls,
        uri: str | os.PathLike[str],
        *,
        like: Signature,
        sketch: SketchSettings = DEFAULT,
        storage_options: Mapping[str, str] | None = None,
    ) -> "Store":
        """Make an empty store for signatures that can be compared with `like`.

        Args:
            uri: a folder that is empty or does not exist, or a URL such as s3://bucket/models.store.
            like: decides on probe set and fit; it is not added.
            sketch: how models are sketched for the search.
            storage_options: keys and settings of an object store, as Lance takes them.

        Raises:
            MissingExtraError: pylance is not installed.
            StoreError: there is something already, a damaged store too, or it cannot be written.
            DegenerateSignatureError: `like` carries no information.
        """
        uri = os.fspath(uri)
        lance = import_lance()
        like.check_informative()
        header = Header.of(like, sketch)
        folder = local_folder(uri)
        if open_dataset(uri, None, storage_options) is not None:
            raise StoreError(f"{uri} exists already; open it (`Store.open`), or name another")
        check_room(uri)
        since = now()
        options = dict(storage_options) if storage_options else None
        try:
            with told(uri, "create"):
                lance.write_dataset(table_of([], header), uri, mode="create", storage_options=options)
        except StoreError:
            # Somebody else may have created it a moment before.
            if open_dataset(uri, None, storage_options) is None:
                raise
            raise StoreError(f"{uri} was created by somebody else just now; open it (`Store.open`)") from None
        if folder is not None:
            settle(folder, since)
        return cls.open(uri, storage_options=storage_options)

    @classmethod
    def open(
        cls,
        uri: str | os.PathLike[str],
        *,
        version: int | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> "Store":
        """Open a store, at its newest version or at an older one, which can be read only.

        Raises:
            MissingExtraError: pylance is not installed.
            FileNotFoundError: there is no store.
            NotAStoreError: it is a file, or a data set of something else.
            StoreError: it is damaged, of another format version, or has no such version.
        """
        uri = os.fspath(uri)
        dataset = open_dataset(uri, version, storage_options)
        if dataset is None and other_files(uri):
            raise FileNotFoundError(
                f"{uri} is a folder, but no store of signatures; name the folder of a store, or a new one: `zest store add STORE "
                "MODEL.sig ...` makes it"
            )
        if dataset is None:
            raise FileNotFoundError(f"there is no store {uri}; make one with `zest store add {uri} MODEL.sig ...`")
        header = Header.from_metadata(dataset.schema.metadata, uri)
        return cls(uri, dataset, header, storage_options, past=version is not None)

    def latest(self) -> "Store":
        """The newest version of the same store."""
        return Store.open(self.uri, storage_options=self._options)

    def __repr__(self) -> str:
        return f"Store({self.uri}: {len(self)} models, version {self.version}, probes {self.header.probe_hash[:12]})"

    def __len__(self) -> int:
        return self.count()

    @property
    def version(self) -> int:
        """Number of the version that is looked at."""
        return int(self._dataset.version)

    def versions(self) -> list[StoreVersion]:
        """All versions, oldest first."""
        with told(self.uri, "read"):
            found = self._dataset.versions()
        return [
            StoreVersion(int(each["version"]), each["timestamp"].astimezone(dt.UTC))
            for each in sorted(found, key=lambda each: each["version"])
        ]

    def count(self, where: Filter = ANY) -> int:
        """How many models meet a filter."""
        with told(self.uri, "read"):
            return int(self._dataset.count_rows(filter=where.sql()))

    def entries(self, where: Filter = ANY) -> list[Entry]:
        """What is known of the models that meet a filter, in the order of their addition."""
        with told(self.uri, "read"):
            table = self._dataset.to_table(columns=ENTRY_COLUMNS, filter=where.sql())
        return list(entries_of(table))

    def add(self, signatures: Sequence[Signature], *, metadata: Metadata | Sequence[Metadata] = UNKNOWN) -> Added:
        """Add models under their labels, all or none; afterwards this object is at the version that has them.

        Adding what is there already, under the same name with the same signature, changes nothing, so that an interrupted series
        of additions can simply be repeated.

        Args:
            signatures: of the store's probe set.
            metadata: of all of them, or of each. The date is that of the addition, and the architecture that which the model's
                checkpoint tells, where they are not given.

        Raises:
            ProbeMismatchError: another probe set, or other settings of the fit.
            DegenerateSignatureError: a signature carries no information.
            ValueError: a label is no possible name, or comes twice.
            StoreError: the store holds another signature or other metadata under a name, or cannot be written.
        """
        self._check_current("add to")
        each = [metadata] * len(signatures) if isinstance(metadata, Metadata) else list(metadata)
        if len(each) != len(signatures):
            raise ValueError(f"{len(signatures)} signatures but {len(each)} metadata; give one for each")
        names = [signature.label for signature in signatures]
        for signature in signatures:
            check_text("label", signature.label)
            self.header.check(signature, self.uri)
        if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
            raise ValueError(f"the label {twice[0]!r} comes twice; in a store names are unique: give other labels")
        moment = dt.datetime.now(dt.UTC)
        rows = {row["name"]: row for row in rows_of(signatures, each, self.header, moment)}
        given = dict(zip(names, each, strict=True))
        for _ in range(TRIES):
            self._dataset = self.latest()._dataset
            columns = ["name", "digest", *METADATA_COLUMNS]
            batches = self.scan(columns, where=named(list(rows)), rows=1024) if rows else ()
            present = already_there(batches, rows, given, self.uri)
            new = {name: row for name, row in rows.items() if name not in present}
            since = now()
            if not new or insert(self._dataset, table_of(list(new.values()), self.header), self.uri):
                if new:
                    self._settle(since)
                    self._dataset = self.latest()._dataset
                return Added(tuple(new), tuple(name for name in names if name in present))
        raise StoreError(
            f"cannot add to {self.uri}: other writers added the same names {TRIES} times in a row; do it again"
        )

    def remove(self, names: Sequence[str]) -> Removed:
        """Remove models, as the newest version has them; older versions keep them.

        What another writer adds under the same name meanwhile is another signature, and stays.

        Raises:
            ValueError: a name is not in the store; then nothing is removed.
            StoreError: another writer removed some of them meanwhile, or the store cannot be written.
        """
        self._check_current("remove from")
        self._dataset = self.latest()._dataset
        version, wanted = self.version, tuple(dict.fromkeys(names))
        self._rows_of(names)
        if not wanted:
            return Removed((), version)
        digests = {
            digest
            for batch in self.scan(["digest"], where=named(wanted), rows=8192)
            for digest in batch["digest"].to_pylist()
        }
        since = now()
        deleted = delete(self._dataset, wanted, digests, self.uri)
        self._settle(since)
        self._dataset = self.latest()._dataset
        # More where a damaged store has a name twice.
        if deleted < len(wanted):
            raise StoreError(
                f"another writer changed {self.uri} meanwhile: {deleted} of the {len(wanted)} models of version {version} were "
                "removed; `zest store list` shows what is there now"
            )
        return Removed(wanted, version)

    def load(self, names: Sequence[str]) -> list[Signature]:
        """Signatures by name, in the order given.

        Raises:
            ValueError: a name is not in the store.
            FileFormatError: a signature is damaged.
        """
        rows = self._rows_of(names)
        found = {
            entry.name: signature
            for part in self.load_rows([rows[name] for name in dict.fromkeys(names)])
            for entry, signature in part
        }
        return [found[name] for name in names]

    def sketches(self, where: Filter = ANY) -> Iterator[SketchBatch]:
        """Sketches of the models that meet a filter, some megabytes at a time."""
        rows = max(1, SKETCH_BYTES // (2 * self.header.sketch.dimensions * self._most_classes))
        for batch in self.scan(SKETCH_COLUMNS, where=where.sql(), rows=min(rows, 8192)):
            yield sketches_of(batch, self.header, self.uri)

    def load_rows(self, rows: Sequence[int]) -> Iterator[list[tuple[Entry, Signature]]]:
        """Models by their place in the data set (`SketchBatch.rows`), in the order given, some megabytes at a time.

        Raises:
            StoreError: one of them cannot be found: the store is damaged.
            FileFormatError: a signature is damaged.
        """
        step = max(1, SIGNATURE_BYTES // (4 * self.header.features * self._most_classes))
        for start in range(0, len(rows), step):
            part = [int(row) for row in rows[start : start + step]]
            condition = f"_rowid IN ({', '.join(map(str, part))})"
            found = {}
            for batch in self.scan([*ENTRY_COLUMNS, "signature"], where=condition, rows=len(part)):
                for row, entry, content in zip(
                    batch["_rowid"].to_pylist(), entries_of(batch), batch["signature"].to_pylist(), strict=True
                ):
                    found[row] = entry, signature_of(entry.name, content, entry.digest, self.uri)
            if missing := set(part) - found.keys():
                raise StoreError(f"{len(missing)} models of {self.uri} cannot be found: the store is damaged")
            yield [found[row] for row in part]

    def scan(self, columns: Sequence[str], *, where: str | None = None, rows: int) -> Iterator[Any]:
        """Arrow batches of some columns and `_rowid`, of at most `rows` rows."""
        with told(self.uri, "read"):
            batches = self._dataset.scanner(
                columns=list(columns),
                filter=where,
                batch_size=rows,
                batch_readahead=2,
                fragment_readahead=2,
                io_buffer_size=64 * 2**20,
                with_row_id=True,
            ).to_batches()
            batch = next(batches, None)
        while batch is not None:
            yield batch
            with told(self.uri, "read"):
                batch = next(batches, None)

    def compact(self) -> int:
        """Rewrite small files, which many small additions leave, into larger ones; returns how many files that replaced.

        Searching then opens fewer files. Older versions keep the old ones, so the store takes more room.
        """
        self._check_current("compact")
        self._dataset = self.latest()._dataset
        since = now()
        with told(self.uri, "compact"):
            done = self._dataset.optimize.compact_files(target_rows_per_fragment=4096, batch_size=64, num_threads=1)
        self._settle(since)
        self._dataset = self.latest()._dataset
        return int(done.fragments_removed)

    def n_files(self) -> int:
        """Files that a search through all models opens."""
        with told(self.uri, "read"):
            return len(self._dataset.get_fragments())

    @property
    def _most_classes(self) -> int:
        """The largest number of classes of a model."""
        with told(self.uri, "read"):
            return int(self._dataset.to_table(columns=["classes"])["classes"].to_numpy().max(initial=1))

    def _rows_of(self, names: Sequence[str]) -> dict[str, int]:
        """Where named models are."""
        if isinstance(names, str):
            raise TypeError(f"`names` is the text {names!r}; give a list of names, [{names!r}]")
        if not names:
            return {}
        found = {
            name: row
            for batch in self.scan(["name"], where=named(names), rows=8192)
            for name, row in zip(batch["name"].to_pylist(), batch["_rowid"].to_pylist(), strict=True)
        }
        if missing := [name for name in names if name not in found]:
            short = [name if len(name) <= 60 else f"{name[:60]}..." for name in missing[:5]]
            shown = ", ".join(short) + (", ..." if len(missing) > 5 else "")
            raise ValueError(
                f"{self.uri} has no model named {shown} in version {self.version}; `zest store list` shows all"
            )
        return found

    def _check_current(self, doing: str) -> None:
        if self._past:
            raise StoreError(
                f"cannot {doing} version {self.version} of {self.uri}: older versions are for reading; open the newest one"
            )

    def _settle(self, since: float) -> None:
        if (folder := local_folder(self.uri)) is not None:
            settle(folder, since)
