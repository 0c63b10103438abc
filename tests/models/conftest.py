"""A way past the run-time type checks of the test session."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked_types():
    """Turn off the run-time type checks, to see the errors that users without them see."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
