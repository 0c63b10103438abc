"""Texts from data sets in the format of TensorFlow Datasets, read without TensorFlow."""

from collections.abc import Mapping

import numpy as np

from zest_jax.data.reading import ReadOptions
from zest_jax.data.tfds import label_feature, locate, open_builder, open_split
from zest_jax.errors import FileFormatError
from zest_jax.progress import progress_bar

_BLOCK = 512


def load_texts(source: str, options: ReadOptions) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...] | None]:
    """Read the texts of a prepared data set as an array of `str` objects [N], their classes int64 [N], and class names.

    A title and a description (AG News) become one text with a space between them.

    Raises:
        FileFormatError: it is not clear which feature is the text, or a record cannot be read.
    """
    located = locate(source, options.split)
    builder = open_builder(located.folder, source)
    features = dict(builder.info.features)
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    parts, label = _text_features(kinds, source), label_feature(kinds)
    records = open_split(builder, located.split, source)
    rows = options.rows(len(records))
    texts = np.empty(len(rows), object)
    labels = np.zeros(len(rows), np.int64)
    with progress_bar(f"reading {source}", len(rows), unit="texts", show=options.progress) as update:
        for i, row in enumerate(rows):
            try:
                record = records[int(row)]
                texts[i] = " ".join(filter(None, (_decoded(record[part]).strip() for part in parts)))
                labels[i] = record[label] if label else 0
            except Exception as error:
                raise FileFormatError(f"record {row} of {source} cannot be read ({error})") from error
            if (i + 1) % _BLOCK == 0 or i + 1 == len(rows):
                update(i + 1)
    names = getattr(features[label], "names", None) if label else None
    return texts, labels if label else None, tuple(names) if names else None


def _text_features(kinds: Mapping[str, str], source: str) -> tuple[str, ...]:
    texts = tuple(name for name, kind in kinds.items() if kind == "Text")
    if {"title", "description"} <= set(texts):
        return ("title", "description")
    if "text" in texts:
        return ("text",)
    if len(texts) == 1:
        return texts
    raise FileFormatError(
        f"{source} has the text features {', '.join(sorted(texts)) or '(none)'}; read are `title` with `description`, `text`, or "
        "the only one there is"
    )


def _decoded(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
