"""The notebook that steals a model in four ways and judges the copies."""

import pytest

from tests.notebooks.running import check_runs


@pytest.mark.slow
def test_thefts_and_innocent_models_get_the_kept_distances():
    check_runs(3, "sklearn", "optax")
