"""Probes of texts: words, masks over them, and what models are asked."""

import contextlib
from typing import Any

import jax
import numpy as np
import pytest

import zest_jax as zest
from zest_jax.blackbox.protocol import TextSpec
from zest_jax.data.tokens import Tokenizer
from zest_jax.probes import ProbeSet, segment_texts, text_probes
from zest_jax.probes.composition import compose_batch, probe_arrays
from zest_jax.probes.strings import StringComposer
from zest_jax.probes.words import has_word

TEXTS = [
    "The cat sat on the mat, and the cat slept.",
    "A dog -(barks)- at the cat; loudly!",
    "not-so-good film... 100% a waste (of time)",
    "one",
    "naïve café, ﬁne ½ day — 北京 is far",
]
ODD = [
    "Foo™ and bar, №5 of 5㎏",
    "cafe\u0301 noir nai\u0308ve ici",
    "हिन्दी भाषा अच्छी है",
    "می\u200cخواهم بروم",
]


def labels(text, method="words"):
    return segment_texts([text], method)[0].tolist()


class TestWords:
    def test_the_same_word_is_one_segment(self):
        assert labels("to be, to") == [0, 0, -1, 1, 1, -1, -1, 0, 0]

    def test_case_makes_a_difference_as_in_lime(self):
        assert max(labels("The the")) == 1

    def test_every_occurrence_on_its_own(self):
        assert labels("to be, to", "occurrences") == [0, 0, -1, 1, 1, -1, -1, 2, 2]

    def test_segments_of_ones_own(self):
        assert labels("one. two. ", lambda text: [(5, 9), (0, 4)]) == [0, 0, 0, 0, -1, 1, 1, 1, 1, -1]

    def test_after_the_end_nothing_is_masked(self):
        assert segment_texts(["a", "ab c"])[0].tolist() == [0, -1, -1, -1]

    @pytest.mark.parametrize(
        ("method", "message"),
        [
            ("letters", "unknown segments 'letters' of a text; choose 'words', 'occurrences'"),
            (lambda text: [(0, 3), (2, 5)], r"returned \(2, 5\) for text 0 of 7 characters; .* not overlap"),
            (lambda text: [(0, 99)], r"returned \(0, 99\)"),
            (lambda text: [(3, 3)], r"returned \(3, 3\)"),
            (lambda text: "no", "return the places of its segments"),
            (lambda text: [], "text 0 has no word"),
        ],
    )
    def test_what_is_refused(self, method, message):
        with pytest.raises(ValueError, match=message):
            segment_texts(["one two"], method)

    def test_no_word(self):
        assert not has_word("?!")
        with pytest.raises(ValueError, match=r"text 1 has no word \('\?!'\)"):
            segment_texts(["a", "?!"])


class TestProbes:
    def test_references_masks_and_repeats(self):
        probes = text_probes(TEXTS, 5, 40, seed=3)
        assert probes.modality == "text"
        assert probes.n_segments.tolist() == [len(set(labels(t)) - {-1}) for t in probes.references]
        assert probes.masks[:, 0].sum(axis=1).tolist() == probes.n_segments.tolist()
        # A text of one word can only be kept or masked.
        one = probes.references.tolist().index("one")
        assert (probes.distinct.reference == one).sum() == 2

    def test_the_seed_decides(self):
        assert text_probes(TEXTS, 3, 20, seed=1).hash == text_probes(TEXTS, 3, 20, seed=1).hash
        assert text_probes(TEXTS, 3, 20, seed=1).hash != text_probes(TEXTS, 3, 20, seed=2).hash

    def test_words_of_a_text_and_fill_are_part_of_the_hash(self):
        base = text_probes(TEXTS, 5, 20)
        others = [
            text_probes([*TEXTS[:-1], TEXTS[-1] + "!"], 5, 20),
            text_probes(TEXTS, 5, 20, fill="[UNK]"),
            text_probes(TEXTS, 5, 20, segmenter="occurrences"),
        ]
        assert len({base.hash, *(other.hash for other in others)}) == 4

    def test_file(self, tmp_path):
        probes = text_probes([*TEXTS, "ends with nothing\x00"], 6, 20, fill="[MASK]")
        probes.save(tmp_path / "p.npz")
        again = ProbeSet.load(tmp_path / "p.npz")
        assert again.hash == probes.hash
        assert again.references.tolist() == probes.references.tolist()
        assert (again.modality, again.fill.tolist(), again.settings) == ("text", ["[MASK]"], probes.settings)

    def test_stratified_by_labels_and_by_a_model(self):
        texts = ["good film"] * 8 + ["bad film"] * 2
        model = zest.from_texts(lambda batch: [[t.count("good"), t.count("bad")] for t in batch])
        for how in ({"labels": [0] * 8 + [1] * 2}, {"model": model}):
            probes = text_probes(texts, 4, 20, references="stratified", **how)
            assert sorted(probes.references.tolist()) == ["bad film"] * 2 + ["good film"] * 2

    @pytest.mark.parametrize(
        ("texts", "message"),
        [
            (["a b", ""], "text 1 is empty"),
            (["a b", " \n"], "text 1 is empty"),
            (["a b", None], "text 1 is a NoneType, not a string"),
            (["a b", 3.5], "text 1 is a float"),
            (["a b", b"bytes"], "text 1 is a bytes"),
            (["a b", "\udcff c"], r"text 1 holds bytes that are not UTF-8 \(at character 0\)"),
            ("a b", "one text arrived where a pool"),
            (["a b", "..."], r"1 of the 2 texts chosen have no word, first text 1 of the pool \('...'\)"),
        ],
    )
    def test_bad_texts_are_named(self, texts, message):
        with pytest.raises(ValueError, match=message):
            text_probes(texts, len(texts) if isinstance(texts, list) else 1, 20)

    def test_one_of_several_with_one_word(self):
        with pytest.warns(
            UserWarning, match=r"1 of 2 references have one word \(K = 1\), first reference 1: they tell one"
        ):
            text_probes(["a good film with good music", "good"], 2, 40, references="first")

    def test_texts_of_one_word_are_blind(self):
        with pytest.warns(UserWarning, match=r"2 of 2 references have a single segment .* longer texts"):
            probes = text_probes(["one", "two"], 2, 20)
        with pytest.warns(UserWarning, match="gave the same outputs whatever was masked"):
            signature = zest.sign(zest.from_texts(lambda batch: [[1.0, 2.0] for _ in batch]), probes)
        with pytest.raises(zest.ZestError, match="says nothing about the model"):
            zest.distance(signature, signature)

    def test_more_words_than_masks(self):
        with pytest.warns(UserWarning, match="8 masks cannot determine the weights of a reference with 9 words"):
            text_probes(["a b c d e f g h i"], 1, 8)

    def test_a_fill_is_one_string(self):
        with pytest.raises(ValueError, match="for texts give one string"):
            text_probes(TEXTS, 2, 20, fill=0.5)

    def test_segments_that_do_not_fit_the_texts(self):
        arrays = {"references": ["ab", "c"], "masks": np.ones((2, 3, 1)), "fill": "", "modality": "text"}
        with pytest.raises(ValueError, match=r"the texts need \(2, 2\), one label per character"):
            ProbeSet.from_arrays(segments=np.zeros((2, 3), int), **arrays)
        with pytest.raises(ValueError, match="reference 1 go on after the end"):
            ProbeSet.from_arrays(segments=np.zeros((2, 2), int), **arrays)
        with pytest.raises(ValueError, match="reference 1 has no segment that could be masked"):
            ProbeSet.from_arrays(segments=np.array([[0, 0], [-1, -1]]), **arrays)


class TestComposition:
    def test_the_first_is_the_text_itself(self):
        probes = text_probes(TEXTS, 5, 20)
        for i, text in enumerate(probes.references):
            assert zest.compose(probes, i, slice(1))[0] == text

    def test_words_are_taken_out_and_nothing_grows_together(self):
        probes = text_probes(["not-so-good film"], 1, 3)
        texts = StringComposer(probes)(
            np.zeros(3, np.int32), np.packbits([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]], axis=1)
        )
        assert texts.tolist() == ["not- -good ", "- - ", "-so-good film"]

    def test_words_are_replaced(self):
        probes = text_probes(["the cat, the dog"], 1, 3, fill="UNKWORDZ")
        texts = StringComposer(probes)(np.zeros(1, np.int32), np.packbits([[0, 1, 1]], axis=1))
        assert texts.tolist() == ["UNKWORDZ cat, UNKWORDZ dog"]

    @pytest.mark.parametrize("fill", ["", "[UNK]", "UNKWORDZ"])
    @pytest.mark.parametrize("segmenter", ["words", "occurrences"])
    @pytest.mark.parametrize("length", [3, 12, 40])
    def test_on_the_device_as_on_the_host(self, fill, segmenter, length):
        """Token ids composed on the device are what the tokenizer makes of the composed strings, cut texts included."""
        probes = text_probes(TEXTS, 5, 50, fill=fill, segmenter=segmenter)
        tokenizer = Tokenizer.of_texts(TEXTS[:3], vocabulary=20, length=length)
        with pytest.warns(UserWarning, match="texts have more than") if length < 40 else contextlib.nullcontext():
            arrays = probe_arrays(probes, None, TextSpec(tokenizer=tokenizer))
        distinct = probes.distinct
        found = jax.jit(compose_batch)(arrays, distinct.reference, distinct.packed)
        strings = StringComposer(probes)(distinct.reference, distinct.packed)
        ids, lengths = tokenizer.encode_with_lengths(strings.tolist())
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_array_equal(found.lengths, lengths)

    @pytest.mark.parametrize("fill", ["", "[UNK]"])
    def test_words_of_other_scripts_are_whole(self, fill):
        probes = text_probes(ODD, 4, 40, fill=fill)
        tokenizer = Tokenizer.of_texts(ODD, length=20)
        arrays, distinct = probe_arrays(probes, None, TextSpec(tokenizer=tokenizer)), probes.distinct
        found: Any = compose_batch(arrays, distinct.reference, distinct.packed)
        strings = StringComposer(probes)(distinct.reference, distinct.packed)
        np.testing.assert_array_equal(found.ids, tokenizer.encode(strings.tolist()))

    def test_signs_inside_a_token_are_told_of(self):
        probes = text_probes(["x [UNK] y"], 1, 20)
        with pytest.warns(UserWarning, match=r"1 tokens hold signs beside a word \(first '\[UNK\]'\)"):
            probe_arrays(probes, None, TextSpec(tokenizer=Tokenizer.of_texts(["x y"], length=9)))

    def test_long_texts_are_counted(self):
        probes = text_probes(TEXTS, 5, 20)
        with pytest.warns(UserWarning, match=r"1 of 5 texts have more than the 13 tokens .* \(the longest 15\)"):
            probe_arrays(probes, None, TextSpec(tokenizer=Tokenizer.of_texts(TEXTS, length=13)))

    def test_a_fill_of_several_tokens_is_refused(self):
        probes = text_probes(TEXTS, 5, 20, fill="un known")
        with pytest.raises(ValueError, match="'un known', which is 2 tokens"):
            probe_arrays(probes, None, TextSpec(tokenizer=Tokenizer.of_texts(TEXTS)))

    def test_tokens_across_segments_are_refused(self):
        probes = text_probes(["word"], 1, 20, segmenter=lambda text: [(0, 2), (2, 4)])
        with pytest.raises(ValueError, match=r"the token 'word' of reference 0 lies in 2 segments"):
            probe_arrays(probes, None, TextSpec(tokenizer=Tokenizer.of_texts(TEXTS)))

    def test_texts_need_a_tokenizer_on_the_device(self):
        with pytest.raises(ValueError, match="only for a model with a tokenizer"):
            probe_arrays(text_probes(TEXTS, 2, 20))
