"""What the columns of a store hold: one model a row, its signature whole, its sketch beside it."""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from zest_jax.distances import comparable_settings
from zest_jax.errors import FileFormatError, NotAStoreError, ProbeMismatchError, StoreError
from zest_jax.screening.entries import Entry, Metadata
from zest_jax.screening.sketch import KIND, Sketch, SketchSettings, make_sketches
from zest_jax.signature import Signature
from zest_jax.version import __version__

FORMAT_VERSION = "2"
# Keys of the data set's metadata.
VERSION_KEY, HEADER_KEY, MADE_BY_KEY = b"zest-store", b"zest-store-header", b"zest-jax"
METADATA_COLUMNS = [field.name for field in dataclasses.fields(Metadata)]
# Everything but the signature, the sketch and the checksum of what is noted.
ENTRY_COLUMNS = ["name", *METADATA_COLUMNS, "added", "classes", "class_names", "r2", "version", "digest"]


class SketchBatch(NamedTuple):
    """Sketches of some models of a store.

    Attributes:
        rows: where the models are in the data set, uint64 [models].
        classes: of each model, int32 [models].
        class_names: of each model.
        vectors: model after model, float16 [sum of classes, dimensions].
        norms: float32 [sum of classes].
    """

    rows: np.ndarray
    classes: np.ndarray
    class_names: list[tuple[str, ...] | None]
    vectors: np.ndarray
    norms: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What all signatures of a store have in common.

    Attributes:
        probe_hash: of their probe set.
        features: segments of all references together.
        settings: how the models were asked and fitted, see `comparable_settings`.
        sketch: how they are sketched.
    """

    probe_hash: str
    features: int
    settings: dict[str, Any]
    sketch: SketchSettings

    @classmethod
    def of(cls, signature: Signature, sketch: SketchSettings) -> "Header":
        """The header of a store to which this signature can be added."""
        # As it will be read back: JSON has lists and no tuples.
        settings = json.loads(json.dumps(comparable_settings(signature)))
        return cls(probe_hash=signature.probe_hash, features=len(signature.weights), settings=settings, sketch=sketch)

    def check(self, signature: Signature, uri: str) -> None:
        """Refuse a signature that cannot be compared with those of the store.

        Raises:
            ProbeMismatchError: another probe set, or other settings of the fit.
            DegenerateSignatureError: it carries no information.
            FileFormatError: it has another size than its probe set gives.
        """
        if signature.probe_hash != self.probe_hash:
            raise ProbeMismatchError(
                f"{signature.label} was signed with probe set {signature.probe_hash[:16]}, the store {uri} holds signatures of "
                f"{self.probe_hash[:16]}; a store has one probe set: sign the model with that one, or use another store"
            )
        theirs = json.loads(json.dumps(comparable_settings(signature)))
        for name, other in theirs.items():
            if (value := self.settings.get(name)) != other:
                raise ProbeMismatchError(
                    f"{signature.label} was fitted differently from the signatures of {uri} ({name}: {other} and "
                    f"{value}); sign it with the same settings"
                )
        if len(signature.weights) != self.features:
            raise FileFormatError(
                f"{signature.label} has {len(signature.weights)} weights per class, and those of the same probe set in {uri} "
                f"have {self.features}; sign the model again"
            )
        signature.check_informative()

    def to_metadata(self) -> dict[bytes, bytes]:
        """As metadata of the data set."""
        header = {**dataclasses.asdict(self), "sketch": {"kind": KIND, **dataclasses.asdict(self.sketch)}}
        return {
            VERSION_KEY: FORMAT_VERSION.encode(),
            HEADER_KEY: json.dumps(header, sort_keys=True).encode(),
            MADE_BY_KEY: __version__.encode(),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[bytes, bytes] | None, uri: str) -> "Header":
        """Read what `to_metadata` returned.

        Raises:
            NotAStoreError: the data set is none of signatures.
            StoreError: it is a store of another version, or damaged.
        """
        metadata = metadata or {}
        if VERSION_KEY not in metadata:
            raise NotAStoreError(
                f"{uri} is a Lance data set, but not a store of signatures; `zest store add` makes stores"
            )
        version = metadata[VERSION_KEY].decode(errors="replace")
        if version != FORMAT_VERSION:
            maker = metadata.get(MADE_BY_KEY, b"unknown").decode(errors="replace")
            newer = not version.isdigit() or int(version) > int(FORMAT_VERSION)
            remedy = (
                "install that version, or a newer one"
                if newer
                else "export its signatures with that version (`zest store export`) and add them to a new store"
            )
            raise StoreError(
                f"{uri} is a store of format version {version}, made by zest_jax {maker}; this package, {__version__}, reads "
                f"version {FORMAT_VERSION}: {remedy}"
            )
        try:
            header = json.loads(metadata[HEADER_KEY])
            sketch = header.pop("sketch")
            if sketch.pop("kind") != KIND:
                raise ValueError("an unknown kind of sketch")
            return cls(**header, sketch=SketchSettings(**sketch))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"the header of the store {uri} is damaged ({error}); open an older version of it, or a backup"
            ) from error


def schema(header: Header) -> Any:
    """Columns of the data set."""
    import pyarrow as pa

    # Lance keeps two writers from adding rows of the same primary key.
    key = {"lance-schema:unenforced-primary-key": "true"}
    text = pa.string()
    return pa.schema(
        [
            pa.field("name", text, nullable=False, metadata=key),
            *(pa.field(name, text) for name in ("architecture", "data", "owner")),
            pa.field("date", pa.date32()),
            pa.field("added", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("classes", pa.int32(), nullable=False),
            pa.field("class_names", text),
            pa.field("r2", pa.float32()),
            pa.field("version", text, nullable=False),
            pa.field("digest", text, nullable=False),
            pa.field("noted", text, nullable=False),
            pa.field("signature", pa.large_binary(), nullable=False),
            pa.field("norms", pa.list_(pa.float32()), nullable=False),
            pa.field("sketch", pa.list_(pa.list_(pa.float16(), header.sketch.dimensions)), nullable=False),
        ],
        metadata=header.to_metadata(),
    )


def digest_of(content: bytes) -> str:
    """SHA-256 over what a signature file holds; the order of its header, which safetensors leaves open, does not count."""
    length = int.from_bytes(content[:8], "little")
    digest = hashlib.sha256()
    try:
        header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True).encode()
    except ValueError:
        header = content[8 : 8 + length]
    digest.update(len(header).to_bytes(8, "little") + header)
    digest.update(memoryview(content)[8 + length :])
    return digest.hexdigest()


def digest_of_noted(digest: str, metadata: Metadata, added: dt.datetime | None) -> str:
    """SHA-256 over what is noted of a model, with that of its signature."""
    fields = {field: getattr(metadata, field) for field in METADATA_COLUMNS}
    told = json.dumps(
        {"digest": digest, "added": added and added.astimezone(dt.UTC), **fields}, sort_keys=True, default=str
    )
    return hashlib.sha256(told.encode()).hexdigest()


def rows_of(
    signatures: Sequence[Signature], metadata: Sequence[Metadata], header: Header, added: dt.datetime
) -> list[dict[str, Any]]:
    """Models as rows; their names are the signatures' labels. What metadata need not be given is filled in."""
    sketches = make_sketches([signature.weights for signature in signatures], header.sketch)
    return [
        _row_of(signature, noted, sketch, added)
        for signature, noted, sketch in zip(signatures, metadata, sketches, strict=True)
    ]


def _row_of(signature: Signature, metadata: Metadata, sketch: Sketch, added: dt.datetime) -> dict[str, Any]:
    content, r2 = signature.to_bytes(), signature.mean_r2()
    digest = digest_of(content)
    noted = Metadata(
        architecture=metadata.architecture or _architecture(signature),
        data=metadata.data,
        owner=metadata.owner,
        date=metadata.date or added.date(),
    )
    return {
        "name": signature.label,
        **{field: getattr(noted, field) for field in METADATA_COLUMNS},
        "added": added,
        "classes": signature.n_classes,
        "class_names": None if signature.class_names is None else json.dumps(signature.class_names),
        "r2": None if np.isnan(r2) else r2,
        "version": signature.version,
        "digest": digest,
        "noted": digest_of_noted(digest, noted, added),
        "signature": content,
        "norms": sketch.norms,
        "sketch": sketch.vectors,
    }


def table_of(rows: Sequence[dict[str, Any]], header: Header) -> Any:
    """Rows as an Arrow table."""
    import pyarrow as pa

    names = schema(header)
    columns = []
    for field in names:
        values = [row[field.name] for row in rows]
        if field.name == "sketch":
            flat = np.concatenate([np.zeros(0, np.float16), *(value.ravel() for value in values)])
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat), header.sketch.dimensions)
            ends = np.cumsum([0, *(len(value) for value in values)]).astype(np.int32)
            columns.append(pa.ListArray.from_arrays(pa.array(ends), vectors))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=names)


def entries_of(table: Any) -> Iterator[Entry]:
    """The entries of a table that has `ENTRY_COLUMNS`."""
    for row in table.select(ENTRY_COLUMNS).to_pylist():
        yield Entry(
            name=row["name"],
            metadata=Metadata(**{field: row[field] for field in METADATA_COLUMNS}),
            added=row["added"],
            classes=row["classes"],
            class_names=_names(row["class_names"]),
            r2=row["r2"],
            version=row["version"],
            digest=row["digest"],
        )


def entry_of(signature: Signature) -> Entry:
    """What is known of a model that is in no store: what its signature tells."""
    r2 = signature.mean_r2()
    return Entry(
        name=signature.label,
        metadata=Metadata(architecture=_architecture(signature)),
        added=None,
        classes=signature.n_classes,
        class_names=signature.class_names,
        r2=None if np.isnan(r2) else r2,
        version=signature.version,
        digest=digest_of(signature.to_bytes()),
    )


def _architecture(signature: Signature) -> str | None:
    """What the model's checkpoint tells."""
    model = signature.settings.get("model")
    return model.get("architecture") if isinstance(model, dict) else None


def signature_of(name: str, content: bytes, digest: str, uri: str) -> Signature:
    """Read the signature of a row.

    Raises:
        FileFormatError: it is not what was stored.
    """
    if digest_of(content) != digest:
        raise FileFormatError(
            f"the signature of {name} in the store {uri} is not what was added: the store is damaged. `zest store verify` "
            "tells what else is; an older version of the store, a backup, or signing the model again brings it back"
        )
    return Signature.from_bytes(content, origin=f"the signature of {name} in {uri}")


SKETCH_COLUMNS = ["classes", "class_names", "norms", "sketch"]


def sketches_of(batch: Any, header: Header, uri: str) -> SketchBatch:
    """The sketches of a batch that has `SKETCH_COLUMNS` and `_rowid`.

    Raises:
        StoreError: they are damaged.
    """
    vectors = batch["sketch"].flatten().flatten().to_numpy(zero_copy_only=False)
    norms = batch["norms"].flatten().to_numpy(zero_copy_only=False)
    classes = batch["classes"].to_numpy(zero_copy_only=False)
    fits = len(norms) == classes.sum() and len(vectors) == len(norms) * header.sketch.dimensions
    if not (fits and np.isfinite(norms).all() and np.isfinite(vectors).all()):
        raise StoreError(f"the sketches in {uri} are damaged; `zest store verify` tells which models are concerned")
    # Most models have the same names, so each text is read once.
    known = {text: _names(text) for text in batch["class_names"].unique().to_pylist()}
    return SketchBatch(
        rows=batch["_rowid"].to_numpy(zero_copy_only=False),
        classes=classes,
        class_names=[known[text] for text in batch["class_names"].to_pylist()],
        vectors=vectors.reshape(-1, header.sketch.dimensions),
        norms=norms,
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))
