"""Texts with some of their words masked, as token ids on the device: for JAX models."""

import dataclasses
import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from zest_jax.blackbox.protocol import Tokens
from zest_jax.data.tokens import Token, Tokenizer
from zest_jax.probes.probe_set import ProbeSet

# Label of a place after the last token of a text.
_END = -2


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("ids", "labels", "first"),
    meta_fields=("length", "padding", "replacement"),
)
@dataclasses.dataclass(frozen=True)
class TokenArrays:
    """The references of a ProbeSet as token ids, whole: what remains of a long text moves up when words are taken out.

    Attributes:
        ids: int32 [refs, tokens].
        labels: the segment that a token belongs to, int32 [refs, tokens]; -1 is never masked, -2 after the end.
        first: whether a token is the first of its word, bool [refs, tokens].
        length: tokens that the model takes.
        padding: id after the end.
        replacement: id that a masked word becomes, or None to take it out.
    """

    ids: jax.Array
    labels: jax.Array
    first: jax.Array
    length: int
    padding: int
    replacement: int | None


def token_arrays(probes: ProbeSet, tokenizer: Tokenizer) -> TokenArrays:
    """Tokenize the references of a ProbeSet of texts, and find the segment of each token.

    Raises:
        ValueError: a token lies in two segments, the fill is more than one token, or the tokenizer adds tokens.

    Warns:
        UserWarning: texts are longer than the model takes.
    """
    texts = [tokenizer.tokens(text) for text in probes.references]
    most = max(1, *map(len, texts))
    shape = len(texts), most
    ids, labels = np.full(shape, tokenizer.padding_id, np.int32), np.full(shape, _END, np.int32)
    first = np.zeros(shape, bool)
    for i, tokens in enumerate(texts):
        ids[i, : len(tokens)] = [token.id for token in tokens]
        labels[i, : len(tokens)] = [_label(token, probes, i) for token in tokens]
        first[i, : len(tokens)] = _first(tokens, labels[i], probes.segments[i])
    _warn_of_signs(texts, probes)
    long = sum(len(tokens) > tokenizer.length for tokens in texts)
    if long:
        warnings.warn(
            f"{long} of {len(texts)} texts have more than the {tokenizer.length} tokens that the model takes (the longest "
            f"{most}); it sees the first {tokenizer.length} of what is not masked",
            stacklevel=2,
        )
    return TokenArrays(
        jnp.asarray(ids),
        jnp.asarray(labels),
        jnp.asarray(first),
        tokenizer.length,
        tokenizer.padding_id,
        _replacement(str(probes.fill[0]), tokenizer),
    )


def compose_tokens(
    arrays: TokenArrays,
    reference: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    packed: UInt8[Array, "batch octets"] | UInt8[np.ndarray, "batch octets"],
) -> Tokens:
    """Compose perturbed texts as ids: int32 [batch, length], padded at the end, with their lengths int32 [batch].

    What the tokenizer makes of the strings that `StringComposer` composes, if signs that follow each other without a blank
    are tokens of their own.
    """
    ids, labels = arrays.ids[reference], arrays.labels[reference]
    bits = jnp.unpackbits(packed, axis=-1)
    kept = (jnp.take_along_axis(bits, jnp.maximum(labels, 0), axis=1, mode="clip") > 0) & (labels >= 0) | (labels == -1)
    stays = kept
    if arrays.replacement is not None:
        ids = jnp.where(kept, ids, arrays.replacement)
        stays = kept | (arrays.first[reference] & (labels >= 0))
    # Each token that stays moves to the place that the number of those before it tells.
    place = jnp.where(stays, jnp.cumsum(stays, axis=1) - 1, arrays.length)
    rows = jnp.arange(len(ids))[:, None]
    empty = jnp.full((len(ids), arrays.length), arrays.padding, jnp.int32)
    return Tokens(
        empty.at[rows, place].set(ids, mode="drop"), jnp.minimum(stays.sum(1), arrays.length).astype(jnp.int32)
    )


def _label(token: Token, probes: ProbeSet, i: int) -> int:
    found = np.unique(probes.segments[i, token.start : token.stop])
    found = found[found >= 0]
    if len(found) > 1:
        text = probes.references[i][token.start : token.stop]
        raise ValueError(
            f"the token {text!r} of reference {i} lies in {len(found)} segments ({found.tolist()[:4]}); the model's tokens must "
            "not cross the borders of segments: use a segmenter that cuts between its tokens, or wrap the model as a function "
            "on strings (`from_texts`)"
        )
    return int(found[0]) if len(found) else -1


def _warn_of_signs(texts: list[list[Token]], probes: ProbeSet) -> None:
    """Tell of tokens that hold a word and a sign beside it, which is taken out with the word here and stays in a string."""
    mixed = []
    for i, tokens in enumerate(texts):
        for token in tokens:
            labels, text = probes.segments[i, token.start : token.stop], probes.references[i][token.start : token.stop]
            if (labels >= 0).any() and any(a < 0 and not c.isspace() for a, c in zip(labels, text, strict=True)):
                mixed.append(text)
    if mixed:
        warnings.warn(
            f"{len(mixed)} tokens hold signs beside a word (first {mixed[0]!r}): they are taken out together with it, unlike in "
            "a model that takes strings",
            stacklevel=3,
        )


def _first(tokens: list[Token], labels: np.ndarray, characters: np.ndarray) -> list[bool]:
    """Whether each token begins a word: the one before it belongs to another, or the text between them does."""
    found = []
    for j, token in enumerate(tokens):
        before = tokens[j - 1].stop if j else 0
        together = j > 0 and labels[j - 1] == labels[j] and (characters[before : token.start] == labels[j]).all()
        found.append(not together)
    return found


def _replacement(fill: str, tokenizer: Tokenizer) -> int | None:
    if not fill:
        return None
    tokens = tokenizer.tokens(fill)
    if len(tokens) != 1:
        raise ValueError(
            f"masked words become {fill!r}, which is {len(tokens)} tokens for the model's tokenizer; choose a fill that is one, "
            'such as its unknown or mask token, or "" to take words out'
        )
    return tokens[0].id
