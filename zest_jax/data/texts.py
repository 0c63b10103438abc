"""Read the pool of texts from which references are chosen: a text file, a table, JSON lines, or a TFDS data set."""

import os
from pathlib import Path
from typing import Literal

from zest_jax.data.reading import OnSkip, ReadOptions
from zest_jax.data.text_files import read_json_lines, read_lines, read_table
from zest_jax.data.text_records import open_texts, read_records
from zest_jax.data.text_rows import TextSet, text_set
from zest_jax.data.tfds import is_tfds_folder, is_tfds_name, not_found
from zest_jax.errors import WrongFileError

__all__ = ["TextSet", "kind_of_text_source", "load_text_pool"]

TextSource = Literal["lines", "table", "json", "tfds"]

_KIND_OF_ENDING: dict[str, TextSource] = {
    ".txt": "lines",
    ".text": "lines",
    ".csv": "table",
    ".tsv": "table",
    ".tab": "table",
    ".jsonl": "json",
    ".ndjson": "json",
}
TEXT_ENDINGS = frozenset(_KIND_OF_ENDING)


def load_text_pool(
    source: str | os.PathLike[str],
    *,
    column: str | None = None,
    split: str = "train",
    limit: int | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    on_skip: OnSkip | None = None,
    progress: bool | None = False,
) -> TextSet:
    """Read texts, each of which a model can be asked about.

    Texts stay as they are stored, but for the white space around the parts of a TFDS record. Bad are texts that are empty
    or hold only white space, bytes that are not UTF-8, NUL characters, what is no string (a number, null, a list), rows of
    a table with too few or too many cells, malformed JSON, and rows without a label where others have one.

    Args:
        source: one of
            a .txt file in UTF-8, one text a line; an empty line is a bad text, unless nothing follows it;
            a .csv or .tsv file whose first row names the columns;
            a .jsonl file with one JSON object or JSON string a line;
            the name of a data set prepared by TensorFlow Datasets ("ag_news_subset", "ag_news_subset:test"), or its
            folder. TensorFlow itself is not needed.
            In tables and JSON objects, `label` is the class: numbers if all are, else names.
        column: column, field or feature that holds the texts. None: `text`, or else the only one there is beside `label`;
            in TFDS, `title` and `description` with a space between them come first.
        split: of a data set with several, unless `source` names one.
        limit: read at most this many, bad ones included.
        seed: None reads the first `limit`, a number that many random ones.
        skip_bad: leave bad texts out, instead of raising an error that counts them and names the first.
        on_skip: called with the name and what is wrong, for every text left out.
        progress: show a bar on stderr; None: when stderr is a terminal.

    Raises:
        FileNotFoundError: there is no such file or prepared data set.
        FileFormatError: the source cannot be read, holds no texts, it is not clear which column they are in, or texts are
            bad.
        MissingExtraError: a TFDS data set is given and tensorflow-datasets is not installed.
        ValueError: an argument is out of range, or does not fit the source.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "reviews.csv"
    >>> _ = file.write_text('text,label\\n"Good, very good",praise\\n,blame\\nBad,blame\\n', encoding="utf-8")
    >>> pool = load_text_pool(file, skip_bad=True)
    >>> pool.texts.tolist(), pool.labels.tolist(), pool.class_names, pool.skipped
    (['Good, very good', 'Bad'], [1, 0], ('blame', 'praise'), ('reviews.csv line 3',))
    >>> load_text_pool(file)
    Traceback (most recent call last):
    zest_jax.errors.FileFormatError: 1 of 3 texts of ...reviews.csv cannot be used: reviews.csv line 3: it is empty. ...
    >>> folder.cleanup()
    """
    options = ReadOptions(split=split, limit=limit, seed=seed, skip_bad=skip_bad, on_skip=on_skip, progress=progress)
    kind = kind_of_text_source(source)
    if kind == "tfds":
        opened = open_texts(str(source), split, column)
        return text_set(*read_records(opened, options), str(source), options, opened.class_names)
    path = Path(source).expanduser()
    if kind == "lines":
        if column is not None:
            raise ValueError(f"`column` is {column!r}, but {source} has no columns: each of its lines is a text")
        found = read_lines(path, options)
    elif kind == "table":
        found = read_table(path, column, options)
    else:
        found = read_json_lines(path, column, options)
    return text_set(*found, str(source), options)


def kind_of_text_source(source: str | os.PathLike[str]) -> TextSource:
    """Say how `load_text_pool` will read a source.

    Args:
        source: as for `load_text_pool`.

    Returns:
        "lines", "table", "json" or "tfds".

    Raises:
        FileNotFoundError, FileFormatError: see `load_text_pool`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = Path(folder, "reviews.txt").write_text("a good film")
    ...     kind_of_text_source(f"{folder}/reviews.txt")
    'lines'
    """
    path = Path(source).expanduser()
    if not path.exists():
        if is_tfds_name(str(source)):
            return "tfds"
        raise not_found(str(source))
    if path.is_dir():
        if is_tfds_folder(path):
            return "tfds"
        raise WrongFileError(
            f"{path} is a folder, and no data set prepared by TFDS; give one file that holds all texts: .txt, .csv, .tsv or "
            ".jsonl"
        )
    kind = _KIND_OF_ENDING.get(path.suffix.lower())
    if kind is None:
        hint = "; if it holds one JSON value a line, call it .jsonl" if path.suffix.lower() == ".json" else ""
        raise WrongFileError(
            f"{path} is no file of texts by its ending; read are .txt (one text a line), .csv and .tsv (the first row names "
            f"the columns) and .jsonl (one JSON value a line){hint}"
        )
    return kind
