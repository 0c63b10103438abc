"""The folder of a page's pictures: what a report wrote there is noted, so that no later one touches anything else."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from zest_jax.atomic import atomic_write

# Where it is noted which pictures were written for which page, and their SHA-256.
NOTED = "zest-report.json"
FORMAT = "zest-report-pictures"
# Names that pictures of reports have.
OURS = re.compile(r"(heat-map|family-tree|distances-by-reference|reference-\d+)\.png")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.png")
ADVICE = "move it away or name another page"


def picture_folder(path: Path) -> Path:
    """Where the pictures of a page go.

    >>> print(picture_folder(Path("reports/suspect.html")))
    reports/suspect_files
    """
    return path.with_name(f"{path.stem}_files")


def check_folder(path: Path, names: "frozenset[str] | set[str]" = frozenset()) -> None:
    """Refuse a page whose pictures would replace what no report of this page wrote.

    Args:
        path: of the page.
        names: of pictures to be written; those that reports usually have are meant anyway.

    Raises:
        ValueError: something of another page, or of the user's own, is in the way.
    """
    folder = picture_folder(path)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file, and the pictures go to a folder of that name; {ADVICE}")
    page, noted = _noted(folder)
    if page not in (None, path.name):
        raise ValueError(f"{folder} holds the pictures of {page}; {ADVICE}")
    for file in sorted(folder.iterdir()):
        if file.name in noted:
            if _digest(file) not in noted[file.name]:
                raise ValueError(f"{file} was changed since a report wrote it; {ADVICE}")
        elif file.name in names or OURS.fullmatch(file.name):
            raise ValueError(f"{file} was written by no report of {path.name}; {ADVICE}")


@contextlib.contextmanager
def pictures_beside(path: Path, files: Mapping[str, bytes]) -> Iterator[list[Path]]:
    """Write the pictures of a page beside it, and remove those of its former report when the block has written the page.

    Without pictures nothing is written, and those of the former report are removed. Whenever this is interrupted, all that was
    written is noted, so that the same command can be run again.

    Args:
        path: of the page.
        files: names and contents.

    Yields:
        the paths of the pictures.

    Raises:
        ValueError: something of another page, or of the user's own, is in the way; then nothing is written.
    """
    folder = picture_folder(path)
    if files:
        check_folder(path, set(files))
        folder.mkdir(exist_ok=True)
    page, noted = _noted(folder) if folder.is_dir() else (None, {})
    if page == path.name:
        # Which refuses what was changed.
        check_folder(path)
    elif not files:
        noted = {}
    new = {name: [hashlib.sha256(content).hexdigest()] for name, content in files.items()}
    if files:
        _note(folder, path, {name: noted.get(name, []) + new.get(name, []) for name in {**noted, **new}})
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(content)
    yield [folder / name for name in files]
    for name in noted.keys() - new.keys():
        (folder / name).unlink(missing_ok=True)
    if files:
        _note(folder, path, new)
    elif noted:
        (folder / NOTED).unlink()
        # Where nothing else is in it.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _note(folder: Path, path: Path, files: Mapping[str, list[str]]) -> None:
    told = {"format": FORMAT, "page": path.name, "files": files}
    with atomic_write(folder / NOTED) as file:
        file.write((json.dumps(told, indent=1, sort_keys=True) + "\n").encode())


def _noted(folder: Path) -> tuple[str | None, dict[str, list[str]]]:
    """The page that pictures were written for, and the SHA-256 that each may have."""
    file = folder / NOTED
    if not file.exists():
        return None, {}
    try:
        told = json.loads(file.read_bytes())
        files = {str(name): [str(digest) for digest in digests] for name, digests in told["files"].items()}
        if told["format"] != FORMAT or not all(map(PLAIN.fullmatch, files)):
            raise ValueError("it is no list of pictures")
        return str(told["page"]), files
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read ({error}); move {folder} away or name another page") from error


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
