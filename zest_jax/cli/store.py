"""`zest store`: keep the signatures of many models."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import tyro
from tyro.conf import Positional, arg

from zest_jax.cli.console import note, print_json, result_console
from zest_jax.cli.entries import FilterOptions, NotedOptions, as_json, print_entries
from zest_jax.cli.files import UsageError, check_exists, read_signature
from zest_jax.cli.options import OFF, Common
from zest_jax.names import check_text
from zest_jax.wording import counted

if TYPE_CHECKING:
    from zest_jax.screening import Store as SignatureStore
    from zest_jax.signature import Signature

StorePath = Annotated[str, arg(metavar="STORE")]
# What is added at a time: that many signatures, or bytes of files.
GROUP, GROUP_BYTES = 256, 64 * 2**20
_VERSION = arg(metavar="N", help_behavior_hint="(default: the newest)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Add(Common):
    """Add signatures to a store, and make the store if there is none.

    Signatures are added in groups of up to 256, each whole or not at all. What is there already is left out, so that the same
    command goes on where one was interrupted.
    """

    store: Positional[StorePath]
    """Folder of the store, or the URL of one in an object store, such as s3://bucket/models.store."""

    signatures: Positional[Annotated[tuple[Path, ...], arg(metavar="MODEL.sig ...")]]
    """Signatures, all of one probe set."""

    names: Literal["label", "file"] = "label"
    """What models are called in the store: as their signatures say (zest sign --label), or after their files."""

    noted: Annotated[NotedOptions, arg(name="metadata")] = dataclasses.field(default_factory=NotedOptions)

    def run(self) -> None:
        if not self.signatures:
            raise UsageError("no signature given; make one with `zest sign MODEL --probes probes.npz -o model.sig`")
        for path in self.signatures:
            check_exists(path, "make it with `zest sign MODEL --probes probes.npz -o model.sig`")
        from zest_jax.progress import progress_bar

        noted = self.noted.metadata()
        store: SignatureStore | None = None
        added, present, done = 0, 0, 0
        origins: dict[str, Path] = {}
        with progress_bar("adding", len(self.signatures), unit="signatures", show=self.progress) as update:
            for group in _groups(self.signatures):
                signatures = [self._read(path, origins) for path in group]
                try:
                    store = store or open_or_create(self.store, signatures)
                    found = store.add(signatures, metadata=noted)
                except Exception:
                    if added:
                        note(
                            f"{counted(added, 'signature was', 'signatures were')} added before; the same command goes on after "
                            f"{'it' if added == 1 else 'them'}"
                        )
                    raise
                added, present, done = added + len(found.added), present + len(found.present), done + len(group)
                update(done)
        assert store is not None
        there = f", {already_there(present)}" if present else ""
        note(f"added {added} to {self.store}{there}; it holds {counted(len(store), 'model')} (version {store.version})")

    def _read(self, path: Path, origins: dict[str, Path]) -> "Signature":
        signature = read_signature(path)
        if self.names == "file":
            signature = dataclasses.replace(signature, label=path.stem)
        try:
            check_text("label", signature.label)
        except ValueError as error:
            other = "rename the file" if self.names == "file" else "--names file calls it after its file"
            raise UsageError(f"{path} cannot be added: its {str(error).replace('`', '')}; {other}") from None
        if signature.label in origins:
            raise UsageError(
                f"{origins[signature.label]} and {path} are both called {signature.label!r}; in a store names are unique: "
                "--names file calls them after their files"
            )
        origins[signature.label] = path
        return signature


@dataclasses.dataclass(frozen=True, kw_only=True)
class List(Common):
    """Show the models of a store, or its versions."""

    store: Positional[StorePath]
    """Folder or URL of the store."""

    where: Annotated[FilterOptions, arg(name="filter")] = dataclasses.field(default_factory=FilterOptions)

    version: Annotated[int | None, _VERSION] = None
    """Show the store as it was at this version."""

    versions: Annotated[bool, OFF] = False
    """Show the versions instead of the models."""

    json: Annotated[bool, OFF] = False
    """Print JSON."""

    def run(self) -> None:
        from zest_jax.screening import Store

        store = Store.open(self.store, version=self.version)
        if self.versions:
            self._print_versions(store)
            return
        entries = store.entries(self.where.filter())
        if self.json:
            header = dataclasses.asdict(store.header)
            print_json(
                {"store": self.store, "version": store.version, **header, "models": [as_json(e) for e in entries]}
            )
            return
        print_entries(entries)
        note(
            f"{len(entries)} of {len(store)} models; version {store.version}; probe set {store.header.probe_hash[:16]}"
        )

    def _print_versions(self, store: "SignatureStore") -> None:
        versions = store.versions()
        if self.json:
            print_json([{"version": each.number, "made": each.made.isoformat()} for each in versions])
            return
        for each in versions:
            result_console().print(f"{each.number:6}  {each.made:%Y-%m-%d %H:%M:%S} UTC")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remove(Common):
    """Remove models from a store, all of them or, if one is not there, none; older versions keep them."""

    store: Positional[StorePath]
    """Folder or URL of the store."""

    models: Positional[Annotated[tuple[str, ...], arg(metavar="NAME ...")]]
    """Names of models, as `zest store list` shows them."""

    def run(self) -> None:
        if not self.models:
            raise UsageError("no model named; `zest store list` shows the names")
        from zest_jax.screening import Store

        store = Store.open(self.store)
        removed = store.remove(self.models)
        note(
            f"removed {len(removed.names)} from {self.store}; it holds {counted(len(store), 'model')}; version {removed.version} "
            "keeps the removed ones"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Common):
    """Write signatures of a store to files, one NAME.sig for each; a file that holds something else is never overwritten."""

    store: Positional[StorePath]
    """Folder or URL of the store."""

    models: Positional[
        Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all that meet the filter)")]
    ] = ()
    """Names of models, as `zest store list` shows them."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FOLDER")]
    """Folder for the files; it is made if it does not exist."""

    where: Annotated[FilterOptions, arg(name="filter")] = dataclasses.field(default_factory=FilterOptions)

    version: Annotated[int | None, _VERSION] = None
    """Take them from this version of the store: the way back to what was removed."""

    def run(self) -> None:
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"--output {self.output} is a file; name a folder")
        if self.models and self.where != FilterOptions():
            raise UsageError("name models, or give a filter; not both")
        from zest_jax.progress import progress_bar
        from zest_jax.screening import Store

        store = Store.open(self.store, version=self.version)
        names = list(self.models) or [entry.name for entry in store.entries(self.where.filter())]
        if not names:
            if self.where == FilterOptions():
                raise UsageError(f"{self.store} holds no models; nothing to export")
            raise UsageError(f"no model of {self.store} meets the filter ({self.where.filter()}); nothing to export")
        self.output.mkdir(parents=True, exist_ok=True)
        written = 0
        with progress_bar("exporting", len(names), unit="signatures", show=self.progress) as update:
            for start in range(0, len(names), 32):
                for signature in store.load(names[start : start + 32]):
                    written += self._write(signature)
                update(min(start + 32, len(names)))
        same = f", {already_there(len(names) - written)}" if written < len(names) else ""
        note(f"wrote {counted(written, 'signature')} to {self.output}{same}")

    def _write(self, signature: "Signature") -> bool:
        from zest_jax.screening.layout import digest_of

        # Names may hold what file names may not.
        path = self.output / f"{quote(signature.label, safe=' ()+,=@')}.sig"
        if path.exists():
            if path.is_file() and digest_of(path.read_bytes()) == digest_of(signature.to_bytes()):
                return False
            raise UsageError(f"{path} exists and holds something else; move it away, or export to another folder")
        signature.save(path)
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Common):
    """Read every model of a store and check it; exit code 1 if anything is damaged.

    Signatures are checked against their SHA-256; sketches, names, classes, R2 and versions against the signatures;
    architecture, data set, owner and dates against a SHA-256 of their own. That finds damage, not a forger who computes them
    anew.
    """

    store: Positional[StorePath]
    """Folder or URL of the store."""

    version: Annotated[int | None, _VERSION] = None
    """Check this version of the store."""

    json: Annotated[bool, OFF] = False
    """Print JSON."""

    def run(self) -> None:
        from zest_jax.errors import StoreError
        from zest_jax.screening import Store, verify

        store = Store.open(self.store, version=self.version)
        problems = list(verify(store))
        if self.json:
            print_json(
                {"store": self.store, "version": store.version, "problems": [each._asdict() for each in problems]}
            )
        else:
            for each in problems:
                result_console().print(f"{each.name or '(unknown)'}: {each.text}", soft_wrap=True)
        if problems:
            concerned = len({each.name for each in problems})
            verb = "is" if concerned == 1 else "are"
            raise StoreError(
                f"{concerned} of the models of {self.store} {verb} damaged; what an older version of the store (`--version`) or "
                "a backup still has can be exported, removed and added again"
            )
        note(
            f"{self.store}: the signatures of all {len(store)} models are as they were added, and sketches, names, classes, R2 "
            f"and versions agree with them; architecture, data, owner and dates are as noted (version {store.version})"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compact(Common):
    """Put the small files that many small additions leave together, so that searches open fewer; older versions keep theirs."""

    store: Positional[StorePath]
    """Folder or URL of the store."""

    def run(self) -> None:
        from zest_jax.screening import Store

        store = Store.open(self.store)
        replaced = store.compact()
        note(f"put {replaced} files together; {self.store} has {store.n_files()} (version {store.version})")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Store:
    """Keep the signatures of many models, of one probe set, with what is known of them, and take them out again."""

    what: (
        Annotated[Add, tyro.conf.subcommand("add")]
        | Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Remove, tyro.conf.subcommand("remove")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
        | Annotated[Compact, tyro.conf.subcommand("compact")]
    )


def open_or_create(uri: str, signatures: "Sequence[Signature]") -> "SignatureStore":
    """Open the store, or make it for signatures like these, and say so."""
    from zest_jax.screening.opening import open_or_create

    store, made = open_or_create(uri, signatures)
    if made:
        note(f"made the store {uri} for probe set {signatures[0].probe_hash[:16]}")
    return store


def already_there(n: int) -> str:
    """Say that so many were in the store before.

    >>> already_there(1), already_there(2)
    ('1 was there already', '2 were there already')
    """
    return f"{n} {'was' if n == 1 else 'were'} there already"


def _groups(paths: tuple[Path, ...]) -> Iterator[list[Path]]:
    group: list[Path] = []
    size = 0
    for path in paths:
        if group and (len(group) == GROUP or size + path.stat().st_size > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(path)
        size += path.stat().st_size
    yield group
