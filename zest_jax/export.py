"""A checkpoint as an ONNX model, checked against the checkpoint before it is written."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

from zest_jax.atomic import atomic_write
from zest_jax.errors import ZestError, missing_extra
from zest_jax.models.convolutions import plain_convolutions
from zest_jax.version import __version__

__all__ = ["ExportError", "ExportReport", "export_onnx"]

if TYPE_CHECKING:
    import onnx

    from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo

_OPSET = 18  # the first in which all reductions take their axes as an input; ONNX Runtime reads it since 1.14
_BATCHES = (1, 7)  # inputs asked at once in the check: any number must do


class ExportError(ZestError):
    """A model cannot be exported, or does not answer as it did.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import Checkpoint, CheckpointInfo
    >>> options = {"vocabulary": 8, "embedding": 4, "hidden": 4}
    >>> config = ModelConfig(name="lstm", num_classes=2, options=options)
    >>> export_onnx(Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=())), "lstm.onnx")
    Traceback (most recent call last):
    zest_jax.export.ExportError: the checkpoint does not tell how many tokens its model takes: it has no tokenizer
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written.

    Attributes:
        path: the file.
        takes: its inputs, in words.
        difference: largest absolute difference to the checkpoint's logits in the check, divided by the largest logit.
        opset: version of ONNX's operators.
        fingerprint: of the checkpoint.
        flags: what `zest sign` must be told to open the file; () where it finds out by itself.

    >>> report = ExportReport(path=Path("victim.onnx"), takes="images", difference=2e-7, opset=18, fingerprint="0" * 64)
    >>> report.difference < 1e-4, report.flags
    (True, ())
    """

    path: Path
    takes: str
    difference: float
    opset: int
    fingerprint: str
    flags: tuple[str, ...] = ()


def export_onnx(
    checkpoint: "str | os.PathLike[str] | Checkpoint",
    path: str | os.PathLike[str],
    *,
    opset: int | None = None,
    tolerance: float = 1e-4,
) -> ExportReport:
    """Write a checkpoint as an ONNX model that takes plain inputs and answers with logits.

    Images are float32 [batch, height, width, channels] in [0, 1], sounds float32 [batch, samples] in [-1, 1], texts token
    ids int32 [batch, length]; the batch may be of any size. The normalisation is part of the graph. Class names, rate,
    tokenizer, fingerprint, lineage and the rest of the checkpoint's description are in the model's metadata, where `from_onnx`
    finds them.

    The model is asked random and extreme inputs with ONNX Runtime first, and written only if

        max |exported - own| <= tolerance * max |own|    over all logits.

    Args:
        checkpoint: the folder of a run or of one checkpoint, or a checkpoint in memory.
        path: the file; one that is there is replaced.
        opset: version of ONNX's operators, 18 or higher; None for 18.
        tolerance: above 0.

    Raises:
        MissingExtraError: onnx, ONNX Runtime or Orbax is not installed.
        FileNotFoundError, FileFormatError: there is no checkpoint that can be read, or no folder to write to.
        ExportError: an operation of the model is not translated, or the answers differ by more than `tolerance`; nothing is
            written.
        ValueError: `opset` or `tolerance` is out of its range.

    >>> import tempfile
    >>> from zest_jax.blackbox import from_checkpoint, from_onnx
    >>> from zest_jax.models.registry import ModelConfig
    >>> from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo
    >>> config = ModelConfig(name="resnet20", num_classes=2)
    >>> info = CheckpointInfo(model=config, input_shape=(8, 8, 3), mean=(0.5,) * 3, std=(0.2,) * 3, class_names=("a", "b"))
    >>> victim = Checkpoint(config.build(), info)
    >>> x = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(victim, f"{folder}/victim.onnx")
    ...     box = from_onnx(report.path)
    >>> bool(np.allclose(box(x), from_checkpoint(victim)(x), atol=1e-3)), box.class_names, box.spec.layout
    (True, ('a', 'b'), 'NHWC')
    """
    onnx, _ = _libraries()
    highest = onnx.defs.onnx_opset_version()
    if opset is not None and not _OPSET <= opset <= highest:
        raise ValueError(f"`opset` is {opset}; give {_OPSET} to {highest}")
    if not 0 < tolerance < math.inf:
        raise ValueError(f"`tolerance` is {tolerance}; give a share of the largest logit above 0, such as 1e-4")
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    found = _checkpoint_of(checkpoint)
    kind, shape, dtype = _inputs_of(found.info)
    answer = _answering(found, kind)
    model = _translated(answer, shape, dtype, found.info, opset or _OPSET)
    _describe(model, found, kind)
    content = model.SerializeToString()
    examples = _examples(kind, shape, found.info)
    difference = _difference(content, answer, examples, found.info.model.name)
    if not difference <= tolerance:
        raise ExportError(
            f"the exported {found.info.model.name} differs from the checkpoint by {difference:.1e} of the largest logit, more "
            f"than `tolerance` {tolerance:.1e}; nothing was written"
        )
    with atomic_write(path) as file:
        file.write(content)
    takes = f"{np.dtype(dtype).name} [{', '.join(map(str, ('any', *shape)))}] {_SCALES[kind]}"
    return ExportReport(
        path=path,
        takes=takes,
        difference=difference,
        opset=opset or _OPSET,
        fingerprint=found.fingerprint,
        flags=_flags(kind, shape),
    )


_SCALES = {"image": "(images from 0 to 1, channels last)", "audio": "(sounds from -1 to 1)", "text": "(token ids)"}
_RANGES = {"image": (0.0, 1.0), "audio": (-1.0, 1.0)}


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("onnx", "export") from error
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("onnxruntime", "export") from error
    return onnx, onnxruntime


def _checkpoint_of(checkpoint: "str | os.PathLike[str] | Checkpoint") -> "Checkpoint":
    try:
        from zest_jax.training.checkpoints import Checkpoint, load_checkpoint
    except ImportError as error:
        raise missing_extra("orbax-checkpoint", "train") from error
    return checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)


def _inputs_of(info: "CheckpointInfo") -> tuple[str, tuple[int, ...], type]:
    """What one input is, its shape and type."""
    if info.model.name == "lstm":
        return "text", info.input_shape or (_text_length(info),), np.int32
    return ("image" if len(info.input_shape) == 3 else "audio"), tuple(info.input_shape), np.float32


def _text_length(info: "CheckpointInfo") -> int:
    stored = getattr(info, "tokenizer", None)
    if stored is None:
        raise ExportError("the checkpoint does not tell how many tokens its model takes: it has no tokenizer")
    from zest_jax.data.tokens import Tokenizer

    return Tokenizer.from_json(stored).encode([""]).shape[1]


def _answering(checkpoint: "Checkpoint", kind: str) -> Any:
    """The function from plain inputs to logits."""
    from zest_jax.training.engine import as_pure

    model = nnx.clone(checkpoint.model)
    model.eval()
    plain_convolutions(model)
    graphdef, variables = nnx.split(model)
    state = as_pure(variables)
    info = checkpoint.info
    mean, std = np.asarray(info.mean, np.float32), np.asarray(info.std, np.float32)

    def answer(x: jax.Array) -> jax.Array:
        merged: Any = nnx.merge(graphdef, state)
        return merged(x if kind == "text" or not info.mean else (x - mean) / std)

    return answer


def _translated(
    answer: Any, shape: tuple[int, ...], dtype: type, info: "CheckpointInfo", opset: int
) -> "onnx.ModelProto":
    from zest_jax.onnx_graph import UnsupportedOperationError
    from zest_jax.onnx_lowering import onnx_model

    try:
        return onnx_model(answer, shape, dtype, name=info.model.name, opset=opset)
    except UnsupportedOperationError as error:
        raise ExportError(f"{info.model.name} cannot be exported: {error}") from error


def _describe(model: "onnx.ModelProto", checkpoint: "Checkpoint", kind: str) -> None:
    info = checkpoint.info
    texts = {
        "description": f"zest_jax {__version__}: {_SCALES[kind]} to logits; normalisation is part of the graph",
        "zest_jax": __version__,
        "modality": kind,
        "fingerprint": checkpoint.fingerprint,
        "architecture": json.dumps(info.model.to_json()),
        "lineage": json.dumps([dataclasses.asdict(step) for step in info.lineage]),
        "dataset": info.dataset,
        "data_hash": info.data_hash,
        "accuracy": "" if info.accuracy is None else repr(info.accuracy),
    }
    if kind == "image":
        texts |= {"layout": "NHWC", "value_range": "0,1"}
    if info.rate is not None:
        texts["rate"] = str(info.rate)
    if info.class_names:
        texts["class_names"] = json.dumps(list(info.class_names))
    if (tokenizer := getattr(info, "tokenizer", None)) is not None:
        texts["tokenizer"] = tokenizer
    for name, text in texts.items():
        if text:
            model.metadata_props.add(key=name, value=text)


def _examples(kind: str, shape: tuple[int, ...], info: "CheckpointInfo") -> np.ndarray:
    """Random inputs and the most extreme ones."""
    rng = np.random.default_rng(0)
    if kind == "text":
        vocabulary = int(info.model.options.get("vocabulary", 20_000))
        texts = rng.integers(0, vocabulary, (8, *shape), np.int32)
        texts[1:4, shape[0] // 2 :] = 0
        return np.concatenate([texts, np.zeros_like(texts[:1]), np.full_like(texts[:1], vocabulary - 1)])
    low, high = _RANGES[kind]
    random = rng.uniform(low, high, (8, *shape))
    extreme = rng.choice([low, high], (4, *shape))
    flat = [np.full((1, *shape), value) for value in (low, (low + high) / 2, high)]
    return np.concatenate([random, extreme, *flat]).astype(np.float32)


def _difference(content: bytes, answer: Any, examples: np.ndarray, name: str) -> float:
    """Largest difference between exported and own logits, as a share of the largest of them."""
    _, onnxruntime = _libraries()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with jax.default_matmul_precision("highest"):  # accelerators round more coarsely by default
        own = np.asarray(jax.jit(answer)(examples))
    if not np.isfinite(own).all():
        raise ExportError(f"the logits of {name} are not finite on some inputs; it is damaged, or was not trained well")
    worst = 0.0
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for size in _BATCHES:
            for start in range(0, len(examples), size):
                (found,) = session.run(None, {"inputs": examples[start : start + size]})
                worst = max(worst, float(np.abs(found - own[start : start + size]).max()))
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise ExportError(f"ONNX Runtime cannot run the exported {name} ({error}); nothing was written") from error
    return worst / max(float(np.abs(own).max()), float(np.finfo(np.float32).tiny))


def _flags(kind: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    # `from_onnx` finds the axis of 1 or 3 channels by itself, unless the height is 1 or 3 too.
    if kind != "image" or (shape[2] in (1, 3) and shape[0] not in (1, 3)):
        return ()
    return ("--layout", "NHWC")
