"""Texts to token ids: words of the training texts by frequency, with Hugging Face's `tokenizers`."""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from zest_jax.errors import missing_extra

PADDING, UNKNOWN = "[PAD]", "[UNK]"


class Token(NamedTuple):
    """A piece of a text: its id, and where it stands, text[start:stop]."""

    id: int
    start: int
    stop: int


class Tokenizer:
    """Turns texts into token ids; two with the same settings and vocabulary are equal.

    Made by `Tokenizer.of_texts`: words in lower case and signs, numbered by frequency; 0 is padding, 1 an unknown word.
    `to_json` and `from_json` store it. Any `tokenizers.Tokenizer` of Hugging Face can be given as well, if it pads and
    truncates to one length.

    Args:
        tokenizer: a `tokenizers.Tokenizer` of Hugging Face.

    Raises:
        TypeError: it is none.
        ValueError: it does not pad and truncate at the end, to one length.

    >>> tokenizer = Tokenizer.of_texts(["A cat sat.", "A dog sat!"], vocabulary=6, length=4)
    >>> tokenizer.encode(["a bird sat", ""]).tolist()
    [[2, 1, 3, 0], [0, 0, 0, 0]]
    """

    def __init__(self, tokenizer: Any) -> None:
        """Take a `tokenizers.Tokenizer`.

        Raises:
            TypeError: it is none.
            ValueError: it does not pad and truncate at the end, to one length.
        """
        if not hasattr(tokenizer, "padding") or not hasattr(tokenizer, "truncation"):
            raise TypeError(
                f"a tokenizer is a `tokenizers.Tokenizer` of Hugging Face, or made by `Tokenizer.of_texts`, got a "
                f"{type(tokenizer).__name__}; a model with its own way to read strings goes through `from_texts`"
            )
        padding, truncation = tokenizer.padding, tokenizer.truncation
        if not padding or not truncation or padding["length"] != truncation["max_length"]:
            raise ValueError(
                "the tokenizer does not bring texts to one length; call its `enable_padding(length=...)` and "
                "`enable_truncation(...)` with the length that the model takes"
            )
        if padding["direction"] != "right" or truncation["direction"] != "right":
            raise ValueError("the tokenizer pads or truncates at the beginning; only the end is supported")
        self._tokenizer = tokenizer

    @property
    def length(self) -> int:
        """Tokens that a text is brought to."""
        return self._tokenizer.padding["length"]

    @property
    def padding_id(self) -> int:
        """What fills up short texts."""
        return self._tokenizer.padding["pad_id"]

    @property
    def vocabulary(self) -> int:
        """Number of different ids."""
        return self._tokenizer.get_vocab_size()

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of `to_json`, as hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

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

    def encode_with_lengths(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids int32 [N, length], and how many of each text are no padding, int32 [N].

        >>> tokenizer = Tokenizer.of_texts(["a cat"], vocabulary=4, length=3)
        >>> tokenizer.encode_with_lengths(["a cat", "cat"])[1].tolist()
        [2, 1]
        """
        found = self._tokenizer.encode_batch(list(texts))
        ids = np.array([text.ids for text in found], np.int32).reshape(len(texts), self.length)
        return ids, np.array([sum(text.attention_mask) for text in found], np.int32)

    def tokens(self, text: str) -> list[Token]:
        """All tokens of a text with their places, neither cut nor padded.

        Raises:
            ValueError: the tokenizer adds tokens that stand for nothing in the text.

        >>> tokenizer = Tokenizer.of_texts(["A cat sat."], vocabulary=9, length=2)
        >>> [(token.start, token.stop) for token in tokenizer.tokens("A cat sat.")]
        [(0, 1), (2, 5), (6, 9), (9, 10)]
        """
        found = self._uncut.encode(text)
        if any(found.special_tokens_mask):
            added = [t for t, special in zip(found.tokens, found.special_tokens_mask, strict=True) if special]
            raise ValueError(
                f"the tokenizer adds {', '.join(added)} to a text, which is not supported where ids are composed on the "
                "device; wrap the model as a function on strings (`from_texts`)"
            )
        return [Token(i, start, stop) for i, (start, stop) in zip(found.ids, found.offsets, strict=True)]

    @functools.cached_property
    def _uncut(self) -> Any:
        copy = _library().Tokenizer.from_str(self.to_json())
        copy.no_padding()
        copy.no_truncation()
        return copy

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
        raise missing_extra("tokenizers", "text") from error
    return tokenizers
