import numpy as np
import pytest

import zest_jax as zest
from zest_jax.references import choose_references

POOL = np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1) / 40


def test_first_are_the_first():
    assert choose_references(POOL, 5, method="first").tolist() == [0, 1, 2, 3, 4]


def test_random_is_seeded_without_repeats_and_a_smaller_choice_is_a_prefix():
    chosen = choose_references(POOL, 20, seed=3)
    assert len(set(chosen.tolist())) == 20
    assert chosen.tolist() == choose_references(POOL, 20, seed=3).tolist()
    assert chosen[:7].tolist() == choose_references(POOL, 7, seed=3).tolist()
    assert chosen.tolist() != choose_references(POOL, 20, seed=4).tolist()


def test_stratified_by_label_takes_as_many_of_each_class_as_possible():
    labels = np.array([0] * 30 + [1] * 8 + [2] * 2)
    chosen = choose_references(POOL, 15, method="stratified", labels=labels)
    assert sorted(np.bincount(labels[chosen]).tolist()) == [2, 6, 7]
    assert len(set(chosen.tolist())) == 15


def test_stratified_by_what_a_model_predicts():
    box = zest.from_callable(lambda x: np.stack([x[:, 0, 0, 0], 0.75 - x[:, 0, 0, 0]], axis=1))
    chosen = choose_references(POOL, 8, method="stratified", model=box)
    assert (POOL[chosen, 0, 0, 0] > 0.375).sum() == 4


def test_given_indices_are_used():
    assert choose_references(POOL, 3, method=[7, 2, 9]).tolist() == [7, 2, 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 41}, "41 references were asked for but there are only 40 inputs"),
        ({"n": 0}, "`n_references` is 0; at least 1"),
        ({"n": 2, "method": "best"}, "unknown way to choose references 'best'"),
        ({"n": 2, "method": "stratified"}, "stratified references need `labels`"),
        ({"n": 2, "method": "stratified", "labels": [1, 2]}, "one label per input"),
        ({"n": 2, "method": [1]}, "1 reference indices were given but `n_references` is 2"),
        ({"n": 2, "method": [1, 40]}, "between 0 and 39"),
        ({"n": 2, "method": [1, 1]}, "given twice"),
        ({"n": 2, "method": [0.5, 1]}, "list of integers"),
    ],
)
def test_bad_choices_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_references(POOL, arguments.pop("n"), **arguments)


def test_an_empty_pool_is_refused():
    with pytest.raises(ValueError, match="the set of inputs is empty"):
        choose_references(POOL[:0], 1)
