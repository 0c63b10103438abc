"""Sign many models into a store: what is there already is left out, what is finished is added as it comes."""

import contextlib
import dataclasses
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zest_jax.errors import ProbeMismatchError
from zest_jax.many.additions import Additions
from zest_jax.many.job import Failed, Job, Say, Signed, Signer
from zest_jax.many.loop import PlainLoop
from zest_jax.many.present import sort_out
from zest_jax.names import check_text
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.progress import progress_bar
from zest_jax.screening.entries import UNKNOWN, Metadata
from zest_jax.screening.store import Store
from zest_jax.signature import POOR_R2
from zest_jax.solving import SolveSettings


class Done(NamedTuple):
    """A model was signed and is in the store.

    Attributes:
        name: of the model.
        model: its file, folder or Python reference.
        seconds: that opening and asking it took.
        where: the machine that did it, or None for this process.
        tries: how often it was begun.
        classes: how many outputs it has.
        r2: share of its answers' variance that the linear fits explain.

    >>> done = Done(name="victim", model="/models/victim.onnx", seconds=3.2, where=None, tries=1, classes=10, r2=0.61)
    >>> f"{done.name}: {done.classes} classes, {done.seconds:.1f} s"
    'victim: 10 classes, 3.2 s'
    """

    name: str
    model: str
    seconds: float
    where: str | None
    tries: int
    classes: int
    r2: float


class SignedAll(NamedTuple):
    """What `sign_all` did.

    Attributes:
        done: models that were signed and added, in the order of their addition.
        present: names of those that were in the store already, or that another process added meanwhile.
        failed: those that are not in the store, each with why.
        seconds: that all of it took.
        version: of the store afterwards, or None where there is none.
        poor: R2 by name of the models, signed now or before, that linear fits hardly explain.

    >>> failed = Failed(Job(name="b", model="/models/b.onnx"), error="not an ONNX model")
    >>> report = SignedAll(done=(), present=("a",), failed=(failed,), seconds=0.1, version=3, poor={})
    >>> report.present, [f"{each.job.name}: {each.error}" for each in report.failed]
    (('a',), ['b: not an ONNX model'])
    """

    done: tuple[Done, ...]
    present: tuple[str, ...]
    failed: tuple[Failed, ...]
    seconds: float
    version: int | None
    poor: Mapping[str, float]


def sign_all(
    jobs: Sequence[Job],
    probes: ProbeSet,
    store: str | os.PathLike[str],
    *,
    by: Signer | None = None,
    metadata: Metadata = UNKNOWN,
    progress: bool | None = None,
    say: Say = lambda text: None,
) -> SignedAll:
    """Sign models and add their signatures to a store, which is made if there is none.

    Models that are in the store are not signed again, so that the same call goes on where one was interrupted; those that were
    signed of another file, or with other options, count as failed. Only this process writes to the store: finished signatures
    are added in small groups, every few seconds, each group whole or not at all. So whatever ends the run, what was added stays,
    and no model is there twice. A model that fails is left out and told of; the others go on.

    Args:
        jobs: the models, each with a name of its own (see `find_models`).
        probes: what to ask; the store's probe set.
        store: folder or URL of the store.
        by: `PlainLoop`, the default, or `RayTasks`.
        metadata: noted of all models.
        progress: a bar on stderr; by default when that is a terminal.
        say: gets a line of text when something is to be told meanwhile.

    Raises:
        ValueError: two jobs have one name, or a name cannot be one in a store.
        ProbeMismatchError: the store has another probe set (before any query).
        StoreError: the store cannot be read or written, or its folder holds other files (before any query).
        ClusterError: see `RayTasks`; what was finished is in the store.
        KeyboardInterrupt: after what was finished has been added; its text says how to go on.

    >>> import tempfile
    >>> from zest_jax import image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    >>> probes = image_probes(images, 4, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> models = ["tests/golden/models/victim.onnx", "tests/golden/models/unrelated.onnx"]
    >>> jobs = [Job(name=f"model {i}", model=model) for i, model in enumerate(models)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print([done.name for done in sign_all(jobs, probes, f"{folder}/models.store").done])
    ...     print(sign_all(jobs, probes, f"{folder}/models.store").present)
    ['model 0', 'model 1']
    ('model 0', 'model 1')
    """
    began = time.monotonic()
    names = [job.name for job in jobs]
    if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
        raise ValueError(f"two models are called {twice[0]!r}; in a store names are unique: give other names")
    for name in names:
        check_text("name", name)
    additions = Additions(os.fspath(store), metadata)
    if additions.store is not None:
        _check_that_they_fit(jobs, probes, additions.store)
    left, present, failed, known = sort_out(jobs, additions.store, say)
    done: list[Done] = []
    n_signed = 0

    def add(*, now: bool = False) -> None:
        found = additions.add_what_is_due(now=now)
        done.extend(map(_noted, found.added))
        present.extend(signed.job.name for signed in found.present)
        failed.extend(found.refused)

    def speed(rate: float) -> str:
        rates = f"{60 * rate:,.1f} models/min, {rate * probes.n_queries:,.0f} queries/s, " if rate else ""
        return f"{rates}{len(failed)} failed"

    before, finished = len(present) + len(failed), 0
    bar = progress_bar(
        "signing", len(jobs), unit="models", show=progress, done=before, speed=speed, worked=lambda: n_signed
    )
    with _told_how_to_go_on(additions, say), bar as update, contextlib.ExitStack() as stack:
        # Whatever ends the loop: first the work is stopped, then what was finished is added.
        stack.callback(lambda: add(now=True))
        outcomes = (by or PlainLoop()).outcomes(left, probes, say) if left else iter(())
        if close := getattr(outcomes, "close", None):
            stack.callback(close)
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                failed.append(outcome)
            elif isinstance(outcome, Signed):
                for text in outcome.warnings:
                    warnings.warn(f"{outcome.job.name}: {text}", stacklevel=2)
                additions.take(outcome)
                n_signed += 1
            finished += outcome is not None
            add()
            update(before + finished)
    order = {name: i for i, name in enumerate(names)}
    failed.sort(key=lambda each: order[each.job.name])
    version = None if additions.store is None else additions.store.version
    present.sort(key=order.__getitem__)
    known |= {each.name: each.r2 for each in done}
    poor = {name: known[name] for name in names if name in known and known[name] < POOR_R2}
    return SignedAll(tuple(done), tuple(present), tuple(failed), time.monotonic() - began, version, poor)


def _check_that_they_fit(jobs: Sequence[Job], probes: ProbeSet, store: Store) -> None:
    """Refuse, before any query, what the store would refuse of every signature."""
    if store.header.probe_hash != probes.hash:
        raise ProbeMismatchError(
            f"the probe set is {probes.hash[:16]}, and {store.uri} holds signatures of {store.header.probe_hash[:16]}; give the "
            "probe set of the store, or name another store"
        )
    for job in jobs:
        fit = {field.name: job.sign.get(field.name, field.default) for field in dataclasses.fields(SolveSettings)}
        for name, value in {**fit, "targets": job.sign.get("targets", "as-is")}.items():
            stored = store.header.settings if name == "targets" else store.header.settings.get("solve") or {}
            if name != "solver" and name in stored and stored[name] != value:
                raise ProbeMismatchError(
                    f"the signatures of {store.uri} were fitted with {name} {stored[name]}, not {value} as for {job.name}; "
                    "sign with the same settings, or name another store"
                )


@contextlib.contextmanager
def _told_how_to_go_on(additions: Additions, say: Say) -> Iterator[None]:
    def kept() -> str:
        n = additions.n_added
        return f"{n or 'no'} model{' was' if n < 2 else 's were'} added to {additions.uri}"

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{kept()}; run the same command again to go on") from None
    except Exception:
        if additions.n_added:
            say(f"{kept()} before; the same command goes on from there")
        raise


def _noted(signed: Signed) -> Done:
    return Done(
        name=signed.job.name,
        model=signed.job.model,
        seconds=round(signed.seconds, 3),
        where=signed.where,
        tries=signed.tries,
        classes=signed.signature.n_classes,
        r2=signed.signature.mean_r2(),
    )
