"""Models that a store holds already: whether each was signed from the same file, and with the same options."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from zest_jax.blackbox.files import is_reference
from zest_jax.blackbox.recognise import is_checkpoint_folder
from zest_jax.many.job import Failed, Job, Say, in_words
from zest_jax.many.models import identity_of
from zest_jax.screening.store import Store
from zest_jax.signature import Signature

# Signatures, and bytes of their weights, that are read at a time, to see of what they are.
READ, READ_BYTES = 64, 64 * 2**20
# Options that hold numbers, one or several.
_NUMBERS = ("mean", "std", "value_range")
_OPTIONS = (*_NUMBERS, "layout", "rate", "output", "returns")


class Sorted(NamedTuple):
    """Jobs by what a store has of them.

    Attributes:
        left: those to be signed.
        present: names of those that are in the store.
        failed: those whose name another file has there, or the same one with other options.
        r2: of those that are in the store by name, where it is known.
    """

    left: list[Job]
    present: list[str]
    failed: list[Failed]
    r2: dict[str, float]


def sort_out(jobs: Sequence[Job], store: Store | None, say: Say = lambda text: None) -> Sorted:
    """See which models are to be signed, which are in the store, and which are in each other's way."""
    if store is None:
        return Sorted(list(jobs), [], [], {})
    there = {entry.name: entry for entry in store.entries()}
    found = Sorted([job for job in jobs if job.name not in there], [], [], {})
    known = [job for job in jobs if job.name in there]
    if len(known) > READ:
        # All their files are read.
        say(f"comparing {len(known):,} models with their signatures in {store.uri}")
    for part in _in_parts(known, {job.name: 4 * store.header.features * there[job.name].classes for job in known}):
        for job, signature in zip(part, store.load([job.name for job in part]), strict=True):
            if error := in_the_way(job, signature, store.uri):
                found.failed.append(Failed(job, error, tries=0, conflict=True))
                continue
            found.present.append(job.name)
            if (r2 := there[job.name].r2) is not None:
                found.r2[job.name] = r2
    return found


def _in_parts(jobs: Sequence[Job], sizes: Mapping[str, int]) -> Iterator[list[Job]]:
    """Jobs in groups whose signatures, of the sizes given in bytes by name, can be held at the same time."""
    part, size = [], 0
    for job in jobs:
        if part and (len(part) == READ or size + sizes[job.name] > READ_BYTES):
            yield part
            part, size = [], 0
        part.append(job)
        size += sizes[job.name]
    if part:
        yield part


def in_the_way(job: Job, signature: Signature, uri: str) -> str:
    """What a store holds under the name of a model, where it is something else than its signature; else ""."""
    return _other_file(job, signature, uri) or _other_options(job, signature, uri)


def _other_file(job: Job, signature: Signature, uri: str) -> str:
    stored = signature.settings.get("model", {}).get("file_sha256")
    try:
        given = identity_of(job.model)
        if given != stored and is_checkpoint_folder(job.model):
            given = _fingerprint_as_loaded(job.model)
    except FileNotFoundError:
        # It has gone since: what was signed is in the store.
        given = None
    except Exception as error:  # of whatever library looked at it
        return (
            f"{uri} holds a signature under the name {job.name}, and whether {job.model} is still that model cannot be told "
            f"({in_words(error)}); mend that, or leave the model out"
        )
    if stored is None or given is None or stored == given:
        return ""
    if is_checkpoint_folder(job.model):
        return (
            f"{uri} holds the signature of other weights under the name {job.name} (fingerprint {stored[:16]}, and "
            f"{job.model} has {given[:16]} now); give the new model another name, or remove the old one first"
        )
    return (
        f"{uri} holds the signature of another file under the name {job.name} (SHA-256 {stored[:16]}, and {job.model} has "
        f"{given[:16]}); give the new model another name, or remove the old one first"
    )


def _fingerprint_as_loaded(folder: str) -> str:
    """Fingerprint of the checkpoint that is taken, which is an older one where the newest is damaged."""
    from zest_jax.training.checkpoints import load_checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_checkpoint(folder).fingerprint


def _other_options(job: Job, signature: Signature, uri: str) -> str:
    different = "; ".join(
        f"{name.replace('_', ' ')} {_shown(then)}, now {_shown(now)}" for name, then, now in differences(job, signature)
    )
    if not different:
        return ""
    return (
        f"{uri} holds {job.name} signed with {different}: remove it first (`zest store remove`), or give the options it was "
        "signed with"
    )


def differences(job: Job, signature: Signature) -> Iterator[tuple[str, Any, Any]]:
    """Options of `load_model` with which a model was not signed: name, value then, value now.

    What was not given is the adapter's choice and may be noted as anything. Only mean, std and value range have defaults that
    tell that something else was given then.

    >>> box = {"adapter": "onnx", "mean": [0.5], "layout": "NCHW", "input_dtype": "float32"}
    >>> ones = np.ones((1, 2), np.float32)
    >>> stored = Signature(weights=ones, segment_counts=np.array([1]), r2=ones, variance=ones, probe_hash="0" * 64, label="m",
    ...                    settings={"model": box})
    >>> list(differences(Job(name="m", model="m.onnx", load={"mean": 0.5, "layout": "NHWC"}), stored))
    [('layout', 'NCHW', 'NHWC')]
    >>> list(differences(Job(name="m", model="m.onnx"), stored))
    [('mean', [0.5], None)]
    """
    noted = signature.settings.get("model", {})
    given = {name: value for name, value in job.load.items() if value is not None}
    for name in _OPTIONS:
        # A model of texts has no layout, for example.
        if name in noted and not _of_the_model(name, noted):
            then = noted[name]
            now = _plain(name, given[name]) if name in given else _default(name, job, noted)
            if then != now and not _cannot_be_told(name, then, now):
                yield name, then, now
    names = given.get("class_names")
    if names is not None and (now := tuple(map(str, names))) != signature.class_names:
        yield "class names", signature.class_names, now


def _of_the_model(name: str, noted: Mapping[str, Any]) -> bool:
    """Whether an option is not taken, since the model brings it along."""
    if noted.get("adapter") == "checkpoint":
        return name != "returns"
    return name in ("mean", "std") and noted.get("input_dtype") == "uint8"


def _default(name: str, job: Job, noted: Mapping[str, Any]) -> Any:
    """What holds where an option is not given; what was noted where that does not tell."""
    # Code may make a black box that has a mean.
    if name not in _NUMBERS or is_reference(job.model):
        return noted[name]
    if name == "value_range":
        return [0.0, 255.0] if noted.get("input_dtype") == "uint8" else [0.0, 1.0]
    return None


def _cannot_be_told(name: str, then: Any, now: Any) -> bool:
    # An ONNX model notes the name of its output, however that was chosen; a rate is only checked, and refused if it is wrong.
    return (name == "output" and isinstance(then, str) and isinstance(now, int)) or (name == "rate" and then is None)


def _plain(name: str, value: Any) -> Any:
    """A value as settings note it: numbers as a list."""
    return np.atleast_1d(np.asarray(value)).tolist() if name in _NUMBERS else value


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = ",".join(f"{each:.9g}" if isinstance(each, float) else str(each) for each in value)
        return text if len(text) <= 60 else f"{text[:60]}..."
    return "none" if value is None else str(value)
