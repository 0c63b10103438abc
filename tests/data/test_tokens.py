"""Texts to token ids."""

import json

import numpy as np
import pytest

pytest.importorskip("tokenizers")
from zest_jax.data.tokens import Tokenizer, as_stored

TEXTS = ["The cat sat on the mat.", "the dog sat!", "THE end"]


def test_words_are_numbered_by_frequency_whatever_their_case():
    ids = Tokenizer.of_texts(TEXTS, vocabulary=50, length=8).encode(["the sat"])
    assert ids.dtype == np.int32
    assert ids.tolist() == [[2, 3, 0, 0, 0, 0, 0, 0]]


def test_only_the_most_frequent_words_are_kept():
    tokenizer = Tokenizer.of_texts(TEXTS, vocabulary=4, length=4)
    assert tokenizer.encode(["the sat cat bird"]).tolist() == [[2, 3, 1, 1]]


def test_long_texts_are_cut_and_short_ones_padded():
    tokenizer = Tokenizer.of_texts(TEXTS, vocabulary=50, length=3)
    assert tokenizer.encode(["the the the the the", "the", ""]).tolist() == [[2, 2, 2], [2, 0, 0], [0, 0, 0]]


def test_signs_are_tokens_of_their_own_and_wide_letters_are_plain_ones():
    tokenizer = Tokenizer.of_texts(TEXTS, vocabulary=50, length=3)
    first, second = tokenizer.encode(["mat.", "ｍａｔ ."])
    assert first.tolist() == second.tolist()
    assert (first > 1).sum() == 2


def test_the_same_texts_make_the_same_tokenizer():
    again = Tokenizer.of_texts(iter(TEXTS), vocabulary=50)
    assert again.to_json() == Tokenizer.of_texts(TEXTS, vocabulary=50).to_json()


def test_a_tokenizer_survives_being_stored():
    tokenizer = Tokenizer.of_texts(TEXTS, vocabulary=6, length=5)
    again = Tokenizer.from_json(tokenizer.to_json())
    np.testing.assert_array_equal(again.encode(TEXTS), tokenizer.encode(TEXTS))


@pytest.mark.parametrize("stored", ["", "{}", json.dumps({"model": "words"})])
def test_what_is_no_tokenizer_is_refused(stored):
    with pytest.raises(ValueError, match="the stored tokenizer cannot be read"):
        Tokenizer.from_json(stored)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"vocabulary": 2}, "`vocabulary` is 2; give at least 3"), ({"length": 0}, "`length` is 0; give at least 1")],
)
def test_sizes_out_of_range(sizes, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.of_texts(TEXTS, **sizes)


def test_texts_become_ids_and_other_inputs_stay():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    assert as_stored(images, None, origin="it") is images
    texts = np.array(TEXTS, object)
    tokenizer = Tokenizer.of_texts(TEXTS, length=6)
    np.testing.assert_array_equal(as_stored(texts, tokenizer.to_json(), origin="it"), tokenizer.encode(TEXTS))
    with pytest.raises(ValueError, match="sentences holds texts, and the model takes none"):
        as_stored(texts, None, origin="sentences")
