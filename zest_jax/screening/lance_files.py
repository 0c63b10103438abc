"""Lance, the format of a store: opening it, and its errors in words that help."""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zest_jax.errors import NotAStoreError, NotInStoreError, StoreError, missing_extra

# What systems say when there is no more room for a file.
_FULL = ("No space left", "quota exceeded", "File too large")
# Lance ends its messages with the place in its source.
_PLACE = re.compile(r",? (/[\w./-]+|\w[\w./-]*)\.rs:\d+(:\d+)?")
# Files made a moment before their writer looked at the clock; seconds.
_CLOCK = 2.0


def import_lance() -> Any:
    """The module `lance`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import lance
    except ImportError as error:
        raise missing_extra("pylance", "store") from error
    return lance


def local_folder(uri: str) -> Path | None:
    """The folder that a store lies in, or None where it is in an object store.

    >>> local_folder("models.store"), local_folder("s3://bucket/models.store")
    (PosixPath('models.store'), None)
    """
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if "://" in uri else Path(uri)


def open_dataset(uri: str, version: int | None, storage_options: Mapping[str, str] | None) -> Any:
    """Open a Lance data set, or return None where there is none.

    Raises:
        NotAStoreError: it is a file.
        StoreError: it cannot be opened, has no such version, or is damaged: a folder that holds data of models, but not what
            says which.
    """
    lance = import_lance()
    folder = local_folder(uri)
    if folder is not None and not folder.is_dir():
        if folder.exists():
            raise NotAStoreError(f"{uri} is a file, not a store; a store is a folder")
        return None
    options = dict(storage_options) if storage_options else None
    try:
        with told(uri, "open"):
            # A store is opened for one task; its reader needs no cache of gigabytes.
            return lance.dataset(uri, version=version, storage_options=options, metadata_cache_size_bytes=64 * 2**20)
    except StoreError as error:
        if version is not None:
            if (newest := open_dataset(uri, None, storage_options)) is None:
                return None
            with told(uri, "read"):
                there = sorted(int(each["version"]) for each in newest.versions())
            if version not in there:
                raise NotInStoreError(f"{uri} has no version {version}; it has {_numbers(there)}") from error
            raise
        if isinstance(error.__cause__, ValueError) and "was not found" in str(error.__cause__):
            if folder is not None and (files := [file for file in folder.glob("data/*.lance") if file.is_file()]):
                raise StoreError(
                    f"the store {uri} is damaged: data/ holds {len(files)} files of models, but no version in _versions/ names "
                    "them; restore _versions from a backup (nothing was changed)"
                ) from error
            return None
        raise


def other_files(uri: str) -> list[str]:
    """Files in the folder of a store that are none of a store's; none where there is no folder."""
    folder = local_folder(uri)
    if folder is None or not folder.is_dir():
        return []
    # What a creation that was killed leaves behind may be there; no model was in it.
    found = sorted(p.name for p in folder.iterdir() if p.name not in ("data", "_transactions", "_versions"))
    return found + sorted(f"data/{p.name}" for p in folder.glob("data/*"))


def check_room(uri: str) -> None:
    """Refuse to make a store in a folder that holds something else.

    Raises:
        StoreError: it does.
    """
    if found := other_files(uri):
        raise NotAStoreError(
            f"{uri} is a folder that holds other files ({', '.join(found[:3])}); name a folder that does not exist"
        )


@contextlib.contextmanager
def told(uri: str, doing: str) -> Iterator[None]:
    """Turn what Lance raises into a StoreError: `doing` is what was tried, such as "add to".

    Nothing but calls of Lance belongs inside: any ValueError is taken for one of its own.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise StoreError(_in_words(uri, doing, str(error))) from error
    except BaseException as error:
        # Rust's panics, which damaged files can set off, are no Exceptions.
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(_in_words(uri, doing, str(error))) from error


def _in_words(uri: str, doing: str, text: str) -> str:
    short = _PLACE.sub("", " ".join(text.split()))
    short = short if len(short) <= 300 else short[:300] + "..."
    start = f"cannot {doing} the store {uri}"
    if any(sign in text for sign in _FULL):
        return f"{start}: there is no room left ({short}); the store is as it was: make room and do it again"
    if "Permission denied" in text or "Read-only file system" in text:
        return f"{start}: it may not be written ({short}); the store is as it was"
    if "Not found" in text and "_versions" not in text:
        return (
            f"{start}: a file of it is missing ({short}); `zest store verify` tells what can still be read, "
            "a backup brings the file back"
        )
    return f"{start} ({short})"


def _numbers(versions: list[int]) -> str:
    """Versions in words.

    >>> _numbers([1, 2, 3]), _numbers([4]), _numbers([1, 5, 6])
    ('versions 1 to 3', 'version 4', 'versions 1, 5, 6')
    """
    if len(versions) == 1:
        return f"version {versions[0]}"
    if versions == list(range(versions[0], versions[-1] + 1)):
        return f"versions {versions[0]} to {versions[-1]}"
    return f"versions {', '.join(map(str, versions))}"


def settle(folder: Path, since: float) -> None:
    """Have the disk keep what was written in a store since a time (`time.time()`), as Lance leaves that to the system.

    A process that is killed loses nothing by that; a machine that loses power may.
    """
    for part in ("data", "_deletions", "_indices", "_transactions", "_versions"):
        directory = folder / part
        if not directory.is_dir():
            continue
        with os.scandir(directory) as files:
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # another writer's, renamed or taken away meanwhile
                    if file.is_file() and file.stat().st_mtime >= since - _CLOCK:
                        _flush(file.path)
        _flush(str(directory))
    _flush(str(folder))


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now() -> float:
    """Seconds since 1970, for `settle`."""
    return time.time()
