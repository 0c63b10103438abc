"""Show long work on stderr: how far, how fast, how long still."""

import contextlib
import datetime as dt
import math
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

# A log file gets a line this often (seconds), where a terminal gets a moving bar.
LINE_EVERY = 15.0

Update = Callable[[int], None]
Speed = Callable[[float], str]


class _Pace:
    """How fast the work is, from what was worked at in this run."""

    def __init__(self, total: int, first: int, speed: Speed, worked: Callable[[], int] | None) -> None:
        self.total, self.first, self.speed, self.worked = total, first, speed, worked

    def rate(self, done: int, seconds: float) -> float:
        return (self.worked() if self.worked else done - self.first) / max(seconds, 1e-9)

    def in_words(self, done: int, seconds: float) -> str:
        return self.speed(self.rate(done, seconds))

    def left(self, done: int, seconds: float) -> float | None:
        """Seconds left, or None where nothing tells."""
        rate = self.rate(done, seconds)
        return (self.total - done) / rate if rate > 0 else 0.0 if done >= self.total else None


class _Rate(ProgressColumn):
    def __init__(self, pace: _Pace) -> None:
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(self.pace.in_words(int(task.completed), elapsed or 0.0), style="progress.data.speed")


class _Left(ProgressColumn):
    def __init__(self, pace: _Pace) -> None:
        super().__init__()
        self.pace = pace

    def render(self, task: Task) -> Text:
        left = self.pace.left(int(task.completed), task.elapsed or 0.0)
        text = "" if left is None else f"{dt.timedelta(seconds=math.ceil(left))} left"
        return Text(text, style="progress.remaining")


@contextlib.contextmanager
def progress_bar(
    description: str,
    total: int,
    *,
    unit: str,
    show: bool | None,
    done: int = 0,
    speed: Speed | None = None,
    worked: Callable[[], int] | None = None,
) -> Iterator[Update]:
    """Give a function to be called with the number of units done so far.

    Args:
        description: what is going on.
        total: units in all.
        unit: what is counted, plural.
        show: True: a bar on a terminal, a line every 15 s elsewhere; None: only on a terminal; False: nothing.
        done: units done by an earlier run, left out of the rate.
        speed: makes a text of the units done per second, 0 where none is, and of what else may be told; None: that rate.
        worked: tells how many units rate and time left come from; None: all that were done in this run.

    >>> with progress_bar("counting", 2, unit="things", show=False) as update:
    ...     update(2)
    """
    speed = speed or (lambda rate: f"{rate:,.0f} {unit}/s" if rate else "")
    pace = _Pace(total, done, speed, worked)
    terminal = sys.stderr.isatty()
    if show is False or (show is None and not terminal):
        yield lambda _: None
    elif terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            _Rate(pace),
            _Left(pace),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(description, total=total, completed=done)
            yield lambda n: bar.update(task, completed=n)
    else:
        yield _Lines(description, unit, pace)


def tell(text: str, show: bool | None) -> None:
    """Say something about the work on stderr, where a bar would be shown too (see `progress_bar`)."""
    if show or (show is None and sys.stderr.isatty()):
        print(text, file=sys.stderr, flush=True)


class _Lines:
    """Progress for a log: one line now and then, and one at the end."""

    def __init__(self, description: str, unit: str, pace: _Pace) -> None:
        self.description, self.unit, self.pace = description, unit, pace
        self.ended = False
        self.start = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        total = self.pace.total
        if self.ended or (now - self.last < LINE_EVERY and done < total):
            return
        self.last, self.ended = now, done >= total
        seconds = now - self.start
        left = self.pace.left(done, seconds)
        told = [
            f"{self.description}: {done:,} of {total:,} {self.unit}",
            self.pace.in_words(done, seconds),
            "" if left is None else f"{left:,.0f} s left",
        ]
        print(", ".join(filter(None, told)), file=sys.stderr, flush=True)
