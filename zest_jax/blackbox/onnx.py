"""Black boxes from ONNX models, through ONNX Runtime."""

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zest_jax.blackbox.class_names import names_in_metadata
from zest_jax.blackbox.external_data import external_files, external_locations
from zest_jax.blackbox.outputs import Output, as_rows, failed_when_asked
from zest_jax.blackbox.protocol import HostBlackBox, Layout, Returns, TextSpec
from zest_jax.blackbox.recognise import NOT_ONNX, existing_file, file_identity, onnx_problem
from zest_jax.blackbox.settings import CommonSettings, check_shape, layout_of, spec_of
from zest_jax.cores import usable_cores
from zest_jax.data.known import PLURAL
from zest_jax.data.tokens import Tokenizer
from zest_jax.errors import FileFormatError, ModelOutputError, WrongFileError, missing_extra

_INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_INPUT_TYPES["tensor(uint8)"] = np.uint8
# Of models that bring the tokenizer along which makes ids of texts.
_TOKEN_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
_OUTPUT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)", "tensor(bfloat16)")
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxSettings(CommonSettings, total=False):
    """The keyword arguments of `from_onnx`."""

    providers: Sequence[Any] | None
    threads: int | None
    layout: Layout | Literal["auto"]


def from_onnx(
    model: str | os.PathLike[str] | bytes,
    *,
    output: Output = None,
    providers: Sequence[Any] | None = None,
    threads: int | None = None,
    layout: Layout | Literal["auto"] = "auto",
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] | None = None,
    rate: int | None = None,
    returns: Returns = "auto",
) -> HostBlackBox:
    """Make a black box of an ONNX model; what was detected about it is in the black box's `settings`.

    A model that `export_onnx` wrote tells what it takes: the rate of sounds, and the tokenizer of texts, which are then asked
    as strings.

    Args:
        model: a path, or the content of an ONNX file. It has one input, of type float32, float16, float64 or uint8; or
            token ids, int32 or int64, and a tokenizer in its metadata.
        output: name or index of the output to take; None for the only floating-point one of rank 2.
        providers: as for `onnxruntime.InferenceSession`; None for CUDA where available, else the CPU.
        threads: how many threads answer one batch; None for one per core this process may use.
        layout: "NCHW", "NHWC", for sounds "NT", "NCT", "NTC", or "auto": where the input's shape has its 1 or 3 channels,
            NCHW if it does not tell.
        class_names: one per output; None reads them from the model's metadata where they are. Names there that do not
            fit the outputs are ignored, and `settings["class_names_ignored"]` says why.
        mean: per channel, in `value_range`; subtracted before the model sees its inputs. A model with a uint8 input takes
            none.
        std: per channel, in `value_range`; divided by after that.
        value_range: the range to which inputs in [0, 1] are stretched first; None for (0, 255) if the input is uint8,
            else (0, 1).
        rate: samples per second that a model of sounds expects; None reads it from the model's metadata where it is. Probes
            of another rate are refused.

    The other arguments are those of `from_jax`; `label` is the file's stem by default. A fixed batch dimension is
    detected (`fixed_batch`); any number of inputs can still be asked. Weights that the model keeps in files beside it
    (`settings["external_data"]`) are part of `settings["file_sha256"]`.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        FileNotFoundError: there is no such file.
        FileFormatError: it is no ONNX model, truncated, without its external data, or does not have one input of a
            supported type.
        UnsafeFileError: it takes weights from a file outside its own folder.
        ModelOutputError: no output, or more than one, could be [batch, classes] and `output` does not choose.
        ValueError: `output` names none of the outputs, or a setting does not fit the model.

    >>> suspect = from_onnx("tests/golden/models/victim.onnx", mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
    >>> suspect(np.zeros((4, 32, 32, 3), np.float32)).shape  # images [batch, H, W, C] in [0, 1]
    (4, 10)
    >>> suspect.label, suspect.spec.layout, suspect.settings["layout_from"]
    ('victim', 'NCHW', 'input shape')
    """
    ort = _import_onnxruntime()
    source, name, file_settings = _checked(model)
    available = ort.get_available_providers()
    chosen = list(providers) if providers is not None else [p for p in _PROVIDERS if p in available]
    threads = threads or usable_cores()
    session = _open(ort, source, name, chosen, threads)
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    # What other exporters mean by these words is not known.
    told = metadata if "zest_jax" in metadata else {}
    tokenizer = _tokenizer_in(told, name)
    entry = _only_input(session, name, _INPUT_TYPES if tokenizer is None else _TOKEN_TYPES)
    shape = [d if isinstance(d, int) and d > 0 else None for d in entry.shape]
    dtype = (_INPUT_TYPES if tokenizer is None else _TOKEN_TYPES)[entry.type]
    if dtype is np.uint8 and (mean is not None or std is not None):
        raise ValueError(f"{name} takes uint8 pixels, so it normalises them itself; leave out `mean` and `std`")
    if tokenizer is not None and (mean, std, value_range, rate, layout) != (None, None, None, None, "auto"):
        raise ValueError(
            f"{name} takes texts; mean, std, value_range, layout and rate belong to images and sounds: leave them out"
        )
    detected_layout, layout_from = layout_of(shape, layout, name)
    output_name = _choose_output(session, output, name)
    names_in_file, ignored = None, None
    if class_names is None:
        names_in_file, ignored = names_in_metadata(metadata, _classes_of(session, output_name))
    return OnnxBlackBox(
        session,
        input_name=entry.name,
        input_shape=shape,
        dtype=dtype,
        output_name=output_name,
        names_in_file=names_in_file,
        label=label or name,
        class_names=class_names,
        spec=TextSpec()
        if tokenizer is not None
        else spec_of(
            mean,
            std,
            value_range or ((0.0, 255.0) if dtype is np.uint8 else (0.0, 1.0)),
            detected_layout,
            rate if rate is not None else _rate_in(told),
        ),
        tokenizer=tokenizer,
        fixed_batch=shape[0] if shape else None,
        returns=returns,
        settings={
            "adapter": "onnx",
            **({"layout_from": layout_from} if tokenizer is None else {"tokenizer": tokenizer.sha256}),
            **({"modality": told["modality"]} if told.get("modality") in PLURAL else {}),
            "input_dtype": np.dtype(dtype).name,
            "input_shape": shape,
            "providers": session.get_providers(),
            "threads": threads,
            **({"class_names_ignored": ignored} if ignored else {}),
            **file_settings,
        },
    )


class OnnxBlackBox(HostBlackBox):
    """An ONNX Runtime session that answers NumPy arrays. Made by `from_onnx`."""

    def __init__(
        self,
        session: Any,
        *,
        input_name: str,
        input_shape: list[int | None],
        dtype: type[np.generic],
        output_name: str,
        names_in_file: list[str] | None,
        tokenizer: Tokenizer | None,
        settings: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(settings={**settings, "output": output_name}, **kwargs)
        self._session = session
        self._input_name = input_name
        self._input_shape = input_shape
        self._dtype = dtype
        self._output_name = output_name
        self._tokenizer = tokenizer
        self._told_of_long = False
        self._names_in_file = names_in_file
        if names_in_file is not None:
            self.class_names = tuple(names_in_file)

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        if self._tokenizer is not None:
            prepared = self._ids(self._tokenizer, list(prepared))
        check_shape(prepared, self._input_shape, self.label, self.spec)
        if self._dtype is np.uint8:
            prepared = np.clip(np.rint(prepared), 0, 255)
        prepared = prepared.astype(self._dtype, copy=False)
        try:
            (rows,) = self._session.run([self._output_name], {self._input_name: prepared})
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise failed_when_asked(self.label, prepared, error) from error
        if rows.ndim != 2:
            raise ModelOutputError(
                f"{self.label} answered {rows.dtype} {list(rows.shape)} at output {self._output_name!r}, not "
                "[batch, classes]; choose another with `output` (an index or a name)"
            )
        self._drop_names_that_do_not_fit(rows.shape[1])
        return as_rows(rows, len(prepared), self.label)

    def _ids(self, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
        ids, lengths = tokenizer.encode_with_lengths(texts)
        # Only a text that fills the model can have been cut: few are tokenized twice.
        full = np.flatnonzero(lengths == tokenizer.length)
        if not self._told_of_long and len(full):
            long = sum(len(tokenizer.tokens(texts[i])) > tokenizer.length for i in full)
            if long:
                self._told_of_long = True
                warnings.warn(
                    f"{long} of {len(texts)} texts of a batch (perturbed copies count) have more than the {tokenizer.length} "
                    f"tokens that {self.label} takes; it sees the first {tokenizer.length} of them",
                    stacklevel=2,
                )
        return ids

    def _drop_names_that_do_not_fit(self, n_classes: int) -> None:
        # Where the file leaves the number of classes open, the first answer settles it.
        if self._names_in_file is not None and len(self._names_in_file) != n_classes:
            self.settings["class_names_ignored"] = f"{len(self._names_in_file)} names for {n_classes} classes"
            self.class_names = self._names_in_file = None


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("onnxruntime", "onnx") from error
    return onnxruntime


def _checked(model: str | os.PathLike[str] | bytes) -> tuple[str | bytes, str, dict[str, Any]]:
    """Return what to open, the model's name, and settings that identify the file, if it looks like an ONNX model."""
    if isinstance(model, bytes | bytearray):
        if problem := onnx_problem(io.BytesIO(model), len(model)):
            raise FileFormatError(f"the {len(model)} bytes given to `from_onnx` are {problem}")
        _refuse_external_data(bytes(model))
        return bytes(model), "onnx", {}
    path = existing_file(Path(model))
    with path.open("rb") as file:
        if problem := onnx_problem(file, path.stat().st_size):
            raise (WrongFileError if problem.startswith(NOT_ONNX) else FileFormatError)(f"{path} is {problem}")
    external = external_files(path)
    identity = {"file_sha256": file_identity(path, *external.values())}
    return str(path), path.stem, {**identity, **({"external_data": list(external)} if external else {})}


def _refuse_external_data(model: bytes) -> None:
    try:
        locations = external_locations(model)
    except ValueError as error:
        raise FileFormatError(f"the bytes given to `from_onnx` are a damaged ONNX model ({error})") from error
    if locations:
        raise FileFormatError(
            f"the bytes given to `from_onnx` take weights from {sorted(locations)[0]!r}; give the path of the model, "
            "with that file beside it"
        )


def _open(ort: Any, source: str | bytes, name: str, providers: Sequence[Any], threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads that spin take the cores from the composition of the next batch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # ONNX Runtime would fall back to the CPU with no more than a printed line.
    available = ort.get_available_providers()
    for provider in providers:
        if (provider if isinstance(provider, str) else provider[0]) not in available:
            raise ValueError(f"`providers` asks for {provider!r}; this onnxruntime has {', '.join(available)}")
    try:
        return ort.InferenceSession(source, options, providers=list(providers))
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise FileFormatError(f"ONNX Runtime cannot open {name}: {error}") from error


def _only_input(session: Any, name: str, types: Mapping[str, Any]) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise FileFormatError(
            f"{name} has {len(inputs)} inputs ({_signature(inputs)}); a black box takes one: wrap the model in a "
            "function that fills in the others, and pass it to `from_callable`"
        )
    if inputs[0].type not in types:
        known = ", ".join(np.dtype(dtype).name for dtype in types.values())
        wrap = "that converts, and pass it to `from_callable`"
        if types is _INPUT_TYPES and inputs[0].type in _TOKEN_TYPES:
            wrap = "on strings that makes token ids of them, and pass it to `from_texts`"
        raise FileFormatError(
            f"{name} takes {_signature(inputs)}; inputs of {known} are supported: wrap the model in a function {wrap}"
        )
    return inputs[0]


def _tokenizer_in(metadata: Mapping[str, str], name: str) -> Tokenizer | None:
    stored = metadata.get("tokenizer")
    if stored is None:
        return None
    try:
        return Tokenizer.from_json(stored)
    except ValueError as error:
        raise FileFormatError(f"{name}: {error}") from error


def _rate_in(metadata: Mapping[str, str]) -> int | None:
    text = metadata.get("rate", "")
    return int(text) if text.isdecimal() and 0 < len(text) < 10 and int(text) > 0 else None


def _choose_output(session: Any, output: Output, name: str) -> str:
    outputs = session.get_outputs()
    names = [o.name for o in outputs]
    if isinstance(output, int):
        if not -len(names) <= output < len(names):
            raise ValueError(f"`output` is {output}, but {name} has {len(names)} outputs: {_signature(outputs)}")
        return names[output]
    if output is not None:
        if output not in names:
            raise ValueError(f"{name} has no output {output!r}; it has {_signature(outputs)}")
        return output
    floats = [o for o in outputs if o.type in _OUTPUT_TYPES]
    fitting = [o for o in floats if len(o.shape or ()) == 2]
    if not fitting:  # a shape that the file leaves open is settled by the first answer
        fitting = [o for o in floats if not o.shape]
    if len(fitting) == 1:
        return fitting[0].name
    problem = f"{len(fitting)} of them could be" if fitting else "none of them is"
    raise ModelOutputError(
        f"{name} has the outputs {_signature(outputs)}: {problem} [batch, classes] of floating-point numbers; "
        "choose one with `output` (an index or a name), or export the model without what comes after its scores"
    )


def _classes_of(session: Any, output_name: str) -> int | None:
    """Return how many classes the output has, if the file tells."""
    (shape,) = (output.shape for output in session.get_outputs() if output.name == output_name)
    return shape[1] if len(shape or ()) == 2 and isinstance(shape[1], int) and shape[1] > 0 else None


def _signature(entries: Sequence[Any]) -> str:
    types = [entry.type.removeprefix("tensor(").removesuffix(")") for entry in entries]
    return ", ".join(f"{e.name!r} {kind} {list(e.shape or [])}" for e, kind in zip(entries, types, strict=True))
