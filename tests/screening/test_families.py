import importlib
import itertools
import tracemalloc

import numpy as np
import pytest
from many_models import copy_of, model
from scipy.cluster.hierarchy import cophenet, fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform

from zest_jax.screening import (
    FamilyTree,
    central,
    closest,
    extent,
    families,
    family_tree,
    find_families,
    pair_distances,
    pruned,
    usual_threshold,
)
from zest_jax.screening.exact import distances_among
from zest_jax.screening.families import MOST_ORDERED, models_of_pairs

NAN = float("nan")
# The package has the function of that name.
MODULE = importlib.import_module("zest_jax.screening.families")


def table(*pairs: float) -> np.ndarray:
    """A symmetric table from its upper triangle."""
    return squareform(np.array(pairs), checks=False)


def random_table(n: int, seed: int = 0) -> np.ndarray:
    return squareform(np.random.default_rng(seed).uniform(0.2, 1.0, n * (n - 1) // 2))


@pytest.fixture(scope="module")
def planted():
    """Three families of four, three and two models, and two models of their own, shuffled; which family each is of."""
    rng = np.random.default_rng(5)
    found = []
    for family, size in enumerate((4, 3, 2, 1, 1)):
        original = model(f"original-{family}", family)
        found.append((family, original))
        for i in range(1, size):
            copy = copy_of(original, f"copy-{family}-{i}", noise=0.2, seed=10 * family + i, classes=[2, 0, 3, 1])
            found.append((family, copy))
    found = [found[i] for i in rng.permutation(len(found))]
    return [family for family, _ in found], distances_among([signature for _, signature in found], align="greedy")


def test_average_linkage_by_hand():
    # 0 and 1 join at 0.1; 2 joins them at (0.4 + 0.6) / 2; 3 joins all at (0.8 + 0.7 + 0.9) / 3.
    tree = family_tree(table(0.1, 0.4, 0.8, 0.6, 0.7, 0.9))
    np.testing.assert_allclose(tree.merges[:, 2], [0.1, 0.5, 0.8])
    assert tree.merges[:, 3].tolist() == [2, 3, 4]
    assert {tuple(sorted(pair)) for pair in tree.merges[:, :2].astype(int).tolist()} == {(0, 1), (2, 4), (3, 5)}
    assert families(tree, 0.05) == tuple((i,) for i in tree.order)
    assert {frozenset(each) for each in families(tree, 0.1)} == {frozenset({0, 1}), frozenset({2}), frozenset({3})}
    assert {frozenset(each) for each in families(tree, 0.79)} == {frozenset({0, 1, 2}), frozenset({3})}
    assert len(families(tree, 0.8)) == 1


@pytest.mark.parametrize("n", [2, 3, 17, 60])
def test_heights_and_families_are_scipys(n):
    distances = random_table(n, seed=n)
    tree = family_tree(distances)
    expected = linkage(squareform(distances), method="average")
    np.testing.assert_allclose(cophenet(tree.merges), cophenet(expected))
    for threshold in (0.0, 0.3, 0.5, 2.0):
        labels = fcluster(expected, threshold, criterion="distance")
        groups = {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}
        assert {frozenset(each) for each in families(tree, threshold)} == groups


def test_planted_families_are_found_and_stand_together(planted):
    truth, distances = planted
    tree = family_tree(distances)
    assert sorted(tree.order) == list(range(len(truth)))
    along = [truth[i] for i in tree.order]
    assert sum(a != b for a, b in itertools.pairwise(along)) == 4, "families are torn apart in the order"
    found = families(tree, usual_threshold(distances))
    assert sorted(map(len, found)) == [1, 1, 2, 3, 4]
    assert all(len({truth[i] for i in members}) == 1 for members in found)


def test_neighbours_in_the_order_are_nearer_than_in_scipys_own(planted):
    def length(order) -> float:
        return sum(float(distances[a, b]) for a, b in itertools.pairwise(order))

    distances = random_table(40)
    plain = np.asarray(linkage(squareform(distances), method="average"))
    assert length(family_tree(distances).order) < length(leaves_list(plain).tolist())


def test_many_models_are_joined_without_the_optimal_order():
    tree = family_tree(random_table(MOST_ORDERED + 1))
    assert sorted(tree.order) == list(range(MOST_ORDERED + 1))


def test_one_model_is_a_tree_of_one_leaf_and_two_are_a_single_join():
    assert family_tree([[0.0]]).order == (0,)
    assert families(family_tree([[0.0]]), 0.5) == ((0,),)
    assert usual_threshold([[0.0]]) == 0.0
    tree = family_tree([[0.0, 0.3], [0.3, 0.0]])
    assert tree.merges.tolist() == [[0, 1, 0.3, 2]]
    assert families(tree, usual_threshold([[0.0, 0.3], [0.3, 0.0]])) == ((0,), (1,))


def test_equal_models_are_one_family():
    tree = family_tree(np.zeros((3, 3)))
    assert len(families(tree, usual_threshold(np.zeros((3, 3))))) == 1


def test_a_pair_without_a_distance_counts_as_the_farthest_and_brings_nothing_together():
    # 0 and 1 are near; 2 has a distance to neither, as far as the farthest pair, which is below 1.
    tree = family_tree(table(0.1, NAN, NAN))
    np.testing.assert_allclose(tree.merges[:, 2], [0.1, 1.0])
    assert tree.undefined == 2
    np.testing.assert_allclose(family_tree(table(1.4, NAN, 1.2)).merges[:, 2], [1.2, 1.4])
    assert family_tree(table(NAN)).merges[0, 2] == 1.0
    assert usual_threshold(table(0.1, NAN, 0.5)) == pytest.approx(0.15)
    assert usual_threshold(table(NAN)) == 0.0


def test_half_the_median_finds_no_family_of_a_victim_and_its_copies_and_unrelated_models_do():
    # All pairs of a victim and its copies are about as near.
    distances = table(*[0.1, 0.11, 0.12, 0.1, 0.13, 0.11])
    assert find_families(distances).large == []
    assert find_families(distances).rule == "median"
    found = find_families(distances, unrelated=0.95)
    assert (found.threshold, found.rule, list(map(sorted, found.large))) == (0.475, "unrelated", [[0, 1, 2, 3]])
    found = find_families(distances, unrelated=0.95, threshold=0.102)
    assert (found.threshold, found.rule, len(found.large[0])) == (0.102, "given", 2)


def test_equal_models_that_differ_by_rounding_are_one_family():
    assert find_families(table(1e-16, 0.0, 2e-16)).large == [find_families(table(1e-16, 0.0, 2e-16)).tree.order]


def test_a_pruned_tree_has_the_families_of_the_whole_one():
    distances = random_table(40, seed=3)
    tree = family_tree(distances)
    kept = sorted(np.random.default_rng(0).permutation(40)[:17].tolist())
    part = pruned(tree, kept, distances[np.ix_(kept, kept)])
    assert sorted(part.order) == list(range(17))
    assert part.merges[-1, 3] == 17
    for threshold in (0.3, 0.4, 0.5, 0.6):
        whole = {frozenset(group) & set(kept) for group in families(tree, threshold)} - {frozenset()}
        assert {frozenset(kept[i] for i in group) for group in families(part, threshold)} == whole
    heights = squareform(cophenet(tree.merges))[np.ix_(kept, kept)]
    np.testing.assert_allclose(squareform(cophenet(part.merges)), heights)
    assert pruned(tree, [5], [[0.0]]).order == (0,)
    missing = distances[np.ix_(kept, kept)]
    missing[0, 1] = missing[1, 0] = NAN
    assert sorted(pruned(tree, kept, missing).order) == list(range(17))


def test_a_large_table_is_not_copied(monkeypatch):
    distances = random_table(700)
    monkeypatch.setattr(MODULE, "PIECE", 2**14)
    for look in (pair_distances, lambda table: closest(table, 10), lambda table: extent(table, range(600))):
        tracemalloc.start()
        look(distances)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.75 * distances.nbytes


def test_pieces_do_not_matter(monkeypatch):
    distances = random_table(23)
    distances[3, 4] = distances[4, 3] = NAN

    def all_of_it():
        found = (
            pair_distances(distances),
            closest(distances, 5),
            central(distances, [3, 4, 7]),
            extent(distances, [1, 4]),
        )
        return [np.asarray(each, float).tolist() for each in found]

    whole = all_of_it()
    monkeypatch.setattr(MODULE, "PIECE", 1)
    np.testing.assert_array_equal(whole[0], all_of_it()[0])
    assert whole[1:] == all_of_it()[1:]
    np.testing.assert_array_equal(whole[0], distances[np.triu_indices(23, 1)])
    rows, columns = models_of_pairs(np.arange(23 * 22 // 2), 23)
    np.testing.assert_array_equal([rows, columns], np.triu_indices(23, 1))


def test_extent_by_hand():
    distances = table(0.1, 0.7, 0.5, 0.6, NAN, 0.2)
    assert extent(distances, [0, 1]) == (0.1, 3, 0.5)
    assert extent(distances, [2, 3]) == (0.2, 0, 0.5)
    alone = extent(distances, [0, 1, 2, 3])
    assert (alone.widest, alone.nearest) == (0.7, None)
    assert extent(table(NAN), [0])[:2] == (0.0, None)


def test_the_diagonal_does_not_count():
    distances = table(0.1, 0.4, 0.6)
    np.fill_diagonal(distances, NAN)
    np.testing.assert_allclose(family_tree(distances).merges[:, 2], [0.1, 0.5])


def test_the_central_model_is_nearest_to_all_of_its_family(planted):
    truth, distances = planted
    members = [i for i, family in enumerate(truth) if family == 0]
    means = [np.mean([distances[i, j] for j in members if j != i]) for i in members]
    assert central(distances, members) == members[int(np.argmin(means))]
    assert central(table(0.3), [0, 1]) == 0
    assert central(table(NAN, 0.1, 0.1), [0, 1, 2]) == 2


def test_of_too_many_models_those_with_the_nearest_neighbours_are_kept(planted):
    truth, distances = planted
    kept = closest(distances, 9)
    assert kept == sorted(kept)
    assert {truth[i] for i in kept} == {0, 1, 2}
    assert closest(distances, 50) == list(range(len(truth)))
    assert closest(table(NAN, NAN, 0.5), 2) == [1, 2]


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((0, 0)), r"shape \(0, 0\)"),
        (np.zeros((2, 3)), r"shape \(2, 3\); give one row and one column"),
        (np.zeros(3), r"shape \(3,\)"),
        ([[0, 1], [2, 0]], "`distances` is not symmetric"),
        ([[0, NAN], [1, 0]], "`distances` is not symmetric"),
        ([[0, -1], [-1, 0]], "negative or infinite"),
        ([[0, np.inf], [np.inf, 0]], "negative or infinite"),
    ],
)
def test_what_is_no_table_of_distances_is_refused(distances, message):
    with pytest.raises(ValueError, match=message):
        family_tree(distances)


@pytest.mark.parametrize("threshold", [-0.1, NAN, float("inf")])
def test_impossible_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match=f"`threshold` is {threshold}; give a finite distance, at least 0"):
        families(FamilyTree(np.zeros((0, 4)), (0,), 0), threshold)
