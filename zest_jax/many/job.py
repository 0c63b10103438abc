"""One model to be signed, how, and what came of it."""

import dataclasses
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from zest_jax.blackbox.files import is_reference
from zest_jax.blackbox.recognise import is_checkpoint_folder
from zest_jax.errors import FileFormatError, ZestError
from zest_jax.importing import importable_from
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.signature import Signature


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A model to be signed.

    Attributes:
        name: what it will be called in the store.
        model: absolute path of its file or folder, or `package.module:function`.
        load: further arguments of `load_model`, such as `mean` and `std`.
        sign: further arguments of `sign`, such as `ridge`.
        folder: where modules that `model` or `factory` names are looked for as well, or None; nothing is imported from there for
            a model that names none.
        file_sha256: what its file must have, or the fingerprint of its checkpoint; or None.

    >>> Job(name="victim", model="tests/golden/models/victim.onnx", load={"mean": (0.49, 0.48, 0.45)}).name
    'victim'
    """

    name: str
    model: str
    load: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sign: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    folder: str | None = None
    file_sha256: str | None = None


class Signed(NamedTuple):
    """A model was signed.

    Attributes:
        job: the model.
        signature: under the job's name.
        seconds: that opening and asking it took.
        where: the machine that did it, or None for this process.
        tries: how often it was begun.
        warnings: what was warned of meanwhile, where that was in another process.

    >>> from zest_jax import image_probes
    >>> from zest_jax.many import PlainLoop
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    >>> probes = image_probes(images, 2, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> signed = next(PlainLoop().outcomes([Job(name="victim", model="tests/golden/models/victim.onnx")], probes, print))
    >>> signed.job.name, signed.signature.label, signed.tries
    ('victim', 'victim', 1)
    """

    job: Job
    signature: Signature
    seconds: float
    where: str | None = None
    tries: int = 1
    warnings: tuple[str, ...] = ()


class Failed(NamedTuple):
    """A model could not be signed.

    Attributes:
        job: the model.
        error: why, in words.
        where: the machine that tried it last, or None for this process or where it is not known.
        tries: how often it was begun.
        trace: where in the code, or "".
        conflict: whether the store holds something else under its name, so that it is of no use to sign it again.
        absent: the package or module that is not installed, where that was why.

    >>> from zest_jax.many import PlainLoop
    >>> failed = next(PlainLoop().outcomes([Job(name="none", model="none.onnx")], None, print))
    >>> failed.job.name, failed.conflict, failed.error.split(";")[0]
    ('none', False, 'there is no file none.onnx')
    """

    job: Job
    error: str
    where: str | None = None
    tries: int = 1
    trace: str = ""
    conflict: bool = False
    absent: str | None = None


Outcome = Signed | Failed
Say = Callable[[str], None]


class Signer(Protocol):
    """A way of signing many models: `PlainLoop`, `RayTasks`.

    >>> class Nothing:                                                              # a way of one's own: all models fail
    ...     def outcomes(self, jobs, probes, say):
    ...         yield from (Failed(job, "not today") for job in jobs)
    >>> signer: Signer = Nothing()
    >>> [failed.error for failed in signer.outcomes([Job(name="a", model="a.onnx")], None, print)]
    ['not today']
    """

    def outcomes(self, jobs: Iterable[Job], probes: ProbeSet, say: Say) -> Iterator[Outcome | None]:
        """Sign models and tell of each once, in any order; None now and then while there is nothing to tell.

        Whatever a model does becomes a `Failed`. Closing the iterator stops the work.
        """
        ...


def sign_here(job: Job, probes: ProbeSet) -> Signature:
    """Open and sign a model in this process.

    Raises:
        FileFormatError: the file is another one than `job.file_sha256` says.
        Exception: whatever `load_model` and `sign` raise.

    >>> from zest_jax import image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    >>> probes = image_probes(images, 4, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> sign_here(Job(name="mine", model="tests/golden/models/victim.onnx"), probes).label
    'mine'
    """
    from zest_jax.blackbox import load_model
    from zest_jax.signing import sign

    # What lies in a folder of strangers' models may be called as a library that is about to be imported.
    names_code = is_reference(job.model) or isinstance(job.load.get("factory"), str)
    with importable_from(job.folder if names_code else None):
        # A Python reference may give a black box, which has its label already.
        label = {} if is_reference(job.model) else {"label": job.name}
        box = load_model(job.model, **{**job.load, **label})
        found = box.settings.get("file_sha256")
        if job.file_sha256 is not None and found not in (None, job.file_sha256):
            where = f"here (SHA-256 {found[:16]}) than where it was asked for ({job.file_sha256[:16]})"
            if is_checkpoint_folder(job.model):
                raise FileFormatError(
                    f"{job.model} gave other weights {where}: a checkpoint is missing or damaged in one of the copies, or its "
                    "training goes on; give every machine the same checkpoints under that path"
                )
            raise FileFormatError(
                f"{job.model} is another file {where}; give every machine the same file under that path"
            )
        signature = sign(box, probes, progress=False, **job.sign)
    return dataclasses.replace(signature, label=job.name)


def attempt(job: Job, probes: ProbeSet) -> Outcome:
    """Sign a model in this process, whatever it does short of ending it."""
    began = time.perf_counter()
    try:
        return Signed(job, sign_here(job, probes), time.perf_counter() - began)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # panics of libraries in Rust are no Exceptions
        return Failed(job, in_words(error), trace=traceback.format_exc(), absent=absent_module(error))


def absent_module(error: BaseException | None) -> str | None:
    """Name of the package or module that is not installed, if an error, or what it was raised from, is about one.

    >>> try:
    ...     import no_such_module.at_all
    ... except ImportError as error:
    ...     print(absent_module(error))
    no_such_module
    """
    while error is not None:
        # What a package that is there lacks is no matter of the machine: `from numpy import nonsense`.
        if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
            return error.name
        error = error.__cause__
    return None


def in_words(error: BaseException) -> str:
    """What is said of an error; what was not foreseen tells its kind.

    >>> in_words(KeyError("x")), in_words(FileNotFoundError("there is no file x"))
    ("KeyError: 'x'", 'there is no file x')
    """
    text = str(error)
    if isinstance(error, SystemExit):
        return f"the model's code ended the program (SystemExit: {text})"
    if isinstance(error, MemoryError):
        return f"not enough memory ({text or 'MemoryError'})"
    return text if text and isinstance(error, ZestError | OSError | ValueError) else f"{type(error).__name__}: {text}"
