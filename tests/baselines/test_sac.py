"""Sample correlation: SAC-w, SAC-m, and CutMix."""

import numpy as np
import pytest
from scipy.spatial import distance
from scipy.special import softmax

from tests.baselines.making import indexed, model, noise, table
from tests.making import images, sounds
from zest_jax.baselines import SACm, SACw
from zest_jax.baselines.cutmix import cutmix
from zest_jax.baselines.sac import correlation_distance
from zest_jax.blackbox import from_callable

RNG = np.random.default_rng(0)
VICTIM, SUSPECT = RNG.normal(size=(2, 12, 4))
# What the victim does not answer is the truth: all inputs are misclassified.
TRUTH = (VICTIM.argmax(1) + 1) % 4


def expected(victim, suspect):
    """Minus the mean difference of halved cosine distances, by SciPy."""
    a, b = (distance.squareform(distance.pdist(rows, "cosine")) / 2 for rows in (victim, suspect))
    return -np.abs(a - b).sum() / len(a) ** 2


def test_sac_w_is_the_mean_difference_of_correlations():
    score = SACw().fingerprint(table(VICTIM), table(SUSPECT), indexed(TRUTH, classes=4), 12)
    assert score == pytest.approx(expected(VICTIM, SUSPECT), abs=1e-6)
    assert score < -0.05


def test_sac_w_by_hand():
    # Rows at right angles against rows that agree: both entries off the diagonal are 1/2 and 0.
    victim, suspect = table([[1, 0], [0, 2]]), table([[3, 3], [1, 1]])
    assert SACw().fingerprint(victim, suspect, indexed([1, 0], classes=2), 2) == pytest.approx(-0.25)


def test_sac_w_asks_only_what_the_victim_gets_wrong():
    truth = TRUTH.copy()
    truth[:5] = VICTIM.argmax(1)[:5]
    asked = []
    score = SACw().fingerprint(table(VICTIM), table(SUSPECT, asked=asked), indexed(truth, classes=4), 7)
    assert sorted(asked) == list(range(5, 12))
    assert score == pytest.approx(expected(VICTIM[5:], SUSPECT[5:]), abs=1e-6)


def test_one_misclassified_input_correlates_with_nothing():
    truth = VICTIM.argmax(1)
    truth[3] = (truth[3] + 1) % 4
    with pytest.raises(
        ValueError, match="SAC-w found 1 of the 12 inputs in indexed that table misclassifies, and needs at least 2"
    ):
        SACw().prepare(table(VICTIM), indexed(truth, classes=4), 5)


@pytest.mark.parametrize("method", [SACw(), SACm()], ids=["w", "m"])
def test_the_order_of_classes_does_not_matter(method):
    prepared = method.prepare(model(0), noise(), 30)
    assert prepared.score(model(0, permutation=(2, 0, 1))) == pytest.approx(0, abs=1e-6)
    assert prepared.score(model(1)) == pytest.approx(prepared.score(model(1, permutation=(2, 0, 1))), abs=1e-6)


@pytest.mark.parametrize("method", [SACw(), SACm()], ids=["w", "m"])
def test_models_of_other_label_sets_compare(method):
    assert -1 <= method.fingerprint(model(0), model(0, classes=7), noise(), 30) < 0


def test_logits_and_probabilities_are_compared_only_on_request():
    data = indexed(TRUTH, classes=4)
    as_probabilities = table(softmax(VICTIM, axis=1), label="careful")
    with pytest.raises(
        ValueError, match="table answers with logits, careful with probabilities; compare them with scores='prob"
    ):
        SACw().fingerprint(table(VICTIM), as_probabilities, data, 12)
    same = SACw(scores="probabilities").fingerprint(table(VICTIM), as_probabilities, data, 12)
    assert same == pytest.approx(0, abs=1e-6)


def test_what_a_model_says_of_its_outputs_is_believed():
    # Rows of one-hot logits look like probabilities.
    data = indexed(TRUTH, classes=4)
    rows = np.eye(4)[VICTIM.argmax(1)]
    said = table(rows, label="said", returns="logits")
    assert SACw().fingerprint(table(VICTIM), said, data, 12) < 0
    with pytest.raises(ValueError, match="compare them with scores="):
        SACw().fingerprint(table(VICTIM), table(rows), data, 12)


def test_an_unknown_way_to_take_outputs_is_refused():
    with pytest.raises(ValueError, match="`scores` is 'logits'; choose 'as-is' or 'probabilities'"):
        SACm(scores="logits")


def test_sac_m_makes_more_questions_than_there_are_inputs():
    seen = []

    def suspect(x):
        seen.append(x)
        return x.mean((1, 2))

    prepared = SACm().prepare(model(0), noise(5), 40)
    prepared.score(from_callable(suspect))
    asked = np.concatenate(seen)
    assert prepared.n_queries == len(asked) == len(np.unique(asked, axis=0)) == 40


def test_cutmix_pastes_one_box_of_another_image_at_its_own_place():
    data = images(6, size=16).inputs
    mixed, rows = cutmix(data, 50, np.random.default_rng(0))
    plain = data.astype(np.float32) / np.float32(255)
    shares = []
    for image, row in zip(mixed, rows, strict=True):
        changed = (image != plain[row]).any(axis=-1)
        shares.append(changed.mean())
        if not changed.any():
            continue
        ys, xs = np.nonzero(changed)
        box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        assert changed[box].all()
        assert sum((image[box] == other[box]).all() for other in plain) == 1
    # The area is uniform before boxes are cut off at the border.
    assert 0.2 < np.mean(shares) < 0.5


def test_cutmix_of_sounds_pastes_a_stretch_of_time():
    data = sounds(3).inputs
    mixed, rows = cutmix(data, 30, np.random.default_rng(1))
    plain = data.astype(np.float32) / np.float32(32768)
    assert sorted(np.bincount(rows)) == [10, 10, 10]
    for sound, row in zip(mixed, rows, strict=True):
        places = np.flatnonzero(sound != plain[row])
        stretch = np.s_[places.min() : places.max() + 1]
        assert sum((sound[stretch] == other[stretch]).all() for other in plain) == 1


def test_one_input_cannot_be_mixed():
    with pytest.raises(ValueError, match="CutMix needs at least 2 inputs to mix, got 1"):
        SACm().prepare(model(0), noise(1), 4)


def test_correlations_in_parts_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 4)), rng.normal(size=(50, 7))
    monkeypatch.setattr("zest_jax.baselines.sac._ROWS", 16)
    assert -correlation_distance(a, b) == pytest.approx(expected(a, b), rel=1e-9)
