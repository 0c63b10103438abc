"""Open a model file of any kind, a checkpoint, or a Python reference, as a black box."""

import importlib
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from flax import nnx

from zest_jax.blackbox.checkpoint import CheckpointSettings, from_checkpoint
from zest_jax.blackbox.flax import from_flax
from zest_jax.blackbox.function import from_callable
from zest_jax.blackbox.http import HttpSettings, from_http
from zest_jax.blackbox.onnx import OnnxSettings, from_onnx
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.blackbox.recognise import FileKind, file_identity, recognise
from zest_jax.blackbox.settings import CommonSettings
from zest_jax.blackbox.text import from_sklearn
from zest_jax.blackbox.torch import TorchSettings, from_torch, import_torch
from zest_jax.blackbox.torch_files import from_exported, from_state_dict, from_torchscript, read_torch_file

_URL = re.compile(r"https?://", re.I)
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load_model(
    model: str | os.PathLike[str],
    *,
    trust: bool = False,
    factory: Callable[[], Any] | str | None = None,
    **settings: Any,
) -> BlackBox:
    """Open a model as a black box; what it is, is recognised by its content.

    | file | opened with | safe from strangers |
    |---|---|---|
    | ONNX | `from_onnx` | yes |
    | weights saved by PyTorch, safetensors | `from_state_dict`, needs `factory` | yes |
    | TorchScript | `from_torchscript` | yes, unless its code reaches files: then refused without `trust` |
    | torch.export program | `from_exported` | no: refused without `trust` |
    | whole pickled module, any other pickle | `from_torch` | no: refused without `trust` |
    | folder of a run of `zest train`, or a checkpoint in it | `from_checkpoint` | yes |
    | `package.module:function` | imported; it is your own code | - |
    | `https://...` | `from_http`, needs `journal` | yes |

    Args:
        model: a path, a URL, or a Python reference: the named object, or what it returns when called without arguments, is a
            black box, a Flax NNX module, a torch.nn.Module, a scikit-learn pipeline on strings, or a function on NumPy
            arrays.
        trust: allow what could run code of the file's author.
        factory: for files that hold weights only: a function, or a Python reference to one, that builds the module.
        settings: those of the adapter, such as `mean`, `std`, `layout`, `output`, `label`; None means its default.

    Returns:
        the black box; `settings["file_sha256"]` identifies the file, or the weights of a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the file is empty, truncated, or not a model.
        UnsafeFileError: opening it could run code of its author, and `trust` is False.
        MissingExtraError: the library that reads it is not installed.
        ValueError: a setting does not apply, `factory` is missing, or the reference cannot be resolved.

    >>> load_model("tests/golden/models/victim.onnx", label="mine").label
    'mine'
    """
    settings = {name: value for name, value in settings.items() if value is not None}
    if is_reference(model):
        return _black_box_of(_made_by_reference(str(model)), str(model), settings)
    if isinstance(model, str) and _URL.match(model):
        if factory is not None:
            raise ValueError(f"{model} is asked over the network, where nothing is built; leave out `factory`")
        known = _applicable(settings, HttpSettings, "a remote model")
        if "journal" not in known:
            raise ValueError(
                f"{model} is asked over the network: name a file for its answers with `journal`, so that none must be paid for "
                "twice"
            )
        return from_http(model, **known)
    path = Path(model)
    kind = recognise(path)
    if kind is FileKind.CHECKPOINT:
        return from_checkpoint(path, **_applicable_to_checkpoint(settings, path, factory))
    if isinstance(factory, str):
        factory = _function_named(factory)
    if kind is FileKind.ONNX:
        return from_onnx(path, **_applicable(settings, OnnxSettings, kind.value))
    known = _applicable(settings, TorchSettings, kind.value)
    if kind is FileKind.TORCHSCRIPT:
        return from_torchscript(path, trust=trust, **known)
    if kind is FileKind.EXPORTED:
        return from_exported(path, trust=trust, **known)
    if factory is not None:
        return from_state_dict(path, factory, trust=trust, **known)
    return _whole_model(path, kind, trust, settings)


def _whole_model(path: Path, kind: FileKind, trust: bool, settings: dict[str, Any]) -> BlackBox:
    content = None if kind is FileKind.SAFETENSORS else read_torch_file(path, trust=trust)
    if content is None or isinstance(content, dict):
        raise ValueError(
            f"{path} holds weights, not the architecture that they belong to; pass `factory`: a function, or "
            "`package.module:function`, that builds the torch.nn.Module"
        )
    torch = import_torch()
    if isinstance(content, torch.nn.Module):
        content.eval()
    box = _black_box_of(content, str(path), {"label": path.stem, **settings})
    box.settings["file_sha256"] = file_identity(path)
    return box


def _black_box_of(made: Any, origin: str, settings: dict[str, Any]) -> BlackBox:
    if isinstance(made, BlackBox):
        if settings:
            raise ValueError(f"{origin} is a black box already; set {', '.join(settings)} where it is made")
        return made
    # Two models of one class are told apart by where they come from.
    settings = {"label": origin, **settings}
    if isinstance(made, nnx.Module):
        return from_flax(made, **_applicable(settings, _FlaxSettings, "a Flax module"))
    if _is_torch_module(made):
        return from_torch(made, **_applicable(settings, TorchSettings, "a PyTorch module"))
    if _is_pipeline(made):
        return from_sklearn(made, **_only(settings, ("class_names", "label"), "a scikit-learn pipeline"))
    if callable(made) and not isinstance(made, type):
        return from_callable(made, **_applicable(settings, _FlaxSettings, "a function"))
    raise ValueError(
        f"{origin} gave a {type(made).__name__}, which cannot be asked; it must give a black box, a Flax NNX module, a "
        "torch.nn.Module, a scikit-learn pipeline, or a function on NumPy arrays; a function on strings goes through `from_texts`"
    )


class _FlaxSettings(CommonSettings, total=False):
    layout: str


def _applicable(settings: dict[str, Any], allowed: type, what: str) -> dict[str, Any]:
    return _only(settings, allowed.__annotations__.keys() | CommonSettings.__annotations__.keys(), what)


def _only(settings: dict[str, Any], names: Collection[str], what: str) -> dict[str, Any]:
    unknown = [name for name in settings if name not in names]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be set for {what}; it takes {', '.join(sorted(names))}")
    return settings


def _applicable_to_checkpoint(settings: dict[str, Any], path: Path, factory: Any) -> dict[str, Any]:
    if factory is not None:
        raise ValueError(f"{path} is a checkpoint, which tells its architecture; leave out `factory`")
    known = CheckpointSettings.__annotations__.keys()
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(
            f"{', '.join(unknown)} cannot be set for a checkpoint, which tells how it takes its inputs; it takes "
            f"{', '.join(sorted(known))}"
        )
    return settings


def is_reference(model: str | os.PathLike[str]) -> bool:
    """Whether a model is named as `package.module:function`."""
    return isinstance(model, str) and _REFERENCE.fullmatch(model) is not None and not os.path.exists(model)


def _made_by_reference(reference: str) -> Any:
    named = _function_named(reference)
    if isinstance(named, BlackBox | nnx.Module) or _is_torch_module(named) or _is_pipeline(named):
        return named
    try:
        return named()
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise  # raised inside the function
        raise ValueError(
            f"{reference} cannot be called without arguments ({error}); name a function that takes none and returns the "
            "model"
        ) from error


def _function_named(reference: str) -> Callable[..., Any]:
    if _REFERENCE.fullmatch(reference) is None:
        raise ValueError(f"{reference!r} is no Python reference; write it as `package.module:function`")
    module_name, _, name = reference.partition(":")
    if module_name.endswith(".py"):
        raise ValueError(f"{reference!r} names a file; write `{module_name.removesuffix('.py')}:{name}`")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # the module is there; something that it imports is not
        raise ValueError(
            f"there is no Python module {module_name!r} for {reference!r}; run where it can be imported, for example "
            "with PYTHONPATH set to its folder"
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise ValueError(f"the module {module_name!r} has no {name!r}") from error
    if not callable(found) and not isinstance(found, BlackBox) and not _is_pipeline(found):
        raise ValueError(f"{reference} is a {type(found).__name__}; it must name a function that returns the model")
    return found  # pyright: ignore[reportReturnType]  a black box or a pipeline, where a model is named


def _is_pipeline(value: Any) -> bool:
    """Whether it is a fitted classifier of scikit-learn, and not its class."""
    return not isinstance(value, type) and any(hasattr(value, name) for name in ("predict_proba", "decision_function"))


def _is_torch_module(value: Any) -> bool:
    """Tell without importing PyTorch, which is slow and may be absent."""
    return any(
        base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module" for base in type(value).__mro__
    )
