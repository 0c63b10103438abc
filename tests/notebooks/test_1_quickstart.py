"""The notebook that goes from two models to a distance."""

import pytest

from tests.notebooks.running import check_runs


@pytest.mark.slow
def test_two_models_to_a_distance_gives_the_kept_numbers():
    check_runs(1, "torch", "efficientnet_lite_pytorch")
