"""Models that take strings: scikit-learn pipelines, Hugging Face classifiers and pipelines."""

import numpy as np
import pytest

import zest_jax as zest
from tests.making import texts
from tests.worlds import REVIEWS, words_of
from zest_jax.data.tokens import Tokenizer
from zest_jax.errors import ModelOutputError


@pytest.fixture(scope="module")
def text_probes():
    return zest.text_probes(REVIEWS, 5, 80)


class TestScikitLearn:
    def test_coefficients_of_a_bag_of_words_are_recovered(self):
        """Counts are linear in the occurrences of words: each word's weight is its coefficient times its count."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        data = texts(120)
        model = make_pipeline(CountVectorizer(token_pattern=r"\w+"), LogisticRegression()).fit(
            data.inputs, np.array(data.class_names)[data.labels]
        )
        probes = zest.text_probes(data.inputs, 12, 120)
        box = zest.from_sklearn(model, label="bag of words")
        signature = zest.sign(box, probes, intercept=True)
        assert signature.class_names == tuple(sorted(data.class_names))
        assert box.settings["scores"] == "decision_function"
        counter, head = (step for _, step in model.steps)
        vocabulary, coefficients = counter.vocabulary_, head.coef_
        for i in range(12):
            words = words_of(probes, i)
            times = np.array([probes.references[i].split().count(word) for word in words])
            expected = np.array([coefficients[:, vocabulary[word]] for word in words]) * times[:, None]
            np.testing.assert_allclose(signature.of_reference(i), expected, atol=1e-3)
            for c in range(3):
                assert words[signature.of_reference(i)[:, c].argmax()] == words[expected[:, c].argmax()]

    def test_tf_idf_tells_a_copy_from_another_model(self):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline

        data = texts(120)
        victim = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(data.inputs, data.labels)
        stolen = make_pipeline(TfidfVectorizer(), LogisticRegression(C=3.0)).fit(
            data.inputs, victim.predict(data.inputs)
        )
        shuffled = np.random.default_rng(0).permutation(data.labels)
        other = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(data.inputs, shuffled)
        probes = zest.text_probes(data.inputs, 12, 100)
        a, b, c = (zest.sign(zest.from_sklearn(m, scores="predict_proba"), probes) for m in (victim, stolen, other))
        assert zest.distance(a, b) < 0.1 < 0.3 < zest.distance(a, c)

    def test_scores_of_pairs_of_classes_are_not_taken_for_those_of_classes(self):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        data = texts(60)
        svm = SVC(decision_function_shape="ovo", kernel="linear")
        model = make_pipeline(CountVectorizer(), svm).fit(data.inputs, data.labels)
        with pytest.raises(ValueError, match="no `decision_function` with one score for each class"):
            zest.from_sklearn(model, scores="decision_function")
        with pytest.raises(ValueError, match="with one score for each class; it has none"):
            zest.from_sklearn(model)

    def test_two_classes_and_what_has_no_scores(self):
        class Sided:
            classes_ = np.array(["no", "yes"])

            def decision_function(self, batch):
                return np.array([len(text) - 3.0 for text in batch])

        assert zest.from_sklearn(Sided())(["abcd"]).tolist() == [[-1.0, 1.0]]
        with pytest.raises(TypeError, match="Tokenizer has neither `predict_proba` nor `decision_function`"):
            zest.from_sklearn(Tokenizer.of_texts(REVIEWS))
        with pytest.raises(
            ValueError, match="Sided has no `predict_proba` with one score for each class; it has decision_function"
        ):
            zest.from_sklearn(Sided(), scores="predict_proba")


class Encoding(dict):
    """What tokenizers of Hugging Face return."""


class Wordy:
    """Shaped like a fast tokenizer of Hugging Face."""

    model_max_length = 6

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.calls = 0

    def __call__(self, batch, *, padding=False, truncation=False, max_length=None, return_tensors=None):
        import torch

        self.calls += 1
        ids = [
            [token.id for token in self._tokenizer.tokens(text)][: max_length if truncation else None] for text in batch
        ]
        if not padding:
            return Encoding(input_ids=ids)
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        return Encoding(input_ids=padded, attention_mask=(padded != 0).long())


class TestHuggingFace:
    @pytest.fixture(scope="class")
    def classifier(self):
        from types import SimpleNamespace

        import torch

        class Classifier(torch.nn.Module):
            config = SimpleNamespace(id2label={1: "good", 0: "bad"})

            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.embed = torch.nn.Embedding(40, 2)

            def forward(self, input_ids, attention_mask):
                return SimpleNamespace(logits=(self.embed(input_ids) * attention_mask[..., None]).sum(1), loss=None)

        return Classifier().eval()

    def test_a_model_with_its_tokenizer(self, classifier, text_probes):
        tokenizer = Wordy(Tokenizer.of_texts(REVIEWS, vocabulary=40, length=40))
        box = zest.from_transformers(classifier, tokenizer)
        assert (box.class_names, box.settings["max_length"]) == (("bad", "good"), 6)
        with pytest.warns(
            UserWarning, match=r"\d+ of \d+ texts of a batch .* have more than the 6 tokens that Classifier takes"
        ) as told:
            signature = zest.sign(box, text_probes)
        assert len(told) == 1
        assert signature.class_names == ("bad", "good")
        table = classifier.embed.weight.detach().numpy()
        ids = [token.id for token in tokenizer._tokenizer.tokens(REVIEWS[0])][:6]
        np.testing.assert_allclose(box(REVIEWS[:1])[0], table[ids].sum(0), atol=1e-5)

    def test_short_texts_are_tokenized_once(self, classifier):
        tokenizer = Wordy(Tokenizer.of_texts(REVIEWS, vocabulary=40, length=40))
        box = zest.from_transformers(classifier, tokenizer)
        box(["a good film", "bad music"])
        assert tokenizer.calls == 1

    def test_training_mode_is_noticed(self, classifier):
        classifier.train()
        try:
            with pytest.warns(UserWarning, match="Classifier is in training mode"):
                zest.from_transformers(classifier, Wordy(None))
        finally:
            classifier.eval()

    def test_a_pipeline_that_names_its_labels(self):
        def pipe(batch):
            return [
                sorted(
                    ({"label": n, "score": s} for n, s in (("POS", 0.9), ("NEG", 0.1))),
                    key=lambda e: len(text) * e["score"],
                )
                for text in batch
            ]

        box = zest.from_texts(pipe)
        np.testing.assert_allclose(box(["a", ""]), [[0.1, 0.9]] * 2, rtol=1e-6)
        assert box.class_names == ("NEG", "POS")

    def test_a_pipeline_that_gives_one_label(self):
        box = zest.from_texts(lambda batch: [{"label": "POS", "score": 0.9} for _ in batch])
        with pytest.raises(ModelOutputError, match="one label per text; .* `top_k=None`"):
            box(["a"])

    def test_labels_that_come_and_go(self):
        box = zest.from_texts(lambda batch: [[{"label": text, "score": 1.0}] for text in batch])
        with pytest.raises(ModelOutputError, match="answered scores for b, and its classes are a"):
            box(["a", "b"])
