import pytest

from zest_jax import progress
from zest_jax.progress import progress_bar


def test_a_log_gets_lines_with_rate_and_time_left(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 20.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress_bar("signing", 100, unit="queries", show=True) as update:
        update(5)  # too soon for a line
        update(40)
        update(100)
    assert capsys.readouterr().err.splitlines() == [
        "signing: 40 of 100 queries, 2 queries/s, 30 s left",
        "signing: 100 of 100 queries, 2 queries/s, 0 s left",
    ]


def test_what_an_earlier_run_did_is_not_in_the_rate(capsys, monkeypatch):
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress_bar("signing", 100, unit="queries", show=True, done=60) as update:
        update(80)
    assert "1 queries/s, 20 s left" in capsys.readouterr().err


def test_only_what_was_worked_at_counts_where_that_is_told(capsys, monkeypatch):
    clock, worked = iter([0.0, 20.0, 40.0, 60.0, 80.0]), [0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress_bar("signing", 100, unit="models", show=True, worked=lambda: worked[0]) as update:
        update(50)  # nothing tells how fast that is
        worked[0] = 20
        update(90)
        update(100)
        update(100)  # told already
    assert capsys.readouterr().err.splitlines() == [
        "signing: 50 of 100 models",
        "signing: 90 of 100 models, 0 models/s, 20 s left",
        "signing: 100 of 100 models, 0 models/s, 0 s left",
    ]


@pytest.mark.parametrize("show", [False, None])
def test_silent_when_not_asked_for_or_not_on_a_terminal(capsys, show):
    with progress_bar("signing", 10, unit="queries", show=show) as update:
        update(10)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_bar("signing", 10, unit="queries", show=None) as update:
        update(10)
    shown = capsys.readouterr().err
    assert "signing" in shown
    assert "10/10" in shown
    assert "queries/s" in shown
    assert "0:00:00 left" in shown
