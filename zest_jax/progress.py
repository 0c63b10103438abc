"""Show long work on stderr: how far, how fast, how long still."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

# A log file gets a line this often (seconds), where a terminal gets a moving bar.
LINE_EVERY = 15.0

Update = Callable[[int], None]
Speed = Callable[[float], str]


class _Rate(ProgressColumn):
    def __init__(self, speed: Speed, done: int) -> None:
        super().__init__()
        self.speed, self.done = speed, done

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        rate = (task.completed - self.done) / max(elapsed or 0.0, 1e-9)
        return Text(self.speed(rate), style="progress.data.speed")


@contextlib.contextmanager
def progress_bar(
    description: str, total: int, *, unit: str, show: bool | None, done: int = 0, speed: Speed | None = None
) -> Iterator[Update]:
    """Give a function to be called with the number of units done so far.

    Args:
        description: what is going on.
        total: units in all.
        unit: what is counted, plural.
        show: True: a bar on a terminal, a line every 15 s elsewhere; None: only on a terminal; False: nothing.
        done: units done by an earlier run, left out of the rate.
        speed: makes a text of the units done per second, and of what else may be told; None: that rate.

    >>> with progress_bar("counting", 2, unit="things", show=False) as update:
    ...     update(2)
    """
    speed = speed or (lambda rate: f"{rate:,.0f} {unit}/s")
    terminal = sys.stderr.isatty()
    if show is False or (show is None and not terminal):
        yield lambda _: None
    elif terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            _Rate(speed, done),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(description, total=total, completed=done)
            yield lambda n: bar.update(task, completed=n)
    else:
        yield _Lines(description, total, unit, done, speed)


def tell(text: str, show: bool | None) -> None:
    """Say something about the work on stderr, where a bar would be shown too (see `progress_bar`)."""
    if show or (show is None and sys.stderr.isatty()):
        print(text, file=sys.stderr, flush=True)


class _Lines:
    """Progress for a log: one line now and then, and one at the end."""

    def __init__(self, description: str, total: int, unit: str, done: int, speed: Speed) -> None:
        self.description, self.total, self.unit, self.first, self.speed = description, total, unit, done, speed
        self.start = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last < LINE_EVERY and done < self.total:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - done) / rate if rate > 0 else float("inf")
        print(
            f"{self.description}: {done:,} of {self.total:,} {self.unit}, {self.speed(rate)}, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )
