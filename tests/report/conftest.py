"""Reports that several files of tests look at; treat as read-only."""

import pytest

from tests.report.making import undraw, world
from tests.report.page_reader import DAY
from zest_jax.screening import compare_all, investigate


@pytest.fixture(scope="session")
def found():
    made = world()
    return investigate(made.suspect, made.models, unrelated=made.unrelated)


@pytest.fixture(scope="session")
def report(found):
    pytest.importorskip("jinja2")
    from zest_jax.report.about_suspect import suspect_page

    return suspect_page(found, name="models.store", made=DAY, probes=world().probes, references=2)


@pytest.fixture(scope="session")
def zoo_report():
    pytest.importorskip("jinja2")
    from zest_jax.report.about_zoo import zoo_page

    made = world()
    return zoo_page(compare_all([made.suspect, *made.models, *made.unrelated]), name="models.store", made=DAY)


@pytest.fixture
def undrawn(monkeypatch):
    """Without the pictures, which take longest."""
    undraw(monkeypatch)
