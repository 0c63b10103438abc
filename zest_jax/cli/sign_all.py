"""`zest sign-all`: sign many models into a store, here or on the machines of a Ray cluster."""

import contextlib
import dataclasses
import importlib.util
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

from zest_jax.cli.console import keep_numbers, note, print_json, result_console
from zest_jax.cli.entries import NotedOptions
from zest_jax.cli.files import UsageError, check_model, read_probes
from zest_jax.cli.options import OFF, Common, ModelOptions, SolveOptions
from zest_jax.cli.store import already_there
from zest_jax.wording import counted

if TYPE_CHECKING:
    from zest_jax.many import Job, SignedAll, Signer

# What --ray without an address means.
LOCAL = "local"
_ADDRESS = PrimitiveConstructorSpec(
    nargs=(0, 1),
    metavar="[ADDRESS]",
    instance_from_str=lambda words: words[0] if words else LOCAL,
    is_instance=lambda value: True,
    str_from_instance=lambda value: [str(value)],
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignAll(Common):
    """Sign many models and add their signatures to a store, which is made if there is none.

    Finished signatures are added as they come, and models that are in the store are left out, so that the same command goes on
    where one was interrupted. A model that fails is told of in the end, and the others are signed: exit code 1. With --ray the
    models are signed by the machines of a Ray cluster, one model a task.
    """

    models: Positional[Annotated[tuple[str, ...], arg(metavar="MODEL ...")]]
    """What `zest sign` takes but no URLs; or folders that hold models, and the folders of zoos. A model is called after its
    file or run."""

    probes: Annotated[Path, arg(metavar="FILE")]
    """Probe set, as `zest probes` wrote it; that of the store."""

    store: Annotated[str, arg(metavar="STORE")]
    """Folder or URL of the store."""

    names: Literal["file", "path"] = "file"
    """What models are called in the store: after their file or run, or after its path as it is given here."""

    ray: Annotated[str | None, _ADDRESS, arg(metavar="[ADDRESS]", help_behavior_hint="(default: without Ray)")] = None
    """Sign on a Ray cluster: HOST:PORT of its head; auto for the one that this machine belongs to; nothing to start a Ray on this
    machine for the while. Write it after the models. Models must lie under the same path on every machine."""

    cpus: Annotated[float | None, arg(metavar="N", help_behavior_hint="(with --ray; default: 1)")] = None
    """CPUs that one model takes; it gets as many threads."""

    gpus: Annotated[float | None, arg(metavar="N", help_behavior_hint="(with --ray; default: 0)")] = None
    """GPUs that one model takes, or the share of one: 0.25."""

    in_flight: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(with --ray; default: twice what the machines can run)")
    ] = None
    """Models handed to Ray at a time."""

    tries: Annotated[int | None, arg(metavar="N", help_behavior_hint="(with --ray; default: 3)")] = None
    """How often a model whose process dies is begun before it is skipped."""

    timeout: Annotated[
        float | None, arg(metavar="SECONDS", help_behavior_hint="(with --ray; default: models are waited for)")
    ] = None
    """How long a model may take; then its process is ended and it is skipped."""

    json: Annotated[bool, OFF] = False
    """Print JSON: what became of each model."""

    noted: Annotated[NotedOptions, arg(name="metadata")] = dataclasses.field(default_factory=NotedOptions)
    how: Annotated[ModelOptions, arg(name="model")] = dataclasses.field(default_factory=ModelOptions)
    solve: SolveOptions = dataclasses.field(default_factory=SolveOptions)

    def run(self) -> None:
        from zest_jax.errors import ZestError
        from zest_jax.many import sign_all

        signer = self._signer()
        jobs = self._jobs()
        probes = read_probes(self.probes)
        metadata = self.noted.metadata()
        with _ray_kept_quiet(self.ray == LOCAL) if self.ray else contextlib.nullcontext():
            found = sign_all(jobs, probes, self.store, by=signer, metadata=metadata, progress=self.progress, say=note)
        if self.json:
            print_json(_as_json(found, self.store, jobs, probes.n_queries))
        elif found.failed:
            _print_failures(found)
        if self.debug:
            for each in found.failed:
                if each.trace:
                    note(f"{each.job.name}:\n{each.trace}")
        _warn_of_poor_fits(found)
        there = f", {already_there(len(found.present))}" if found.present else ""
        rate = len(found.done) / max(found.seconds, 1e-9)
        rates = f", {60 * rate:,.1f} models/min, {rate * probes.n_queries:,.0f} queries/s" if found.done else ""
        note(f"added {len(found.done)} to {self.store}{there}; {found.seconds:,.0f} s{rates}")
        if found.failed:
            conflicts = sum(each.conflict for each in found.failed)
            raise ZestError(what_failed(len(jobs), len(found.failed) - conflicts, conflicts, self.store))

    def _signer(self) -> "Signer":
        from zest_jax.errors import missing_extra
        from zest_jax.many import PlainLoop, RayTasks

        given = {name: getattr(self, name) for name in ("cpus", "gpus", "in_flight", "tries", "timeout")}
        given = {name: value for name, value in given.items() if value is not None}
        if self.ray is None:
            if "timeout" in given:
                raise UsageError(
                    "--timeout goes with --ray, whose processes can be ended; without it models are signed here, and one that "
                    "hangs ends with the command (Ctrl-C stores what is finished)"
                )
            if given:
                raise UsageError(
                    f"--{next(iter(given)).replace('_', '-')} goes with --ray; without it models are signed here"
                )
            return PlainLoop()
        if self.ray != LOCAL and (os.path.exists(self.ray) or not self.models):
            raise UsageError(f"--ray {self.ray} names an address, not a model; write the models before --ray")
        if importlib.util.find_spec("ray") is None:
            # Before the store's packages are missed, which this extra brings as well.
            raise missing_extra("ray", "cluster")
        if "tries" in given:
            given["crashes"] = given.pop("tries")
        return RayTasks(address=None if self.ray == LOCAL else self.ray, **given)

    def _jobs(self) -> "list[Job]":
        from zest_jax.many import Job, find_models

        if not self.models:
            raise UsageError("no model given; name model files, or folders that hold them")
        for model in self.models:
            check_model(model)
        load, sign = self.how.settings(), self.solve.arguments()
        return [
            Job(name=model.name, model=model.source, load=load, sign=sign, folder=str(Path.cwd()))
            for model in find_models(self.models, names=self.names)
        ]


@contextlib.contextmanager
def _ray_kept_quiet(local: bool) -> Iterator[None]:
    """Keep what Ray prints of dead processes and nodes off stdout, where results go; and others out of a Ray of our own."""
    if "ray" not in sys.modules:
        # Read when Ray is loaded. It prints what we tell of in fewer words.
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        if local and os.environ.setdefault("RAY_AUTH_MODE", "token").lower() == "token":
            # Its ports are open to the network, and who reaches them may run anything; older versions of Ray know no tokens.
            # Without one Ray would leave a token in the home folder.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _print_failures(found: "SignedAll") -> None:
    from rich import box
    from rich.table import Table

    table: Any = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("machine", overflow="fold")
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("error", overflow="fold", ratio=1)
    for each in found.failed:
        table.add_row(each.job.name, each.where or "-", str(each.tries), each.error)
    result_console().print(keep_numbers(table))


def what_failed(models: int, failed: int, conflicts: int, store: str) -> str:
    """Say in the end how many models are not in the store, and whether it helps to run the command again.

    Args:
        models: all that were named.
        failed: those that could not be signed.
        conflicts: those under whose name the store holds something else.
        store: which.

    >>> what_failed(1, 1, 0, "s")
    'the model could not be signed (the same command tries it again)'
    >>> what_failed(4, 1, 1, "s").split("; ")[0]
    '1 of 4 models could not be signed (the same command tries it again)'
    >>> what_failed(4, 1, 1, "s").split("; ")[1:]
    ['under the name of 1 of 4 models s holds something else (trying again does not change that)', 'all others are in s']
    """
    said = []
    if failed:
        which = "the model" if models == 1 else f"{failed} of {models} models"
        said.append(f"{which} could not be signed (the same command tries {'it' if failed == 1 else 'them'} again)")
    if conflicts:
        which = "the model" if models == 1 else f"{conflicts} of {models} models"
        names = "name" if conflicts == 1 else "names"
        said.append(f"under the {names} of {which} {store} holds something else (trying again does not change that)")
    if others := models - failed - conflicts:
        said.append(f"all others are in {store}" if others > 1 else f"the other is in {store}")
    return "; ".join(said)


def _as_json(found: "SignedAll", store: str, jobs: "list[Job]", n_queries: int) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {
        each.name: {"result": "signed", **each._asdict(), "error": None} for each in found.done
    }
    models |= {name: {"result": "present", "name": name, "error": None} for name in found.present}
    for each in found.failed:
        told = {"where": each.where, "tries": each.tries, "error": each.error}
        models[each.job.name] = {"result": "failed", "name": each.job.name, **told}
    return {
        "store": store,
        "version": found.version,
        "seconds": found.seconds,
        "queries_per_model": n_queries,
        "signed": len(found.done),
        "present": len(found.present),
        "failed": len(found.failed),
        "models": [models[job.name] | {"model": job.model} for job in jobs],
    }


def _warn_of_poor_fits(found: "SignedAll") -> None:
    from zest_jax.signature import POOR_R2

    poor = [f"{name} ({r2:.2f})" for name, r2 in found.poor.items()]
    if poor:
        one = len(poor) == 1
        note(
            f"warning: linear explanations hardly fit {counted(len(poor), 'model')}, R2 below {POOR_R2}: "
            f"{', '.join(poor[:5])}{', ...' if len(poor) > 5 else ''}; `zest sign` on {'it' if one else 'one of them'} tells "
            "what may help"
        )
