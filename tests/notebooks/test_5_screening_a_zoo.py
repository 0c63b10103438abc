"""The notebook that searches a store of signatures for a suspect."""

import pytest

from tests.notebooks.running import check_runs


@pytest.mark.slow
def test_a_suspect_is_found_in_its_family():
    check_runs(5, "sklearn", "optax", "lance", "jinja2")
