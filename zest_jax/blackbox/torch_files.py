"""Black boxes from PyTorch files, opened so that a stranger's file runs no code of its author.

What opening each kind of file can do (read in the source of torch 2.13):

- A state_dict with `torch.load(weights_only=True)`, and safetensors: data only. Always opened.
- `torch.load(weights_only=False)`: unpickles, so it runs any Python code. Only with `trust=True`.
- `torch.export.load`: unpickles (`weights_only=False`) every weight that the file itself marks `use_pickle`, falls back
  to the same for the sample inputs, and evaluates symbolic sizes with `sympy.sympify`, which is `eval`. It offers no
  safe way. Only with `trust=True`.
- `torch.jit.load`: its unpickler, in C++, makes TorchScript types only, and TorchScript cannot call Python. It can
  write and read any file, though: `torch.save` and `torch.from_file` are TorchScript operators, run when the model is
  asked or, in a `__setstate__`, when it is opened. So its code is searched for them before it is opened.

None of this is a sandbox: PyTorch treats a model as a program, and its operators are not hardened against hostile
arguments. Ask models of hostile origin in a container.
"""

import os
import pickle  # noqa: TID251 - only called when the caller trusts the file
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from zest_jax.blackbox.protocol import HostBlackBox
from zest_jax.blackbox.recognise import FileKind, existing_file, file_identity, recognise
from zest_jax.blackbox.torch import TorchSettings, from_torch, import_torch
from zest_jax.errors import FileFormatError, UnsafeFileError, WrongFileError, missing_extra

if TYPE_CHECKING:
    import torch

# Entries under which training scripts put the state_dict of a checkpoint.
_NESTED = ("state_dict", "model_state_dict", "model", "net")
_WRAPPER_PREFIX = "module."  # put before every name by DataParallel

_FILE_OPERATORS = re.compile(rb"\b(save|from_file|load_tensor)\b")
_OPERATOR_NAMESPACE = re.compile(rb"\bops\s*\.\s*(\w+)")
_HARMLESS_NAMESPACES = {b"aten", b"prim", b"prims", b"quantized", b"torchvision"}
# `getattr(self, "0")` is how TorchScript writes the children of a Sequential. Any other form of it could spell the name
# of an operator in pieces ("sa" "ve", "\x73ave").
_GETATTR = re.compile(rb"\bgetattr\b")
_PLAIN_GETATTR = re.compile(rb'\bgetattr\([\w.()]+, "\w+"\)')


def from_torchscript(
    path: str | os.PathLike[str], *, trust: bool = False, **settings: Unpack[TorchSettings]
) -> HostBlackBox:
    """Make a black box of a TorchScript file (`torch.jit.save`), in evaluation mode.

    Args:
        path: the file.
        trust: open it even if its code uses operators that reach files or are unknown here.
        settings: those of `from_torch`; `label` is the file's stem by default, `device` the CPU.

    Raises:
        FileNotFoundError, FileFormatError: no such file, or no TorchScript.
        UnsafeFileError: its code could reach files, and `trust` is False.
        MissingExtraError: PyTorch is not installed.

    >>> import tempfile, torch
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10)).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.jit.trace(net, torch.zeros(1, 3, 2, 2)).save(f"{folder}/suspect.pt")
    ...     box = from_torchscript(f"{folder}/suspect.pt")
    >>> box.label
    'suspect'
    """
    torch = import_torch()
    path = existing_file(path)
    _require_kind(path, FileKind.TORCHSCRIPT)
    if not trust:
        _refuse_file_operators(path)
    try:
        module = torch.jit.load(str(path), map_location=settings.get("device") or "cpu")
    except RuntimeError as error:
        raise FileFormatError(f"{path} is damaged or made by an incompatible PyTorch: {_first_line(error)}") from error
    module.eval()
    return from_torch(module, **_with_file(settings, path, "torchscript", mode="eval, set on loading"))


def from_exported(
    path: str | os.PathLike[str], *, trust: bool = False, **settings: Unpack[TorchSettings]
) -> HostBlackBox:
    """Make a black box of an exported program (`torch.export.save`, a .pt2 file).

    A batch size that the export fixed is detected (`fixed_batch`); any number of inputs can still be asked.

    Args:
        path: the file.
        trust: must be True, because opening any such file can run code of its author.
        settings: those of `from_torch`; `label` is the file's stem by default.

    Raises:
        FileNotFoundError, FileFormatError: no such file, or no exported program with one input.
        UnsafeFileError: `trust` is False.
        MissingExtraError: PyTorch is not installed.

    >>> import tempfile, torch
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10)).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 2, 2),)), f"{folder}/suspect.pt2")
    ...     box = from_exported(f"{folder}/suspect.pt2", trust=True)
    >>> box.label, box.fixed_batch
    ('suspect', 1)
    """
    torch = import_torch()
    path = existing_file(path)
    _require_kind(path, FileKind.EXPORTED)
    if not trust:
        raise UnsafeFileError(
            f"{path} is a torch.export program, and opening one unpickles: it can run any code of its author; pass "
            "trust=True (`--trust`) if you trust where it comes from, or have it exported to ONNX"
        )
    try:
        program = torch.export.load(str(path))
    except Exception as error:  # whatever its many stages raise
        raise FileFormatError(f"{path} is damaged or made by an incompatible PyTorch: {_first_line(error)}") from error
    shapes = _input_shapes(program)
    if len(shapes) != 1:
        raise FileFormatError(
            f"{path} has {len(shapes)} inputs; a black box takes one: wrap the program in a function that fills in the "
            "others, and pass it to `from_torch`"
        )
    module = program.module()
    module.training = False  # `.module()` sets it whatever was exported; the graph is as it was exported
    (shape,) = shapes
    fixed_batch = shape[0] if shape and isinstance(shape[0], int) else None
    return from_torch(module, fixed_batch=fixed_batch, **_with_file(settings, path, "torch.export", mode="as exported"))


def from_state_dict(
    path: str | os.PathLike[str],
    factory: "Callable[[], torch.nn.Module]",
    *,
    trust: bool = False,
    **settings: Unpack[TorchSettings],
) -> HostBlackBox:
    """Make a black box of saved weights (torch.save or safetensors) and a function that builds their module.

    The weights must fit the module name by name. A checkpoint that holds them under "state_dict", "model_state_dict",
    "model" or "net", and the prefix "module." of DataParallel, are understood. The module is put into evaluation mode.

    Args:
        path: the file.
        factory: called without arguments, returns the torch.nn.Module.
        trust: allow unpickling if the file holds more than weights; that runs any code of its author.
        settings: those of `from_torch`; `label` is the file's stem by default.

    Raises:
        FileNotFoundError, FileFormatError: no such file, or no weights that fit the module; names what is missing,
            unexpected or of another shape.
        UnsafeFileError: the file holds Python objects besides weights, and `trust` is False.
        MissingExtraError: PyTorch or safetensors is not installed.
        TypeError: `factory` returns no torch.nn.Module.

    >>> import tempfile, torch
    >>> def build():
    ...     return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(build().state_dict(), f"{folder}/suspect.pt")
    ...     box = from_state_dict(f"{folder}/suspect.pt", build)
    >>> box.settings["training"]
    False
    """
    torch = import_torch()
    path = existing_file(path)
    weights = _state_dict_in(read_torch_file(path, trust=trust), path)
    module = factory()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"`factory` returned a {type(module).__name__}; it must return the torch.nn.Module")
    load_weights(module, weights, path)
    module.eval()
    return from_torch(module, **_with_file(settings, path, "torch state_dict", mode="eval, set on loading"))


def read_torch_file(path: str | os.PathLike[str], *, trust: bool) -> Any:
    """Return what a torch.save, safetensors or pickle file holds, on the CPU; without `trust`, weights only.

    Raises:
        FileFormatError: it is none of these.
        UnsafeFileError: it holds Python objects besides weights, and `trust` is False.
    """
    torch = import_torch()
    kind = recognise(path)
    if kind is FileKind.SAFETENSORS:
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise missing_extra("safetensors", "torch") from error
        return load_file(path)
    if kind is FileKind.PICKLE:
        if not trust:
            raise UnsafeFileError(
                f"{path} is a Python pickle: opening it can run any code of its author; pass trust=True (`--trust`) if "
                "you trust where it comes from, or have the model exported to ONNX"
            )
        with open(path, "rb") as file:
            return _unpickled(lambda: pickle.load(file), path)  # noqa: S301 - `trust` is True here
    if kind not in (FileKind.TORCH_ZIP, FileKind.TORCH_LEGACY):
        raise WrongFileError(f"{path} is {kind.value}, not weights; use `load_model`, which opens every kind")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not trust:
            raise UnsafeFileError(
                f"{path} holds {_forbidden(error)} besides weights: opening it can run any code of its author; pass "
                "trust=True (`--trust`) if you trust where it comes from, or have it saved as weights "
                "(`torch.save(model.state_dict(), ...)`) or exported to ONNX"
            ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path} is damaged: {_first_line(error)}; copy it again") from error
    return _unpickled(lambda: torch.load(path, map_location="cpu", weights_only=False), path)


def load_weights(module: "torch.nn.Module", weights: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Load `weights` into `module`, or raise `FileFormatError` naming every kind of misfit."""
    if all(name.startswith(_WRAPPER_PREFIX) for name in weights):
        weights = {name.removeprefix(_WRAPPER_PREFIX): value for name, value in weights.items()}
    wanted = module.state_dict()
    shapes = [
        f"{name} ({list(weights[name].shape)}, wanted {list(wanted[name].shape)})"
        for name in wanted
        if name in weights and getattr(weights[name], "shape", None) != wanted[name].shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "of another shape": shapes,
    }
    found = [f"{len(names)} {what}: {_shortened(names)}" for what, names in problems.items() if names]
    if found:
        raise FileFormatError(
            f"the weights in {path} do not fit the {type(module).__name__} of `factory`: {'; '.join(found)}; build the "
            "architecture that they were saved from"
        )
    module.load_state_dict(dict(weights))


def _state_dict_in(content: Any, path: str | os.PathLike[str]) -> Mapping[str, Any]:
    torch = import_torch()
    if isinstance(content, torch.nn.Module):
        return content.state_dict()
    if isinstance(content, Mapping):
        for name in _NESTED:
            if isinstance(content.get(name), Mapping):
                content = content[name]
                break
        if content and any(isinstance(value, torch.Tensor) for value in content.values()):
            return content
    held = f"a mapping of {_shortened([str(k) for k in content])}" if isinstance(content, Mapping) else type(content)
    raise WrongFileError(f"{path} holds {held}, not a state_dict; save it with `torch.save(model.state_dict(), ...)`")


def _refuse_file_operators(path: str | os.PathLike[str]) -> None:
    # Read through PyTorch's own reader, which `torch.jit.load` uses: another zip reader could be shown other content.
    try:
        reader = import_torch()._C.PyTorchFileReader(str(path))
        names = reader.get_all_records()
        sources = {name: reader.get_record(name) for name in names if name.lower().endswith(".py")}
    except RuntimeError as error:
        raise FileFormatError(f"{path} is damaged: {_first_line(error)}; copy it again") from error
    if len({name.lower() for name in names}) != len(names):
        raise FileFormatError(f"{path} is damaged: it holds two records of one name")
    for name, source in sources.items():
        reason = None
        if match := _FILE_OPERATORS.search(source):
            reason = f"`{match.group().decode()}`, which reaches files"
        elif unknown := set(_OPERATOR_NAMESPACE.findall(source)) - _HARMLESS_NAMESPACES:
            reason = f"operators of `ops.{unknown.pop().decode()}`, which are unknown here"
        elif len(_GETATTR.findall(source)) != len(_PLAIN_GETATTR.findall(source)):
            reason = "`getattr` in a form that could hide an operator"
        if reason:
            raise UnsafeFileError(
                f"{path} uses {reason} (in {name}); pass trust=True (`--trust`) if you trust where it comes from, or "
                "have the model exported to ONNX"
            )


def _require_kind(path: str | os.PathLike[str], wanted: FileKind) -> None:
    kind = recognise(path)
    if kind is not wanted:
        raise WrongFileError(f"{path} is {kind.value}, not {wanted.value}; use `load_model`, which opens every kind")


def _input_shapes(program: Any) -> list[tuple[Any, ...]]:
    names = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return [tuple(getattr(node.meta.get("val"), "shape", ())) for node in nodes]


def _with_file(settings: TorchSettings, path: str | os.PathLike[str], adapter: str, *, mode: str) -> dict[str, Any]:
    label = settings.get("label") or os.path.splitext(os.path.basename(path))[0]
    extra = {"adapter": adapter, "mode": mode, "file_sha256": file_identity(path)}
    return {**settings, "label": label, "settings": extra}


def _unpickled(load: Callable[[], Any], path: str | os.PathLike[str]) -> Any:
    try:
        return load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise FileFormatError(f"{path} is a damaged pickle: {_first_line(error)}; copy it again") from error
    except (ImportError, AttributeError) as error:
        raise FileFormatError(
            f"{path} needs the Python code that it was saved with: {error}; run where that can be imported, or load "
            "the weights with `from_state_dict`"
        ) from error


def _forbidden(error: Exception) -> str:
    match = re.search(r"(?:GLOBAL|global|class|function)\s+`?([\w.]+\.[\w.]+)", str(error))
    return f"the Python object `{match.group(1)}`" if match else "Python objects"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
