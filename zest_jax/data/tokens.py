"""Texts to token ids: words of the training texts by frequency, with Hugging Face's `tokenizers`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from zest_jax.errors import missing_extra

PADDING, UNKNOWN = "[PAD]", "[UNK]"


class Tokenizer:
    """Words in lower case and signs, numbered by frequency; 0 is padding, 1 an unknown word.

    Made by `Tokenizer.of_texts`; `to_json` and `from_json` store it.

    >>> tokenizer = Tokenizer.of_texts(["A cat sat.", "A dog sat!"], vocabulary=6, length=4)
    >>> tokenizer.encode(["a bird sat", ""]).tolist()
    [[2, 1, 3, 0], [0, 0, 0, 0]]
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def of_texts(cls, texts: Iterable[str], *, vocabulary: int = 20_000, length: int = 128) -> "Tokenizer":
        """Count the words of `texts` and keep the most frequent.

        Args:
            texts: the training texts.
            vocabulary: ids in all, padding and unknown included; at least 3.
            length: tokens that are kept of each text; shorter ones are padded.

        Raises:
            MissingExtraError: `tokenizers` is not installed.
            ValueError: a size is too small.
        """
        if vocabulary < 3:
            raise ValueError(f"`vocabulary` is {vocabulary}; give at least 3: padding, unknown and a word")
        if length < 1:
            raise ValueError(f"`length` is {length}; give at least 1 token")
        library = _library()
        tokenizer = library.Tokenizer(library.models.WordLevel(unk_token=UNKNOWN))
        tokenizer.normalizer = library.normalizers.Sequence(
            [library.normalizers.NFKC(), library.normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
        trainer = library.trainers.WordLevelTrainer(
            vocab_size=vocabulary, special_tokens=[PADDING, UNKNOWN], show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.enable_padding(pad_id=0, pad_token=PADDING, length=length)
        tokenizer.enable_truncation(length)
        return cls(tokenizer)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Token ids int32 [N, length]."""
        return np.array([found.ids for found in self._tokenizer.encode_batch_fast(list(texts))], np.int32)

    def to_json(self) -> str:
        """Everything, as `from_json` reads it."""
        return self._tokenizer.to_str()

    @classmethod
    def from_json(cls, stored: str) -> "Tokenizer":
        """Read what `to_json` made.

        Raises:
            ValueError: it is no tokenizer.
        """
        try:
            return cls(_library().Tokenizer.from_str(stored))
        except ImportError:
            raise
        except Exception as error:
            raise ValueError(f"the stored tokenizer cannot be read ({error})") from error


def as_stored(inputs: np.ndarray, tokenizer: str | None, *, origin: str) -> np.ndarray:
    """Turn texts into the token ids that a model takes; other inputs stay as they are.

    Raises:
        ValueError: texts are given to a model without a tokenizer.
    """
    if inputs.dtype != object:
        return inputs
    if tokenizer is None:
        raise ValueError(
            f"{origin} holds texts, and the model takes none: it has no tokenizer; train it on texts first"
        )
    return Tokenizer.from_json(tokenizer).encode(list(inputs))


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise missing_extra("tokenizers", "train") from error
    return tokenizers
