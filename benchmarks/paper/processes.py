"""Trainings at once, each in a process of its own: a single small model leaves most of a GPU idle, and part of two cores."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from zest_jax.cli.console import note

Training = Callable[[], object]
Future = concurrent.futures.Future[Any]
# What each process of a GPU may take of its memory, together; the one that waits for them wants some, too.
_SHARE = 0.8
_MEMORY = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
# Seconds in which a process is to come to the end of a step, or of compiling one.
_GRACE = 60


class OutOfTimeError(Exception):
    """The minutes that a run was given are over; what is measured is kept."""


def train_at_once(
    trainings: Mapping[pathlib.Path, Training],
    processes: int,
    folder: pathlib.Path,
    name: str,
    *,
    until: float | None = None,
) -> None:
    """Do trainings, several at a time, until all are done, one has failed or time is over; no process is left behind.

    Every GPU gets its share of the processes, which share its memory.

    Args:
        trainings: functions that can be pickled, by the file or folder in `folder` that each leaves last.
        processes: at once.
        folder: of the models; `logs` in it has what each training tells on stderr.
        name: what is told of.
        until: when to stop, on the clock of `time.monotonic`; called again, trainings go on from what they have saved.

    Raises:
        OutOfTimeError: it is that late.
        ValueError: this is a TPU, which one process has to itself.
    """
    if jax.default_backend() == "tpu":
        raise ValueError(f"`processes` is {processes}, and one process has a TPU to itself; leave it out")
    logs, began = folder / "logs", time.monotonic()
    logs.mkdir(parents=True, exist_ok=True)
    at_once = min(processes, len(trainings))
    note(f"{name}: {len(trainings)} trainings, {at_once} at once; {logs} tells how far they are")
    devices = _devices()
    settings = [
        {_MEMORY[0]: f"{_SHARE / -(-at_once // len(devices)):.3f}", _VISIBLE: device} if device else {}
        for device in devices
    ]
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    begin = (context.Value("i", 0), settings, str(folder / ".compiled"))
    with concurrent.futures.ProcessPoolExecutor(at_once, context, _begin, begin) as pool:
        waiting = {}
        try:
            for checkpoint, training in trainings.items():
                log = logs / f"{'-'.join(checkpoint.relative_to(folder).parts)}.log"
                waiting[pool.submit(_do, training, log)] = log
            for i, done in enumerate(_until(until, waiting), 1):
                try:
                    done.result()
                except Exception as error:
                    error.add_note(f"{waiting[done]} has what was told before")
                    raise
                note(f"{name}: {i} of {len(trainings)} trained, {time.monotonic() - began:.0f} s")
        except BaseException:
            # What they had not saved is done again; the pool would let all that it has begun come to its end.
            begun = set(multiprocessing.active_children()) - before
            for process in begun:
                process.terminate()
            for process in begun:
                process.join(_GRACE)
                process.kill()
            pool.shutdown(cancel_futures=True)
            raise


def _until(late: float | None, waiting: Iterable[Future]) -> Iterator[Future]:
    """Trainings as they end, while it is not that late."""
    try:
        yield from concurrent.futures.as_completed(waiting, None if late is None else late - time.monotonic())
    except TimeoutError:
        raise OutOfTimeError from None


def _devices() -> list[str]:
    """GPUs as CUDA calls them, or an empty name where JAX computes on CPUs."""
    if jax.default_backend() == "cpu":
        return [""]
    visible = os.environ.get(_VISIBLE)
    return visible.split(",") if visible else [str(device.local_hardware_id) for device in jax.local_devices()]


def _begin(number: Any, settings: list[dict[str, str]], compiled: str) -> None:
    """Set up a process before it asks JAX for a device."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches all processes of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    with number.get_lock():
        own = settings[number.value % len(settings)]
        number.value += 1
    if any(name in os.environ for name in _MEMORY):
        own = {name: value for name, value in own.items() if name not in _MEMORY}
    os.environ.update(own)
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        # What one has compiled, the others read.
        jax.config.update("jax_compilation_cache_dir", compiled)


def _end_with_parent() -> None:
    """End when the process that waits for the trainings is killed: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _end(*_: object) -> None:
    """End between two steps: a process that ends with work under way can take those with it that share a GPU under MPS."""
    jax.block_until_ready(jax.numpy.zeros(()))
    os._exit(1)


def _do(training: Training, log: pathlib.Path) -> None:
    # What it returns stays in its process: models cannot be sent to another.
    with log.open("a", buffering=1, encoding="utf-8") as file, contextlib.redirect_stderr(file):
        training()
