"""Texts from data sets in the format of TensorFlow Datasets, read without TensorFlow."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from zest_jax.data.reading import ReadOptions
from zest_jax.data.text_rows import TextRow
from zest_jax.data.tfds import label_feature, locate, open_builder, open_split
from zest_jax.errors import FileFormatError, WrongFileError
from zest_jax.progress import progress_bar

_BLOCK = 512


class TextRecords(NamedTuple):
    """Texts of a split as they are stored, and what the data set says about them."""

    records: Sequence[Any]
    parts: tuple[str, ...]
    label: str | None
    class_names: tuple[str, ...] | None
    source: str

    def read(self, row: int) -> tuple[str, int]:
        """One text and its class (0 without classes); bytes that are not UTF-8 are kept by `surrogateescape`.

        Raises:
            Exception: of any kind; the record is damaged.
        """
        record = self.records[row]
        text = " ".join(filter(None, (_decoded(record[part]).strip() for part in self.parts)))
        return text, int(record[self.label]) if self.label else 0


def open_texts(source: str, split: str, column: str | None = None) -> TextRecords:
    """Open a split of a prepared data set with texts, without reading any.

    A title and a description (AG News) become one text with a space between them.

    Raises:
        FileFormatError: it is not clear which feature is the text, or there is no text feature `column`.
        MissingExtraError: tensorflow-datasets is not installed.
    """
    located = locate(source, split)
    builder = open_builder(located.folder, source)
    features = dict(builder.info.features)
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    label = label_feature(kinds)
    names = getattr(features[label], "names", None) if label else None
    return TextRecords(
        records=open_split(builder, located.split, source),
        parts=_text_features(kinds, column, source),
        label=label,
        class_names=tuple(names) if names else None,
        source=source,
    )


def read_records(opened: TextRecords, options: ReadOptions) -> tuple[Iterator[TextRow], int]:
    """Read the records one by one, and how many; what is wrong with one is told with it."""
    rows = options.rows(len(opened.records))

    def found() -> Iterator[TextRow]:
        for row in rows:
            name = f"{opened.source} record {row}"
            try:
                text, label = opened.read(int(row))
            except Exception as error:
                yield TextRow(name, fault=f"it cannot be read ({error})")
            else:
                yield TextRow(name, text, label if opened.label else None)

    return found(), len(rows)


def load_texts(source: str, options: ReadOptions) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    """Read the texts of a prepared data set as an array of `str` objects [N], their classes int64 [N], and class names.

    Bytes that are not UTF-8 become U+FFFD, with a warning that counts the texts.

    Raises:
        FileFormatError: it is not clear which feature is the text, or a record cannot be read.
    """
    opened = open_texts(source, options.split)
    rows = options.rows(len(opened.records))
    texts = np.empty(len(rows), object)
    labels = np.zeros(len(rows), np.int64)
    replaced: list[int] = []
    with progress_bar(f"reading {source}", len(rows), unit="texts", show=options.progress) as update:
        for i, row in enumerate(rows):
            try:
                text, labels[i] = opened.read(int(row))
                # One U+FFFD for what decoding with "replace" makes one of, so that a text never depends on the way here.
                texts[i] = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            except Exception as error:
                raise FileFormatError(f"record {row} of {source} cannot be read ({error})") from error
            if texts[i] != text:
                replaced.append(int(row))
            if (i + 1) % _BLOCK == 0 or i + 1 == len(rows):
                update(i + 1)
    if replaced:
        warnings.warn(
            f"{len(replaced):,} of {len(rows):,} texts of {source} hold bytes that are not UTF-8 (the first is record "
            f"{replaced[0]}); they are read as U+FFFD",
            stacklevel=3,
        )
    return texts, labels if opened.label else None, opened.class_names


def _text_features(kinds: Mapping[str, str], column: str | None, source: str) -> tuple[str, ...]:
    texts = tuple(name for name, kind in kinds.items() if kind == "Text")
    listed = f"{source} has the text features {', '.join(sorted(texts)) or '(none)'}"
    if column is not None:
        if column not in texts:
            raise WrongFileError(f"{listed}, and no {column!r}; choose one of them, or leave `column` out")
        return (column,)
    if {"title", "description"} <= set(texts):
        return ("title", "description")
    if "text" in texts:
        return ("text",)
    if len(texts) == 1:
        return texts
    raise WrongFileError(f"{listed}; read are `title` with `description`, `text`, or the only one there is")


def _decoded(text: bytes | str) -> str:
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else str(text)
