"""Models signed by the nodes of a Ray cluster, one model a task."""

import contextlib
import dataclasses
import importlib.machinery
import math
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from zest_jax.errors import ClusterError
from zest_jax.many.job import Failed, Job, Outcome, Say, Signed, in_words
from zest_jax.many.models import identity_of
from zest_jax.many.ray_cluster import check_address, connected, described, places
from zest_jax.many.worker import task
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.signature import Signature
from zest_jax.version import __version__

# Seconds: between two ticks without news; between two looks at the nodes; that the fetching of a finished result may take.
TICK, LOOK, FETCH = 0.5, 2.0, 120.0
# A process that has signed so many models is replaced by a new one, so that what a library leaks does not add up.
MODELS_PER_PROCESS = 100


class _Try(NamedTuple):
    """A model that was not signed yet, why not so far, and where and when it was begun last."""

    job: Job
    crashes: int = 0
    losses: int = 0
    where: str | None = None
    began: float = math.inf

    @property
    def number(self) -> int:
        return 1 + self.crashes + self.losses


@dataclasses.dataclass(frozen=True, kw_only=True)
class RayTasks:
    """Sign models by Ray tasks, one model each.

    The probe set lies in Ray's object store once and is fetched once by every worker process. A model whose process dies
    (segmentation fault, no memory) is tried again, after all others; when that happened `crashes` times it is given up. A model
    whose node dies, or whose result is lost with a node, is signed by another node. What the model's own code or file raises is
    not tried again, nor is one that takes longer than `timeout`.

    Attributes:
        address: HOST:PORT of the cluster's head, "auto" for the cluster that this machine belongs to, or None to start a Ray on
            this machine for the while.
        cpus: that one model takes; threads are kept to that.
        gpus: that one model takes, a whole number or a share such as 0.25. Without GPUs models are asked on CPUs.
        in_flight: tasks handed to Ray at a time; None: twice as many as the nodes can run.
        crashes: how many dead processes a model is allowed before it is given up.
        losses: how many dead nodes.
        timeout: seconds that opening and asking a model may take, or None; then its process is ended. The loading of libraries
            and what Ray waits for are not counted.
        patience: seconds to wait for a node with what a model takes, when the last such node has died.

    Raises:
        ValueError: a number is out of range, or the address is none.
        ClusterError: by `outcomes`; the cluster cannot be reached, has other versions, or no node has what a model takes.
        MissingExtraError: by `outcomes`; Ray is not installed.

    >>> RayTasks(address="10.0.0.1:6379", cpus=4, gpus=0.5).in_flight is None
    True
    """

    address: str | None = None
    cpus: float = 1
    gpus: float = 0
    in_flight: int | None = None
    crashes: int = 3
    losses: int = 10
    timeout: float | None = None
    patience: float = 60.0

    def __post_init__(self) -> None:
        if self.address is not None:
            check_address(self.address)
        if not (0 < self.cpus < math.inf):
            raise ValueError(f"`cpus` is {self.cpus}; give the CPUs of one model, above 0")
        if not (0 <= self.gpus < math.inf) or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ValueError(f"`gpus` is {self.gpus}; give the GPUs of one model: a share of one, or a whole number")
        for name in ("in_flight", "crashes", "losses"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value}; give at least 1")

        if self.timeout is not None and not (0 < self.timeout < math.inf):
            raise ValueError(f"`timeout` is {self.timeout}; give the seconds that a model may take, above 0")

    def outcomes(self, jobs: Iterable[Job], probes: ProbeSet, say: Say) -> Iterator[Outcome | None]:
        """Sign models and tell of each, as they are finished; see `Signer`.

        Raises:
            ClusterError: the cluster cannot be reached, has other versions, or no node has what a model takes.
            MissingExtraError: Ray is not installed.
        """
        room = sum(value.nbytes for value in vars(probes).values() if isinstance(value, np.ndarray))
        with connected(self.address, room=room, say=say) as ray:
            if not (at_a_time := places(ray, self.cpus, self.gpus)):
                raise ClusterError(f"{self.no_place(ray)}; lower `cpus` and `gpus`, or start a node that has them")
            say(f"Ray: {described(ray)}, {at_a_time} model{'s' if at_a_time > 1 else ''} at a time")
            yield from _Run(self, ray, jobs, probes, say).outcomes()

    def no_place(self, ray: Any) -> str:
        """What is said where no node can sign a model."""
        gpus = f" and {self.gpus:g} GPUs" if self.gpus else ""
        return f"no node of the Ray cluster has the {self.cpus:g} CPUs{gpus} of a model; it is {described(ray)}"


class _Run:
    """Tasks under way, and what is still to be done."""

    def __init__(self, how: RayTasks, ray: Any, jobs: Iterable[Job], probes: ProbeSet, say: Say) -> None:
        self.how, self.ray, self.say = how, ray, say
        self.new = deque(jobs)
        # Models of dead nodes come before all others; those whose process died come last, since they may do it again.
        self.lost: deque[_Try] = deque()
        self.crashed: deque[_Try] = deque()
        self.running: dict[Any, _Try] = {}
        self.places, self.looked, self.none_since = 0, -math.inf, math.inf
        # Computed here and carried along, so that no worker need do it.
        self.probe_hash, _ = probes.hash, probes.distinct
        # In a list Ray does not fetch it for every task anew.
        self.probes = [ray.put(probes)]
        # Ray's own retries count a dead process and a dead node alike, and never end where memory is short: we count ourselves.
        # A stream tells of a model's beginning before its end.
        self.task = ray.remote(
            num_cpus=how.cpus,
            num_gpus=how.gpus,
            max_retries=0,
            max_calls=MODELS_PER_PROCESS,
            num_returns="streaming",
        )(task(max(1, math.floor(how.cpus)), how.gpus))

    def outcomes(self) -> Iterator[Outcome | None]:
        try:
            while self.running or self.new or self.lost or self.crashed:
                yield from self._hand_out(self._limit())
                yield from self._outcomes_of(self._ready())
                yield from self._late()
        finally:
            for stream in self.running:
                self._end(stream)

    def _end(self, stream: Any) -> None:
        """End the process of a task; its answer is not listened to."""
        with contextlib.suppress(Exception):
            self.ray.cancel(stream, force=True)

    def _late(self) -> Iterator[Failed]:
        """End models that take too long."""
        if self.how.timeout is None:
            return
        now = time.monotonic()
        late = [stream for stream, one in self.running.items() if now - one.began > self.how.timeout]
        # An answer that is on its way from its node, or waits for this process, was in time.
        answered = self.ray.wait(late, num_returns=len(late), timeout=0, fetch_local=False)[0] if late else []
        for stream in set(late).difference(answered):
            one = self.running.pop(stream)
            self._end(stream)
            text = f"it was not signed after {self.how.timeout:g} s, so its process was ended; it is skipped"
            yield Failed(one.job, text, one.where, one.number)

    def _limit(self) -> int:
        """How many tasks may be under way; waits for a while where no node can run any."""
        now = time.monotonic()
        if now - self.looked >= LOOK:
            self.places, self.looked = places(self.ray, self.how.cpus, self.how.gpus), now
            if self.places:
                self.none_since = math.inf
            elif self.none_since == math.inf:
                self.none_since = now
                self.say(f"{self.how.no_place(self.ray)}; waiting up to {self.how.patience:g} s for one")
            elif now - self.none_since >= self.how.patience:
                raise ClusterError(
                    f"{self.how.no_place(self.ray)}, and none came within {self.how.patience:g} s; start one and go on"
                )
        return (self.how.in_flight or 2 * self.places) if self.places else 0

    def _hand_out(self, limit: int) -> Iterator[Failed]:
        while len(self.running) < limit:
            if self.lost:
                one = self.lost.popleft()
            elif self.new:
                job = self.new.popleft()
                try:
                    one = _Try(dataclasses.replace(job, file_sha256=identity_of(job.model)))
                except Exception as error:  # a file can be made so that reading it raises anything
                    yield Failed(job, in_words(error), trace=traceback.format_exc())
                    continue
            elif self.crashed:
                one = self.crashed.popleft()
            else:
                return
            remote = self.task.options(name=f"zest: {one.job.name}")
            self.running[remote.remote(vars(one.job), self.probes, self.probe_hash, __version__)] = one

    def _ready(self) -> list[Any]:
        """Tasks that have something to tell; waits a moment for the first."""
        running = list(self.running)
        if not running:
            # No node can run any, or all models left could not be read.
            time.sleep(0 if self.places else TICK)
            return []
        ready, _ = self.ray.wait(running, num_returns=1, timeout=TICK)
        return self.ray.wait(running, num_returns=len(running), timeout=0)[0] if ready else []

    def _outcomes_of(self, ready: list[Any]) -> Iterator[Outcome | None]:
        """What tasks have to tell, or None where that is no outcome. What ends the run waits for the others."""
        problem, n_told = None, 0
        for stream in ready:
            try:
                outcome = self._outcome(stream, self.running.pop(stream))
            except ClusterError as error:
                problem = error
                continue
            if outcome is not None:
                n_told += 1
                yield outcome
        if problem is not None:
            raise problem
        if not n_told:
            yield None

    def _outcome(self, stream: Any, one: _Try) -> Outcome | None:
        """What came of a task; None where it has begun, or is to be tried again."""
        known = self.ray.exceptions
        try:
            answer = self.ray.get(next(stream), timeout=FETCH)
        except StopIteration:
            return self._process_died(one, "")
        except (known.WorkerCrashedError, known.OutOfMemoryError) as error:
            return self._process_died(one, str(error) if isinstance(error, known.OutOfMemoryError) else "")
        except (
            known.NodeDiedError,
            known.ObjectLostError,
            known.LocalRayletDiedError,
            known.TaskUnschedulableError,
            known.ObjectStoreFullError,
            known.OutOfDiskError,
            known.GetTimeoutError,
        ) as error:
            # It may live, where only its answer does not arrive.
            self._end(stream)
            return self._node_died(one, error)
        except known.RayError as error:
            return Failed(one.job, in_words(getattr(error, "cause", None) or error), one.where, one.number, str(error))
        if "began" in answer:
            self.running[stream] = one._replace(where=answer["began"], began=time.monotonic())
            return None
        where, name = answer["where"], one.job.name
        if "setup" in answer:
            raise ClusterError(f"the machine {where} {answer['setup']}")
        if "missing" in answer:
            if os.path.exists(answer["missing"]):
                raise ClusterError(
                    f"the machine {where} has no file {answer['missing']}, which is here; models must be readable under the same "
                    "path on every machine of the cluster"
                )
            return Failed(one.job, f"there is no file {answer['missing']} any more", where, one.number)
        if "error" in answer:
            if (absent := answer["absent"]) is not None and is_here(absent, one.job.folder):
                raise ClusterError(
                    f"the machine {where} cannot import {absent}, which is here ({answer['error']}); install the same packages "
                    "on every machine, and give all of them the same modules"
                )
            return Failed(one.job, answer["error"], where, one.number, answer["trace"])
        signature = Signature.from_bytes(answer["signature"], origin=f"the signature of {name} from {where}")
        return Signed(one.job, signature, answer["seconds"], where, one.number, answer["warnings"])

    def _process_died(self, one: _Try, why: str) -> Failed | None:
        one = one._replace(crashes=one.crashes + 1, began=math.inf)
        if one.crashes < self.how.crashes:
            self.say(
                f"{one.job.name}: its process died; it is tried again at the end ({one.crashes} of {self.how.crashes})"
            )
            self.crashed.append(one)
            return None
        # What ended it is not known; Ray tells where it had to make room itself.
        known = " ".join(why.split())[:500] or "a segmentation fault, no memory, or it ended itself"
        times = "once" if one.crashes == 1 else f"{one.crashes} times"
        return Failed(one.job, f"its process died {times} ({known}); it is skipped", one.where, one.number - 1)

    def _node_died(self, one: _Try, error: Exception) -> Failed | None:
        one = one._replace(losses=one.losses + 1, began=math.inf)
        if one.losses < self.how.losses:
            self.say(f"{one.job.name}: its node or its result was lost ({type(error).__name__}); it is signed again")
            self.lost.append(one)
            return None
        times = "once" if one.losses == 1 else f"{one.losses} times"
        text = f"its node or its result was lost {times} ({type(error).__name__}); it is skipped"
        return Failed(one.job, text, one.where, one.number - 1)


def is_here(module: str, folder: str | None) -> bool:
    """Whether this process could import a module, from a folder too; nothing is imported.

    >>> is_here("numpy", None), is_here("no_such_module", "tests"), is_here("making", "tests")
    (True, False, True)
    """
    return importlib.machinery.PathFinder.find_spec(module, [*sys.path, *([folder] if folder else [])]) is not None
