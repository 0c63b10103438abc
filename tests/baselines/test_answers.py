"""Asking questions, and bringing answers to one scale."""

import numpy as np
import pytest
from scipy.special import softmax

from tests.baselines.making import indexed, model, noise, one_hot, table
from zest_jax.baselines import AKH, FBI, IPGuard, PredictionAgreement, SACw
from zest_jax.baselines.answers import Answers, FixedQuestions, ask, comparable_scores
from zest_jax.blackbox import batches, from_callable
from zest_jax.errors import ModelOutputError


def test_answers_come_in_the_order_of_the_questions(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ELEMENTS", {"cpu": 1})
    rows = np.random.default_rng(0).normal(size=(41, 3)).astype(np.float32)
    asked = []
    answers = ask(table(rows, asked=asked, class_names=("a", "b", "c")), indexed([0] * 41))
    np.testing.assert_array_equal(answers.scores, rows)
    assert asked == list(range(41))
    assert answers.class_names == ("a", "b", "c")
    assert answers.labels.tolist() == rows.argmax(1).tolist()


def test_a_batch_of_a_fixed_size_is_filled_up_with_repeats():
    asked = []
    answers = ask(table(one_hot([0, 1, 2, 0, 1]), asked=asked, fixed_batch=3), indexed([0] * 5))
    assert answers.labels.tolist() == [0, 1, 2, 0, 1]
    assert asked == [0, 1, 2, 3, 4, 4]


def test_a_model_whose_classes_change_is_refused(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_ELEMENTS", {"cpu": 1})
    unsteady = from_callable(lambda x: np.ones((len(x), len(x))), label="unsteady")
    with pytest.raises(
        ModelOutputError, match="unsteady answered with 16 classes and then with 4; a black box must always"
    ):
        ask(unsteady, indexed([0] * 20))


def test_the_first_question_without_an_answer_is_told():
    rows = np.ones((5, 3))
    rows[3, 1] = np.inf
    with pytest.raises(
        ModelOutputError, match="table answered 1 of 5 questions with NaN or infinity, first question 3"
    ):
        ask(table(rows), indexed([0] * 5))


def test_only_logits_become_probabilities():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    likely = softmax(logits, axis=1)
    a, b = comparable_scores(
        Answers("a", logits, None, "logits"), Answers("b", likely, None, "probabilities"), "probabilities"
    )
    np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_array_equal(b, likely)
    same, _ = comparable_scores(Answers("a", logits, None, "logits"), Answers("c", logits, None, "logits"), "as-is")
    np.testing.assert_array_equal(same, logits)


@pytest.mark.parametrize(
    "method", [PredictionAgreement(), AKH(), FBI(), SACw(), IPGuard(steps=5)], ids=lambda m: m.name
)
def test_the_first_questions_are_those_of_a_smaller_budget(method):
    victim, suspect, inputs = model(0), model(1), noise()
    whole = method.prepare(victim, inputs, 24)
    assert isinstance(whole, FixedQuestions)
    fewer = method.prepare(victim, inputs, 9)
    first = whole.first(9)
    assert first.n_queries == fewer.n_queries == len(first.questions) == len(first.answers.scores) == 9
    np.testing.assert_allclose(first.questions.inputs, fewer.questions.inputs, atol=1e-6)
    np.testing.assert_allclose(first.answers.scores, fewer.answers.scores, atol=1e-4)
    assert first.score(suspect) == pytest.approx(fewer.score(suspect), abs=1e-6)
    assert whole.first(1000).n_queries == whole.n_queries
