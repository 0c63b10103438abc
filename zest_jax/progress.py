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


class _Rate(ProgressColumn):
    def __init__(self, unit: str, done: int) -> None:
        super().__init__()
        self.unit, self.done = unit, done

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        rate = (task.completed - self.done) / max(elapsed or 0.0, 1e-9)
        return Text(f"{rate:,.0f} {self.unit}/s", style="progress.data.speed")


@contextlib.contextmanager
def progress_bar(description: str, total: int, *, unit: str, show: bool | None, done: int = 0) -> Iterator[Update]:
    """Give a function to be called with the number of units done so far.

    Args:
        description: what is going on.
        total: units in all.
        unit: what is counted, plural.
        show: True: a bar on a terminal, a line every 15 s elsewhere; None: only on a terminal; False: nothing.
        done: units done by an earlier run, left out of the rate.

    >>> with progress_bar("counting", 2, unit="things", show=False) as update:
    ...     update(2)
    """
    terminal = sys.stderr.isatty()
    if show is False or (show is None and not terminal):
        yield lambda _: None
    elif terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            _Rate(unit, done),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(description, total=total, completed=done)
            yield lambda n: bar.update(task, completed=n)
    else:
        yield _Lines(description, total, unit, done)


def tell(text: str, show: bool | None) -> None:
    """Say something about the work on stderr, where a bar would be shown too (see `progress_bar`)."""
    if show or (show is None and sys.stderr.isatty()):
        print(text, file=sys.stderr, flush=True)


class _Lines:
    """Progress for a log: one line now and then, and one at the end."""

    def __init__(self, description: str, total: int, unit: str, done: int) -> None:
        self.description, self.total, self.unit, self.first = description, total, unit, done
        self.start = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last < LINE_EVERY and done < self.total:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - done) / rate if rate > 0 else float("inf")
        print(
            f"{self.description}: {done:,} of {self.total:,} {self.unit}, {rate:,.0f} {self.unit}/s, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )
