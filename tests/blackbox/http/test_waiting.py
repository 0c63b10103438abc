"""Pauses between attempts: how long, for whom, and what ends them."""

import logging
import threading

import pytest

from zest_jax.blackbox.http.pacing import Pace, Stopped, backoff
from zest_jax.errors import RemoteError


class TestWaiting:
    def test_a_server_says_how_long_to_wait(self, ask, server, images, caplog):
        waited = []
        server.fault = lambda n: (429, {"Retry-After": "7"}) if n == 1 else None
        box = ask(inputs_per_request=21, in_flight=1)
        box._exchange.pace = Pace(None, clock=lambda: 0.0, wait=waited.append)
        with caplog.at_level(logging.WARNING):
            box(images)
        assert waited[0] == 7
        assert "waiting 7 s before attempt 2" in caplog.text

    def test_other_workers_wait_too(self):
        waited = []
        pace = Pace(2, clock=lambda: 0.0, wait=waited.append)
        pace.hold(30)
        pace.turn()
        pace.turn()
        assert waited == [30, 30.5]

    def test_workers_that_wait_already_wait_longer(self):
        waits, waiting, held = [], threading.Barrier(3), threading.Event()

        def wait(seconds):
            waits.append(seconds)
            if seconds < 30:
                waiting.wait(20)
                assert held.wait(20)

        pace = Pace(2, clock=lambda: 0.0, wait=wait)
        pace.turn()
        workers = [threading.Thread(target=pace.turn) for _ in range(2)]
        for worker in workers:
            worker.start()
        waiting.wait(20)  # both workers wait for their turn
        pace.hold(30)
        held.set()
        for worker in workers:
            worker.join(20)
        # Once more, until the pause is over, and one after another.
        assert sorted(waits) == [0.5, 1.0, 30.0, 30.5]

    def test_too_long_a_pause_ends_the_run(self, ask, server, images):
        server.fault = lambda n: (503, {"Retry-After": "3600"})
        with pytest.raises(RemoteError, match=r"asks to wait 3,600 s, longer than `longest_wait` \(300 s\)"):
            ask(in_flight=1)(images)
        assert len(server.posts) == 1

    def test_waits_double_with_jitter(self):
        for attempt in range(1, 12):
            waits = [backoff(attempt, 0.5) for _ in range(50)]
            whole = min(0.5 * 2 ** (attempt - 1), 60)
            assert whole / 2 <= min(waits) < max(waits) <= whole

    def test_stopping_ends_a_wait(self):
        pace = Pace(None)
        pace.stop()
        with pytest.raises(Stopped):
            pace.sleep(600)
        with pytest.raises(Stopped):
            pace.turn()
        pace.go()
        pace.turn()
