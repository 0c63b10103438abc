import collections
import types

import numpy as np
import pytest

from zest_jax.blackbox.outputs import as_rows, in_fixed_batches, select_output
from zest_jax.errors import ModelOutputError

LOGITS, FEATURES, MAPS = np.zeros((4, 10)), np.zeros((4, 64)), np.zeros((4, 8, 7, 7))


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (LOGITS, None),
        (LOGITS, 0),
        ((MAPS, LOGITS), None),
        ((FEATURES, LOGITS), 1),
        ((FEATURES, LOGITS), -1),
        ({"features": FEATURES, "logits": LOGITS}, None),
        ({"features": FEATURES, "scores": LOGITS}, "scores"),
        ({"features": FEATURES, "scores": LOGITS}, 1),
        (collections.namedtuple("Out", "logits aux")(LOGITS, FEATURES), None),
        (types.SimpleNamespace(logits=LOGITS, loss=None), None),
        (types.SimpleNamespace(scores=LOGITS, loss=None), "scores"),
    ],
)
def test_the_output_is_found_in_what_models_answer(answer, output):
    assert select_output(answer, output, "suspect") is LOGITS


@pytest.mark.parametrize(
    ("answer", "output", "text"),
    [
        (
            (FEATURES, LOGITS),
            None,
            r"suspect answered \[0\] float64 \[4, 64\]; \[1\] float64 \[4, 10\]: 2 of them could",
        ),
        (
            MAPS,
            None,
            r"suspect answered float64 \[4, 8, 7, 7\], not one array \[batch, classes\]; choose another output",
        ),
        ((MAPS, LOGITS), 0, r"float64 \[4, 8, 7, 7\] at `output=0`, not one array"),
        ((LOGITS,), 3, r"suspect has no output 3; it answered \[0\] float64 \[4, 10\]"),
        ({"a": LOGITS}, "b", r"suspect has no output 'b'; it answered \['a'\] float64 \[4, 10\]"),
        (None, None, r"suspect answered a NoneType, not one array"),
        (types.SimpleNamespace(x=1), None, r"answered a SimpleNamespace"),
    ],
)
def test_an_answer_that_does_not_fit_is_described(answer, output, text):
    with pytest.raises(ModelOutputError, match=text):
        select_output(answer, output, "suspect")


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (np.zeros((3, 10)), "suspect answered 3 rows for 4 inputs"),
        (np.array([["cat"]] * 4), "answered <U3 values; return numbers"),
        (np.array([[{}]] * 4), "answered object values; return numbers"),
        (np.zeros((4, 2), complex), "complex numbers; return real scores"),
    ],
)
def test_rows_that_are_not_one_row_of_numbers_per_input_are_refused(rows, text):
    with pytest.raises(ModelOutputError, match=text):
        as_rows(rows, 4, "suspect")


@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_fixed_batches_answer_any_number_of_inputs_in_order(n):
    sizes = []

    def ask(part):
        sizes.append(len(part))
        return part * 2

    inputs = np.arange(n, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(in_fixed_batches(ask, inputs, 3, "suspect"), inputs * 2)
    assert set(sizes) == {3}


@pytest.mark.parametrize("answer", [np.zeros((4, 2)), np.zeros(3)])
def test_fixed_batches_of_a_wrong_number_of_rows_are_refused(answer):
    with pytest.raises(ModelOutputError, match=r"suspect answered a batch of 3 inputs with \(.*\); one row of class"):
        in_fixed_batches(lambda part: answer, np.zeros((4, 2)), 3, "suspect")
