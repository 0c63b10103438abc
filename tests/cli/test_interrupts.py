"""Ctrl-C arrives, also where Python would lose it."""

import signal
import time

import pytest

from zest_jax.cli.main import interrupts_that_arrive, main


def _xla_gc_callback():
    """Stands for JAX's function of that name, in which Python swallows what is raised."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _python_handles_interrupts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_inside_the_garbage_collector_comes_a_moment_later():
    passed = False
    with pytest.raises(KeyboardInterrupt), interrupts_that_arrive():  # noqa: PT012
        _xla_gc_callback()
        passed = True
        time.sleep(5)
    assert passed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_any_other_interrupt_comes_at_once():
    with pytest.raises(KeyboardInterrupt), interrupts_that_arrive():
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_that_arrive():
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_while_options_are_read_ends_cleanly(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("zest_jax.cli.main.tyro.cli", interrupted)
    assert main(["sign"]) == 1
    assert capsys.readouterr().err == "interrupted\n"
