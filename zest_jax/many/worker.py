"""What happens on a node of a Ray cluster: one model is signed, and what came of it goes back as plain values."""

import contextlib
import inspect
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zest_jax.blackbox.files import is_reference
from zest_jax.errors import ConstantOutputsWarning
from zest_jax.many.job import Failed, Job, attempt
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.version import __version__

# The probe set of this process's tasks, by its hash: it is fetched once.
_fetched: dict[str, ProbeSet] = {}


def task(cores: int, gpus: float) -> Callable[..., Iterator[dict[str, Any]]]:
    """The generator function that Ray runs on the nodes.

    It gives "began", the machine, as soon as the libraries are loaded, so that time can be counted from there, and then what
    `sign_one` returns. It is sent there as code, not by its name, so that a node without this package can say so; and it keeps
    libraries to `cores` threads and a share of a GPU before they are loaded.
    """
    environment = {}
    if not gpus:
        environment["JAX_PLATFORMS"] = "cpu"
    elif gpus < 1:
        # JAX takes three quarters of a GPU's memory as soon as it starts.
        environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 * gpus:.3f}"

    def sign_a_model(
        job: Mapping[str, Any], probes: Sequence[Any], probe_hash: str, version: str
    ) -> Iterator[dict[str, Any]]:
        import os
        import socket

        for name, value in environment.items():
            os.environ.setdefault(name, value)
        try:
            from zest_jax.cores import limit_cores

            limit_cores(cores)
            from zest_jax.many.worker import sign_one
        except ImportError as error:
            text = f"cannot load zest_jax ({error}); install zest_jax {version} on every machine"
            yield {"where": socket.gethostname(), "setup": text}
            return
        yield {"began": socket.gethostname()}
        yield sign_one(job, probes, probe_hash, version)

    # Without what checkers of types put around it, which cannot be sent.
    return inspect.unwrap(sign_a_model)


def sign_one(job: Mapping[str, Any], probes: Sequence[Any], probe_hash: str, version: str) -> dict[str, Any]:
    """Sign a model.

    Args:
        job: the fields of a `Job`.
        probes: a list of one reference to the ProbeSet in the object store.
        probe_hash: its hash.
        version: of zest_jax in the process that wants to have it signed.

    Returns:
        "where", the machine; with "signature" (as bytes), "seconds" and "warnings"; or with "error", "trace" and "absent", the
        module that could not be imported, or None; or with "missing", the path where there is nothing; or with "setup", what is
        wrong with this machine and not with the model.
    """
    where = socket.gethostname()
    if version != __version__:
        text = f"has zest_jax {__version__}, and this process {version}; install the same version on every machine"
        return {"where": where, "setup": text}
    if probe_hash not in _fetched:
        import ray

        _fetched.clear()
        _fetched[probe_hash] = ray.get(probes[0])
    one = Job(**job)
    if not is_reference(one.model) and not os.path.exists(one.model):
        return {"where": where, "missing": one.model}
    with ended_by_sigterm(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        outcome = attempt(one, _fetched[probe_hash])
    if isinstance(outcome, Failed):
        return {"where": where, "error": outcome.error, "trace": outcome.trace, "absent": outcome.absent}
    # What fits poorly, the driver tells of all models together.
    telling = (UserWarning, ConstantOutputsWarning)
    told = dict.fromkeys(str(each.message) for each in caught if each.category in telling)
    return {
        "where": where,
        "signature": outcome.signature.to_bytes(),
        "seconds": outcome.seconds,
        "warnings": tuple(told),
    }


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end this process.

    `ray stop`, and machines that are taken away, send it to all processes. Ray makes a SystemExit of it, which would look as if
    the model's code had ended the program.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
