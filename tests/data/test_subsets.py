"""Choosing parts of a data set."""

import numpy as np
import pytest

from zest_jax.data import Dataset, fraction, of_classes, of_rows, without_rows


def numbered(labels):
    """Input i is the number i."""
    labels = np.asarray(labels, np.int32)
    return Dataset(
        inputs=np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1),
        labels=labels,
        class_names=("ant", "bee", "cat", "dog"),
        mean=(0.5,),
        std=(0.25,),
        name="animals",
    )


DATA = numbered([0, 1, 2, 0, 1, 2, 2])


def numbers(data):
    return data.inputs.ravel().tolist()


def test_classes_keep_their_labels_or_get_new_ones():
    kept = of_classes(DATA, [2, 0])
    assert numbers(kept) == [0, 2, 3, 5, 6]
    assert kept.labels.tolist() == [0, 2, 0, 2, 2]
    assert kept.class_names == DATA.class_names
    new = of_classes(DATA, ["cat", "ant"], relabel=True)
    assert numbers(new) == [0, 2, 3, 5, 6]
    assert new.labels.tolist() == [1, 0, 1, 0, 0]
    assert new.labels.dtype == np.int32
    assert new.class_names == ("cat", "ant")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([4], "animals has no class 4; its 4 classes, from 0: ant, bee, cat, dog"),
        (["eel"], "animals has no class 'eel'"),
        ([-1], "animals has no class -1"),
        ([0, "ant"], r"names a class twice: \[0, 'ant'\]"),
        (["dog"], r"class 3 \(dog\) of animals has no inputs"),
        ([], "`classes` is empty; name at least one of ant, bee"),
    ],
)
def test_wrong_classes_are_named(classes, message):
    with pytest.raises(ValueError, match=message):
        of_classes(DATA, classes)


def test_rows_and_their_complement():
    assert numbers(of_rows(DATA, [5, 0])) == [5, 0]
    assert numbers(without_rows(DATA, [5, 0])) == [1, 2, 3, 4, 6]
    assert without_rows(DATA, np.array([5, 0], np.uint8)).labels.tolist() == [1, 2, 0, 1, 2]


@pytest.mark.parametrize("choose", [of_rows, without_rows])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 7, 9], r"2 of 3 rows are out of range \(7, 9\); the rows of animals go from 0 to 6"),
        ([-1], r"1 of 1 rows are out of range \(-1\); .* go from 0 to 6"),
        ([3, 1, 3], r"given more than once \(3\); .* go from 0 to 6"),
        ([], "no rows are given; .* go from 0 to 6"),
        ([0.5], r"type float64 are given; give a list of integers: .* go from 0 to 6"),
        ([True] * 7, "type bool are given"),
        ([[0, 1]], r"rows of shape \(1, 2\)"),
        (range(7, 40), r"33 of 33 rows are out of range \(7, 8, 9, 10, 11, 12, 13, 14, ... \(33 in all\)\)"),
    ],
)
def test_wrong_rows_are_named_with_their_range(choose, rows, message):
    with pytest.raises(ValueError, match=message):
        choose(DATA, rows)


def test_leaving_everything_out_is_refused():
    with pytest.raises(ValueError, match="all 7 rows of animals are left out"):
        without_rows(DATA, range(7))


@pytest.mark.parametrize("share", [0.013, 0.1, 0.25, 0.5, 0.77, 1.0])
def test_stratified_fraction_keeps_the_proportions(share):
    labels = np.random.default_rng(1).choice(4, 200, p=[0.6, 0.3, 0.08, 0.02])
    part = fraction(numbered(labels), share, seed=3)
    assert len(part) == max(1, round(share * 200))
    exact = len(part) * np.bincount(labels, minlength=4) / 200
    assert np.all(np.abs(np.bincount(part.labels, minlength=4) - exact) < 1)
    chosen = numbers(part)
    assert chosen == sorted(set(chosen))
    assert part.labels.tolist() == labels[chosen].tolist()


@pytest.mark.parametrize("stratified", [True, False])
def test_fraction_depends_on_the_seed_alone(stratified):
    data = numbered(np.arange(200) % 4)
    draws = [tuple(numbers(fraction(data, 0.3, seed, stratified=stratified))) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 60


def test_every_row_is_drawn_alike():
    data = numbered(np.arange(20) % 2)
    for stratified in (True, False):
        drawn = np.concatenate([numbers(fraction(data, 0.25, seed, stratified=stratified)) for seed in range(400)])
        # 100 expected for each row, standard deviation below 9.
        assert np.abs(np.bincount(drawn, minlength=20) - 100).max() < 40


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="`share` is .*; give a fraction above 0 and up to 1"):
        fraction(DATA, share, 0)
