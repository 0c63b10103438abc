"""Mutual information of labels."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from tests.baselines.making import indexed, one_hot, table
from zest_jax.baselines import FBI
from zest_jax.baselines.fbi import entropy, normalised_information


def test_by_hand():
    # Joint counts: (0, 0) twice, (0, 1) once, (1, 1) once, of four. In bits: H(a) = 0.8113, H(b) = 1, H(a, b) = 1.5.
    a, b = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert normalised_information(a, b) == pytest.approx((0.811278 + 1 - 1.5) / 0.811278, abs=1e-6)


def test_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 5, 200)
    b = np.where(rng.random(200) < 0.5, a, rng.integers(0, 9, 200))
    smaller = min(mutual_info_score(labels, labels) for labels in (a, b))
    assert normalised_information(a, b) == pytest.approx(mutual_info_score(a, b) / smaller, abs=1e-9)
    assert normalised_information(a, b) == pytest.approx(normalised_information(b, a))


def test_entropy_of_equally_frequent_classes_is_the_logarithm_of_their_number():
    assert entropy(np.array([3, 3, 3, 0])) == pytest.approx(np.log(3))


def test_the_score_is_that_of_the_labels_asked():
    rng = np.random.default_rng(1)
    victim, suspect = rng.integers(0, 3, (2, 30))
    asked = []
    score = FBI().fingerprint(table(one_hot(victim)), table(one_hot(suspect), asked=asked), indexed([0] * 30), 20)
    assert len(asked) == 20
    assert score == pytest.approx(normalised_information(victim[asked], suspect[asked]))


def test_the_order_of_classes_and_their_number_do_not_matter():
    labels = np.arange(12) % 3
    prepared = FBI().prepare(table(one_hot(labels)), indexed([0] * 12), 12)
    assert prepared.score(table(one_hot((labels + 1) % 3))) == pytest.approx(1)
    # Each class split in two: the victim's label follows from the suspect's.
    assert prepared.score(table(one_hot(labels + 3 * (np.arange(12) % 2), classes=6))) == pytest.approx(1)
    assert prepared.score(table(one_hot(np.arange(12) // 4))) < 0.5


def test_a_suspect_of_one_label_tells_nothing():
    victim = table(one_hot(np.arange(6) % 3))
    assert FBI().fingerprint(victim, table(one_hot([2] * 6)), indexed([0] * 6), 6) == 0.0


def test_a_victim_of_one_label_is_refused():
    with pytest.raises(
        ValueError, match="constant gives all 6 questions the same label, which tells nothing about any suspect"
    ):
        FBI().prepare(table(one_hot([1] * 6), label="constant"), indexed([0] * 6), 6)


def test_one_input_is_too_few():
    with pytest.raises(ValueError, match="FBI found 1 inputs in indexed, and needs at least 2; give more inputs"):
        FBI().prepare(table(one_hot([1])), indexed([0]), 6)
