"""The notebook that asks whether data were unlearned."""

import pytest

from tests.notebooks.running import check_runs


@pytest.mark.slow
def test_forgetful_models_get_the_kept_distances():
    check_runs(4, "sklearn", "optax")
