"""docs/sizing.md is what the results give."""

from pathlib import Path

import pytest

from benchmarks.speed import sizing


def test_the_page_is_that_of_the_results():
    assert Path(sizing.PAGE).read_text(encoding="utf-8") == sizing.page()


def test_numbers_read_well():
    assert [sizing.size_of(n) for n in (999, 92e3, 2_600_000_000, 5e12)] == ["999 B", "92 KB", "2.6 GB", "5 TB"]
    assert [sizing.duration(s) for s in (0.4, 90, 7200, 400_000)] == ["0.4 s", "1.5 min", "2.0 h", "4.6 days"]
    assert sizing.machines(86_401, 86_400) == "2"


@pytest.mark.parametrize(("compared", "models"), [(12, 22), (200, 89), (10_000, 632)])
def test_unrelated_models_give_enough_pairs_and_one_fewer_does_not(compared, models):
    assert sizing.unrelated_models(compared) == models
    wanted = 20 * compared - 1
    assert models * (models + 1) // 2 >= wanted > (models - 1) * models // 2
