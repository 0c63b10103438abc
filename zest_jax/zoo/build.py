"""Build a zoo: every model after those that it is made from, several at a time, in processes of their own."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zest_jax.errors import ZestError
from zest_jax.training.run_folder import locked
from zest_jax.zoo.config import Zoo, load_zoo
from zest_jax.zoo.entries.base import Entry
from zest_jax.zoo.index import IndexEntry, made_before, note_made, write_index
from zest_jax.zoo.workbench import Workbench

_POLL = 0.2
_LOG_FILE = "log.txt"

# In the folder of a zoo: one line per build that came to its end, with the time it took.
COMPILED_FOLDER = ".compiled"
BUILDS_FILE = "builds.jsonl"

Say = Callable[[str], None]


class ZooBuildError(ZestError):
    """Some models of a zoo could not be made; the others are there.

    >>> error = ZooBuildError("1 of 22 models could not be made; noisy: the disk is full; the others are in the index")
    >>> isinstance(error, ZestError)
    True
    """


@dataclasses.dataclass
class _Worker:
    entry: Entry
    process: subprocess.Popen
    cores: frozenset[int] | None
    began: float


def build_zoo(
    config: str | os.PathLike[str],
    root: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    only: tuple[str, ...] = (),
    say: Say = lambda text: None,
) -> list[IndexEntry]:
    """Make the models of a zoo that are not there yet, and write its `index.json`.

    Each model is made by a process of its own. On CPUs several run at a time, each on its own cores, since training does not
    use two cores twice as well as one; on an accelerator one after the other. What a process prints goes to `log.txt` in
    the model's folder. An interrupted build goes on where it was left, within a training too. What is compiled is kept in
    `.compiled` for all of them, unless JAX_COMPILATION_CACHE_DIR names another folder.

    Args:
        config: Python file that defines `zoo`; it is run.
        root: folder of the zoo, made when missing.
        jobs: processes at a time; None: one per core, or one where there is an accelerator.
        only: names; make only these, and what they are made from. None: all.
        say: gets a line of text whenever a model is begun, goes on or is done.

    Returns:
        the index.

    Raises:
        FileNotFoundError, FileFormatError: the configuration cannot be read.
        FolderInUseError: another process builds there.
        ValueError: the folder holds a model with other settings, or a name is unknown.
        ZooBuildError: some models could not be made; says which, with the last lines of their logs.

    >>> build_zoo("configs/zoo/cifar10-small.py", "zoo", only=("pruned-90",))        # before anything is made
    Traceback (most recent call last):
    ValueError: zoo 'cifar10-small' has no model 'pruned-90'; it has victim, ...
    """
    zoo, root = load_zoo(config), Path(root).absolute()
    if jobs is not None and jobs < 1:
        raise ValueError(f"`jobs` is {jobs}; give at least 1")
    wanted = _wanted(zoo, only)
    with locked(root):
        return _build(zoo, Path(config), root, wanted, jobs, say)


def _build(zoo: Zoo, config: Path, root: Path, wanted: list[Entry], jobs: int | None, say: Say) -> list[IndexEntry]:
    there = [entry.name for entry in wanted if made_before(zoo, entry, root)]
    if there:
        say(f"{len(there)} of {len(wanted)} models are there already")
    began = time.monotonic()
    failed = _make(zoo, config, root, [e for e in wanted if e.name not in there], len(wanted), jobs, say)
    index = write_index(zoo, root)
    if len(there) < len(wanted):
        made = [entry.name for entry in wanted if entry.name not in there and entry.name not in failed]
        _note_build(root, {"seconds": round(time.monotonic() - began, 1), "made": made, "there_before": there})
    if failed:
        texts = [f"{name}: {why}" for name, why in failed.items()]
        raise ZooBuildError(
            f"{len(failed)} of {len(wanted)} models could not be made; "
            + "; ".join(texts)
            + "; the others are in the index"
        )
    return index


def make_one(config: str | os.PathLike[str], root: Path, name: str) -> IndexEntry:
    """Make one model of a configuration in this process; those that it is made from must be there."""
    zoo = load_zoo(config)
    return make_here(zoo, zoo.entry(name), root)


def make_here(zoo: Zoo, entry: Entry, root: Path) -> IndexEntry:
    """Make a model in this process, unless it is there; those that it is made from must be.

    Raises:
        FileNotFoundError: one of those is not there, or not made to its end.
        ValueError: a model of that name was made with other settings.
    """
    if (found := made_before(zoo, entry, root)) is not None:
        return found
    for parent in entry.parents:
        if made_before(zoo, zoo.entry(parent), root) is None:
            raise FileNotFoundError(
                f"{entry.name} is made from {parent}, which has not been made in {root}; make it first"
            )
    began = time.monotonic()
    (root / entry.name).mkdir(parents=True, exist_ok=True)
    made = entry.make(Workbench(root, progress=True))
    return note_made(zoo, entry, made, root, time.monotonic() - began)


def _wanted(zoo: Zoo, only: tuple[str, ...]) -> list[Entry]:
    if not only:
        return list(zoo.models)
    names = set()
    waiting = list(only)
    while waiting:
        entry = zoo.entry(waiting.pop())
        names.add(entry.name)
        waiting += entry.parents
    return [entry for entry in zoo.models if entry.name in names]


def _make(
    zoo: Zoo, config: Path, root: Path, entries: list[Entry], total: int, jobs: int | None, say: Say
) -> dict[str, str]:
    """Run the workers; returns why models could not be made."""
    if not entries:
        return {}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    jobs = jobs or (len(cores) if _on_cpu() else 1)
    # On an accelerator, or alone, a process may use all cores.
    sets = [frozenset(cores[i::jobs]) for i in range(jobs)] if 1 < jobs <= len(cores) else []
    waiting, running, failed = list(entries), [], {}
    left = {entry.name for entry in entries}
    done, began = total - len(entries), time.monotonic()
    with _stopped_at_the_end(running):
        while waiting or running:
            for entry in list(waiting):
                if lost := [parent for parent in entry.parents if parent in failed]:
                    failed[entry.name] = f"it is made from {lost[0]}"
                    waiting.remove(entry)
                elif len(running) < jobs and not set(entry.parents) & left:
                    free = next((s for s in sets if all(worker.cores != s for worker in running)), None)
                    running.append(_start(entry, config, root, free))
                    waiting.remove(entry)
                    say(f"{entry.name}: {entry.kind}{_from(entry)} ...")
            time.sleep(_POLL)
            for worker in [w for w in running if w.process.poll() is not None]:
                running.remove(worker)
                name, seconds = worker.entry.name, time.monotonic() - worker.began
                made = made_before(zoo, worker.entry, root) if worker.process.returncode == 0 else None
                if made is None:
                    failed[name] = _last_lines(root / name / _LOG_FILE, worker.process.returncode)
                    say(f"{name}: failed after {seconds:,.0f} s: {failed[name]}")
                    continue
                left.discard(name)
                done += 1
                write_index(zoo, root)
                accuracy = "" if made.accuracy is None else f", accuracy {made.accuracy:.2%}"
                say(
                    f"[{done}/{total}] {name}: done in {seconds:,.0f} s{accuracy}; {time.monotonic() - began:,.0f} s in all"
                )
    return failed


def _start(entry: Entry, config: Path, root: Path, cores: frozenset[int] | None) -> _Worker:
    (root / entry.name).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "zest_jax.zoo.worker", str(config), str(root), entry.name]
    if cores is not None:
        command += ["--cores", ",".join(map(str, sorted(cores)))]
    with (root / entry.name / _LOG_FILE).open("ab") as log:
        # Most models of a zoo are trained alike: what one process compiles the others need not.
        environment = {"JAX_COMPILATION_CACHE_DIR": str(root / COMPILED_FOLDER), **os.environ}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    return _Worker(entry, process, cores, time.monotonic())


@contextlib.contextmanager
def _stopped_at_the_end(workers: list[_Worker]) -> Iterator[None]:
    """Leave no process behind; what they had not saved is done again by the next build."""
    try:
        yield
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            try:
                worker.process.wait(10)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()


def _note_build(root: Path, build: dict[str, Any]) -> None:
    with (root / BUILDS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(build) + "\n")


def _on_cpu() -> bool:
    """Whether JAX computes on CPUs; asked in another process, since this one must not claim an accelerator."""
    code = "import jax; print(jax.default_backend())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() in ("cpu", "")


def _from(entry: Entry) -> str:
    return f" from {' and '.join(entry.parents)}" if entry.parents else ""


def _last_lines(log: Path, code: int) -> str:
    if code < 0:
        return f"its process was ended by signal {-code}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return " / ".join(lines[-1:]) or f"its process ended with code {code}; see {log}"
