import numpy as np
import pytest
from many_models import model
from scipy import stats

import zest_jax as zest
from zest_jax.screening import common_alignment, judge, unrelated_distances
from zest_jax.screening.exact import distances_to
from zest_jax.screening.judging import rate_interval


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 500)])
def test_the_rate_interval_is_scipys(k, n):
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=0.95, method="exact")
    np.testing.assert_allclose(rate_interval(k, n)[:2], expected, atol=1e-9)


def test_numbers_by_hand():
    got = judge(0.2, [0.1, 0.4, 0.3, 0.6] * 100, compared=5)
    assert got.relative == pytest.approx(0.2 / 0.35)
    assert (got.nearer, got.unrelated, got.false_positive_rate) == (100, 400, 0.25)
    assert got.p_value == 1.0
    assert got.related is False
    assert (
        "of 400 unrelated pairs 100 are as near (a rate of 0.21 to 0.3, 95%): p at most 1.000 for 5 models compared, "
        "no sign of a relation." in got.text
    )
    assert judge(0.05, [0.1] * 399, compared=5).p_value == pytest.approx(5 / 400)
    assert judge(0.1, [0.1, 0.2], compared=1).nearer == 1


def test_planted_copies_are_found_and_words_say_so():
    got = judge(0.1, [0.3, 0.35] * 120, compared=12, name="resnet18-flowers-v3")
    assert got.related is True
    assert got.text == (
        "nearest: resnet18-flowers-v3, relative distance 0.31; of 240 unrelated pairs none is as near (a rate of 0 to 0.015, "
        "95%): p at most 0.050 for 12 models compared. Related."
    )
    assert "1 is as near" in judge(0.1, [0.1] + [0.3] * 999, compared=1).text


def test_it_says_when_it_cannot_tell():
    got = judge(0.001, [0.3] * 100, compared=12)
    assert got.related is None
    assert "12 models compared need 239 unrelated pairs to tell that from chance: can't tell" in got.text
    # Exactly at the level.
    got = judge(0.001, [0.3] * 239, compared=12)
    assert (got.related, got.p_value) == (True, 0.05)
    assert "p at most 0.050 for" in got.text
    # A distance like those of many unrelated pairs is no sign, however few pairs there are.
    assert judge(0.5, [0.3, 0.4, 0.45], compared=12).related is False
    assert judge(0.001, [0.3], compared=1).related is None


@pytest.mark.parametrize(
    ("nearer", "pairs", "related", "text"),
    [
        (3, 100, False, "p at most 0.476 for 12 models compared, no sign of a relation."),
        # 12 times the rate may lie below 5% as well as above.
        (1, 241, None, "p at most 0.100 for 12 models compared; more unrelated pairs are needed: can't tell."),
        (1, 100, None, "12 models compared need 239 unrelated pairs to tell that from chance: can't tell."),
        (1, 600, True, "p at most 0.040 for 12 models compared. Related."),
    ],
)
def test_every_answer_counts_the_models_compared(nearer, pairs, related, text):
    got = judge(0.2, [0.1] * nearer + [0.3] * (pairs - nearer), compared=12)
    assert got.related is related
    assert text in got.text


def test_unrelated_suspects_are_called_related_at_most_as_often_as_alpha_says():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):
        calibration, compared = rng.normal(1, 0.1, 400), rng.normal(1, 0.1, 10)
        wrong += judge(max(compared.min(), 0), np.maximum(calibration, 0), compared=10).related is True
    # Three standard errors around 5%.
    assert 0.03 < wrong / 2000 < 0.065


NAMES = tuple("abcdefghij")


@pytest.mark.parametrize("named", ["no suspect", "every model"])
def test_unrelated_models_are_called_related_at_most_as_often_as_alpha_says(named):
    """22 unrelated models, 12 of them in the store; by name the pairs among them would be farther than those to the suspect."""
    runs, wrong = 100, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(23, 60, 10)).astype(np.float32)
        others = [model(f"m{i}", 0, classes=10, weights=weights[i], class_names=NAMES) for i in range(22)]
        suspect = model("s", 0, classes=10, weights=weights[22], class_names=NAMES if named == "every model" else None)
        store = others[:12]
        align = common_alignment(suspect, others, [each.class_names for each in store])
        assert align == ("auto" if named == "every model" else "greedy")
        distances = distances_to(suspect, store, align=align)
        nearest = int(distances.argmin())
        yardstick = unrelated_distances(suspect, others, apart=[store[nearest].label], align=align)
        wrong += judge(distances[nearest], yardstick, compared=12).related is True
    # At a true rate of 5% more would be seen once in a thousand times.
    assert wrong <= stats.binom.ppf(0.999, runs, 0.05)


def test_classes_go_by_name_everywhere_or_nowhere():
    named, other = (model(label, i, class_names=tuple("abcd")) for i, label in enumerate("no"))
    plain = model("p", 5)
    turned = model("t", 6, class_names=tuple("dcba"))
    assert common_alignment(named, [other, turned], [("b", "a", "c", "d")]) == "auto"
    assert common_alignment(named, [other], align="greedy") == "greedy"
    twice = model("w", 7, class_names=tuple("aabc"))
    for suspect, unrelated, compared in (
        (plain, [named], []),
        (named, [plain], []),
        (named, [other], [None]),
        (named, [other], [tuple("abce")]),
        (twice, [twice], []),
    ):
        assert common_alignment(suspect, unrelated, compared) == "greedy"
    greedy = [zest.distance(x, y, align="greedy") for x, y in ((named, other), (plain, named), (plain, other))]
    np.testing.assert_allclose(unrelated_distances(plain, [named, other]), greedy, atol=1e-9)


def test_other_numbers_of_classes_are_no_yardstick():
    with pytest.raises(ValueError, match="b has 5 classes and s 4, .* name unrelated models of as many classes"):
        unrelated_distances(model("s", 0), [model("a", 1), model("b", 2, classes=5)])


def test_pairs_that_are_judged_do_not_count():
    suspect, others = model("s", 0), [model(name, i + 1) for i, name in enumerate("abc")]
    among = [zest.distance(others[i], others[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    to = [zest.distance(suspect, other) for other in others]
    np.testing.assert_allclose(unrelated_distances(suspect, others), [*among, *to], atol=1e-9)
    np.testing.assert_allclose(unrelated_distances(suspect, others, apart=["b"]), [*among, to[0], to[2]], atol=1e-9)
    assert unrelated_distances(suspect, [others[0]], apart=["a"]).size == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": -0.1}, "`distance` is -0.1"),
        ({"distance": float("nan")}, "`distance` is nan"),
        ({"compared": 0}, "`compared` is 0"),
        ({"alpha": 1.0}, "`alpha` is 1.0"),
        ({"unrelated": []}, "`unrelated` is empty"),
        ({"unrelated": [np.nan]}, "finite distances"),
    ],
)
def test_bad_arguments(arguments, message):
    values = {"distance": 0.1, "unrelated": [0.3], "compared": 1, "alpha": 0.05} | arguments
    with pytest.raises(ValueError, match=message):
        judge(values["distance"], values["unrelated"], compared=values["compared"], alpha=values["alpha"])


def test_one_is_told_as_one():
    assert judge(0.1, [0.3], compared=1).text.endswith(
        "of 1 unrelated pair none is as near (a rate of 0 to 0.97, 95%), but 1 model compared needs 19 unrelated pairs to tell "
        "that from chance: can't tell."
    )
