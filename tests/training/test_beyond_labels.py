"""What may be learnt in place of labels, and which parameters may be masked."""

import numpy as np
import pytest

from tests.making import images
from zest_jax.training.beyond_labels import checked_mask, checked_targets


def test_targets_are_checked():
    data = images(6)
    assert checked_targets([2, 1, 0, 0, 1, 2], data, 3).dtype == np.int32
    assert checked_targets(np.ones((6, 3)), data, 3).dtype == np.float32
    for targets, classes, message in (
        ([0, 1], 3, "there are 2 targets for 6 inputs of noise"),
        ([0, 1, 2, 3, 0, 1], 3, "targets go from 0 to 3, and the model has 3 classes"),
        ([0, 1, 2, -1, 0, 1], 3, "targets go from -1 to 2"),
        (np.ones((6, 2)), 3, r"targets have shape \(6, 2\); give labels \[N\] or rows of outputs \[N, 3\]"),
        (np.ones(6), 3, r"targets have shape \(6,\)"),
        (np.full((6, 3), np.nan), 3, "18 of 18 targets are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            checked_targets(targets, data, classes)


def test_masks_of_untrained_parameters_are_refused():
    with pytest.raises(ValueError, match=r"`mask` names stem.bias, which the model does not train"):
        checked_mask({"stem.bias": np.ones(2), "a": np.ones(1)}, ["a", "b"])
