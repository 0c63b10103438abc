import dataclasses

import numpy as np
import pytest
from many_models import copy_of, model

import zest_jax as zest
from zest_jax.alignment import match_classes
from zest_jax.screening import exact
from zest_jax.screening.exact import aligned_distances, blocks_of, distances_among, distances_to, greedy_matches, joined

RNG = np.random.default_rng(0)
NAMES = ("dog", "cat", "bird", "fish")


def some(classes: int, n: int = 4):
    """Unrelated models and copies, some with names in some order."""
    names = NAMES if classes == 4 else None
    models = [model(f"m{i}", i, classes=classes, class_names=names) for i in range(n)]
    if names:
        models[1] = models[1].select_classes([2, 0, 3, 1])
        models[2] = dataclasses.replace(models[2], class_names=None)
        models[3] = dataclasses.replace(models[3], class_names=("dog", "dog", "bird", "fish"))
    return [*models, copy_of(models[0], "copy", noise=0.01, seed=9), copy_of(models[1], "far copy", noise=0.7, seed=8)]


@pytest.mark.parametrize("align", ["auto", "none", "greedy", "rowwise", "optimal"])
@pytest.mark.parametrize("through_jax", [False, True])
@pytest.mark.parametrize("classes", [(4, 4), (3, 4), (4, 3)])
def test_they_are_those_of_distance(align, through_jax, classes, monkeypatch):
    if align == "none" and classes[0] != classes[1]:
        with pytest.raises(ValueError, match="cannot correspond by index"):
            aligned_distances(joined(some(classes[0])), joined(some(classes[1])), align=align)
        return
    monkeypatch.setattr(exact, "FOR_JAX", 0 if through_jax else np.inf)
    a, b = some(classes[0]), some(classes[1])
    expected = [[zest.distance(x, y, align=align) for y in b] for x in a]
    found = aligned_distances(joined(a), joined(b), align=align)
    np.testing.assert_allclose(found, expected, atol=3e-6 if through_jax else 1e-9)


def test_pieces_do_not_matter(monkeypatch):
    a = joined(some(4))
    whole = aligned_distances(a, a)
    monkeypatch.setattr(exact, "PIECE", 1)
    np.testing.assert_array_equal(aligned_distances(a, a), whole)
    monkeypatch.setattr(exact, "MANY_CLASSES", 1)
    np.testing.assert_allclose(aligned_distances(a, a), whole, atol=1e-12)


def test_near_pairs_keep_their_digits_in_float32(monkeypatch):
    monkeypatch.setattr(exact, "FOR_JAX", 0)
    original = model("o", 0, class_names=NAMES)
    near = [copy_of(original, "n", noise=noise, seed=1) for noise in (1e-4, 1e-3)]
    found = aligned_distances(joined([original]), joined(near))[0]
    expected = [zest.distance(original, each) for each in near]
    assert 0 < expected[0] < 1e-7
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_planted_permutation_is_undone():
    original = model("o", 0, classes=6)
    shuffled = [original.select_classes(RNG.permutation(6)) for _ in range(4)]
    np.testing.assert_allclose(aligned_distances(joined([original]), joined(shuffled)), 0, atol=1e-12)


def test_greedy_is_that_of_two_models():
    for shape in ((4, 4), (3, 6), (6, 3), (1, 2)):
        distances = RNG.normal(size=(50, *shape))
        distances[::5] = distances[::5].round()  # ties
        for one, match in zip(distances, greedy_matches(-distances), strict=True):
            rows, columns = match_classes(one, method="greedy")
            assert np.flatnonzero(match >= 0).tolist() == rows.tolist()
            assert match[rows].tolist() == columns.tolist()


@pytest.mark.parametrize("align", ["auto", "optimal"])
def test_one_to_many_of_any_number_of_classes(align):
    suspect, others = model("s", 50), [*some(3), *some(4)]
    expected = [zest.distance(suspect, other, align=align) for other in others]
    np.testing.assert_allclose(distances_to(suspect, others, align=align), expected, atol=1e-9)


@pytest.mark.parametrize("align", ["auto", "greedy", "optimal"])
def test_all_pairs_of_a_few_are_those_of_distance_and_are_joined_once(align, monkeypatch):
    models, calls = [*some(4), *some(3)], []
    monkeypatch.setattr(exact, "joined", lambda part: calls.append(len(part)) or joined(part))
    np.testing.assert_allclose(
        distances_among(models, align=align), zest.distance_matrix(models, align=align), atol=1e-9
    )
    assert sorted(calls) == [6, 6, 6], "one block of each number of classes, that of 4 once more against that of 3"


@pytest.mark.parametrize("align", ["auto", "none", "greedy", "optimal"])
@pytest.mark.parametrize("through_jax", [False, True])
def test_later_pairs_are_the_same_alone(align, through_jax, monkeypatch):
    monkeypatch.setattr(exact, "FOR_JAX", 0 if through_jax else np.inf)
    models = joined([*some(4), *some(4, n=7)])
    later = np.triu(np.ones((15, 15), bool), 1)
    whole = aligned_distances(models, models, align=align)[later]
    np.testing.assert_array_equal(aligned_distances(models, models, align=align, later_only=True)[later], whole)


def test_blocks_have_no_more_classes_than_can_be_multiplied():
    blocks = blocks_of([1000] * 20 + [10] * 200)
    assert [len(block) for block in blocks] == [128, 72, 8, 8, 4]
    assert sorted(i for block in blocks for i in block) == list(range(220))


def test_matched_classes_without_weights_have_no_distance():
    empty = model("e", 1, classes=2)
    empty.weights[:, 1] = 0
    only = model("o", 2, classes=1)
    only.weights[:] = -empty.weights[:, :1]  # the empty class, at distance 1, is nearer than its opposite
    assert np.isnan(distances_to(only, [empty])[0])
