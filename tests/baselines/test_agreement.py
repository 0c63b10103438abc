"""Agreement of labels: prediction agreement and AKH."""

import numpy as np
import pytest

from tests.baselines.making import indexed, one_hot, table
from zest_jax.baselines import AKH, IPGuard, PredictionAgreement
from zest_jax.blackbox import from_jax

TRUTH = [0, 1, 2, 0, 1, 2, 0, 1]
VICTIM = [0, 1, 1, 0, 2, 2, 1, 1]  # wrong on 2, 4 and 6
SUSPECT = [0, 1, 1, 2, 2, 1, 0, 1]  # as the victim on 0, 1, 2, 4 and 7


def boxes(**settings):
    return table(one_hot(VICTIM), label="victim", **settings), table(one_hot(SUSPECT), label="suspect")


def test_agreement_is_the_share_of_equal_labels():
    assert PredictionAgreement().fingerprint(*boxes(), indexed(TRUTH), 8) == 5 / 8


def test_agreement_on_some_inputs_is_that_of_those_asked():
    asked = []
    suspect = table(one_hot(SUSPECT), asked=asked)
    score = PredictionAgreement().fingerprint(boxes()[0], suspect, indexed(TRUTH), 4, seed=5)
    assert len(set(asked)) == len(asked) == 4
    assert score == np.mean([VICTIM[i] == SUSPECT[i] for i in asked])


def test_akh_asks_what_the_victim_gets_wrong():
    asked = []
    suspect = table(one_hot(SUSPECT), asked=asked)
    assert AKH().fingerprint(boxes()[0], suspect, indexed(TRUTH), 3) == pytest.approx(2 / 3)
    assert sorted(asked) == [2, 4, 6]


def test_akh_warns_with_the_count_when_the_victim_is_seldom_wrong():
    with pytest.warns(
        UserWarning, match="AKH found only 3 of the 8 inputs in indexed that victim misclassifies, for a budget of 5"
    ):
        prepared = AKH().prepare(boxes()[0], indexed(TRUTH), 5)
    assert prepared.n_queries == 3


def test_akh_refuses_a_victim_that_is_never_wrong():
    with pytest.raises(
        ValueError, match="AKH found none of the 8 inputs in indexed that right misclassifies, and needs at least 1"
    ):
        AKH().prepare(table(one_hot(TRUTH), label="right"), indexed(TRUTH), 5)


def test_fewer_inputs_than_the_budget_are_all_asked_with_a_warning():
    with pytest.warns(
        UserWarning, match="prediction agreement found only 8 inputs in indexed, for a budget of 100; it asks those"
    ):
        prepared = PredictionAgreement().prepare(boxes()[0], indexed(TRUTH), 100)
    assert prepared.n_queries == 8
    assert prepared.score(boxes()[1]) == 5 / 8


def test_the_victim_is_asked_no_more_than_is_needed_to_find_wrong_answers(monkeypatch):
    from zest_jax.baselines import choosing

    monkeypatch.setattr(choosing, "default_batch_size", lambda *_: 4)
    asked = []
    victim = table(one_hot([1] * 80), asked=asked)
    AKH().prepare(victim, indexed([0] * 80), 5)
    # Five of five are wrong, and asked once more as questions.
    assert len(asked) == 10


@pytest.mark.parametrize("method", [PredictionAgreement(), AKH(), IPGuard(steps=1)], ids=lambda method: method.name)
class TestLabelSets:
    def victim(self):
        # Differentiable, for IPGuard; wrong on most.
        return from_jax(lambda x: x[:, 0, 0] * np.float32([1, 0.5, 0.1]), label="victim", class_names=("a", "b", "c"))

    def test_another_number_of_classes_is_refused(self, method):
        other = table(one_hot([0] * 8, classes=5), label="other")
        with pytest.raises(
            ValueError, match="other has 5 classes and victim 3, .* only within the same label set; ModelDiff, SAC-m"
        ):
            method.prepare(self.victim(), indexed([1] * 8), 2).score(other)

    def test_other_classes_are_refused(self, method):
        other = table(one_hot([0] * 8), label="other", class_names=("a", "b", "x"))
        with pytest.raises(
            ValueError, match=r"other has classes that victim does not have \(x\), .* the same label set"
        ):
            method.prepare(self.victim(), indexed([1] * 8), 2).score(other)

    def test_classes_in_another_order_are_told_by_their_names(self, method):
        prepared = method.prepare(self.victim(), indexed([1] * 8), 2)

        def scores(x):
            return x[:, 0, 0] * np.float32([1, 0.5, 0.1])

        same = from_jax(lambda x: scores(x)[:, np.array([2, 0, 1])], class_names=("c", "a", "b"))
        assert prepared.score(same) == 1.0
        unnamed = from_jax(lambda x: scores(x)[:, np.array([2, 0, 1])], class_names=("0", "1", "2"))
        assert prepared.score(unnamed) < 1


def test_data_of_other_classes_have_no_misclassified_inputs():
    with pytest.raises(ValueError, match="indexed has 4 classes and victim 3"):
        AKH().prepare(boxes()[0], indexed(TRUTH, classes=4), 3)


def test_the_true_label_is_told_by_name_where_the_victim_counts_classes_in_another_order():
    right = table(one_hot(TRUTH)[:, [1, 2, 0]], label="right", class_names=("b", "c", "a"))
    with pytest.raises(ValueError, match="found none of the 8 inputs"):
        AKH().prepare(right, indexed(TRUTH), 3)


def test_a_wrong_number_of_class_names_is_refused():
    victim = table(one_hot(VICTIM), label="victim", class_names=("a", "b"))
    with pytest.raises(ValueError, match="victim has 3 outputs but 2 class names; give one name per output"):
        PredictionAgreement().prepare(victim, indexed(TRUTH), 3)
