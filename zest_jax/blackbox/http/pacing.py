"""When the next request may leave: a rate that all workers share, pauses that a server asks for, and growing waits."""

import datetime as dt
import email.utils
import random
import threading
import time
from collections.abc import Callable

# Growing waits do not grow beyond this (seconds).
LONGEST_BACKOFF = 60.0


class Stopped(Exception):
    """Another request failed for good, or the run was interrupted."""


class Pace:
    """Lets requests through one after another, no faster than `rate`.

    Args:
        rate: requests per second over all workers, None for no limit.
        clock: seconds, as `time.monotonic` tells them.
        wait: waits so many seconds, unless an event ends it early, and says whether one did.

    >>> now = [0.0]
    >>> pace = Pace(4.0, clock=lambda: now[0], wait=lambda seconds: now.append(now.pop() + seconds))
    >>> for _ in range(3):
    ...     pace.turn()
    >>> now
    [0.5]
    """

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._gap = 0.0 if rate is None else 1 / rate
        self._clock = clock
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._lock = threading.Lock()
        self._next = self._held_until = -float("inf")

    def turn(self) -> None:
        """Wait until this request may leave.

        Raises:
            Stopped: `stop` was called.
        """
        mine = None
        while True:
            with self._lock:
                # A turn that was given before the server asked for a pause, and lies in it, is given anew.
                if mine is not None and mine >= self._held_until:
                    return
                now = self._clock()
                mine = max(self._next, now)
                self._next = mine + self._gap
            self.sleep(mine - now)

    def hold(self, seconds: float) -> None:
        """Let no further request leave for so long, not even of workers that wait already: the server asked for it."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)
            self._next = max(self._next, self._held_until)

    def sleep(self, seconds: float) -> None:
        """Wait, unless stopped.

        Raises:
            Stopped: `stop` was called.
        """
        if seconds > 0:
            self._wait(seconds)
        if self._ended.is_set():
            raise Stopped

    def stop(self) -> None:
        """End all waiting, and let nothing more leave."""
        self._ended.set()

    def go(self) -> None:
        """Undo `stop`."""
        self._ended.clear()


def backoff(attempt: int, first: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1): doubled each time, with jitter from a half to the whole.

    >>> 2.0 <= backoff(3, 1.0) <= 4.0
    True
    """
    # Workers that failed together shall not come back together.
    return min(first * 2.0 ** (attempt - 1), LONGEST_BACKOFF) * random.uniform(0.5, 1.0)


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or a date; None where it is absent or unreadable.

    >>> retry_after("2"), retry_after("soon"), retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
    (2.0, None, 0.0)
    """
    if header is None:
        return None
    text = header.strip()
    try:
        seconds = float(text)
        return seconds if 0 <= seconds < float("inf") else None
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return max(0.0, (when - dt.datetime.now(dt.UTC)).total_seconds())
