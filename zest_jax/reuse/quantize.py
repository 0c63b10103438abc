"""Quantisation after training: weights of 8 bits per channel, and ONNX models with dynamic int8 (Jacob et al. 2018)."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zest_jax.atomic import atomic_write
from zest_jax.data.datasets import Dataset
from zest_jax.errors import FileFormatError, missing_extra
from zest_jax.reuse.derived import derived, kernels
from zest_jax.training.checkpoints import Checkpoint, LineageStep, weights_of


class QuantizedKernel(NamedTuple):
    """`values * scale` is the kernel.

    Attributes:
        values: int8, of the kernel's shape.
        scale: float32 [outputs].

    >>> kernel = QuantizedKernel(values=np.array([[127, -64]], np.int8), scale=np.array([0.01, 0.5], np.float32))
    >>> (kernel.values * kernel.scale).round(2).tolist()
    [[1.27, -32.0]]
    """

    values: np.ndarray
    scale: np.ndarray


def quantize(
    victim: Checkpoint,
    *,
    bits: int = 8,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
) -> Checkpoint:
    """Round the kernels of convolutions and dense layers to `bits` bits, symmetrically for each output channel.

    `w_q = round(w / s)`, `s = max |w| / (2^(bits - 1) - 1)` over the channel. The model computes with `s w_q` in float32, so
    that it can be used like any other; `quantized_kernels` gives the integers. Embeddings, biases and batch normalisation
    stay as they are.

    Args:
        victim: stays as it is.
        bits: of each weight, from 2 to 8.
        folder: where the checkpoint is stored, if anywhere.
        test: where its accuracy is measured.

    Raises:
        ValueError: `bits` is out of range.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import CheckpointInfo
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = Checkpoint(config.build(), CheckpointInfo(model=config, input_shape=(512,)))
    >>> copy = quantize(victim, bits=4)
    >>> len(np.unique(weights_of(copy.model)["head.kernel"][:, 0])) <= 15            # 2^4 - 1 levels for each output
    True
    """
    weights = weights_of(victim.model)
    for name, (values, scale) in quantized_kernels(victim.model, bits=bits).items():
        weights[name] = values.astype(np.float32) * scale
    step = LineageStep(kind="quantize", parent=victim.fingerprint, settings={"bits": bits})
    return derived(victim.info, weights, step, folder=folder, test=test)


def quantized_kernels(model: Any, *, bits: int = 8) -> dict[str, QuantizedKernel]:
    """Integers and scales of each kernel of a model, by dotted name; see `quantize`.

    Of a quantised model they are those it was made from.

    Args:
        model: of Flax NNX.
        bits: of each weight, from 2 to 8.

    Returns:
        by name: `values` int8 of the kernel's shape [..., outputs], and `scale` float32 [outputs].

    Raises:
        ValueError: `bits` is out of range.

    >>> from zest_jax.models import create
    >>> found = quantized_kernels(create("m5", 2, widths=(4, 4, 4, 4)))["head.kernel"]
    >>> found.values.shape, int(abs(found.values).max()), found.scale.shape
    ((4, 2), 127, (2,))
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"`bits` is {bits}; give 2 to 8")
    top = 2 ** (bits - 1) - 1
    weights = weights_of(model)
    found = {}
    for name in kernels(weights):
        kernel = weights[name]
        largest = np.abs(kernel).max(tuple(range(kernel.ndim - 1)))
        # A channel of zeros stays one, whatever its scale.
        scale = np.where(largest > 0, largest / top, 1.0).astype(np.float32)
        found[name] = QuantizedKernel(np.clip(np.rint(kernel / scale), -top, top).astype(np.int8), scale)
    return found


def quantize_onnx(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Quantise an ONNX model dynamically: weights of 8 bits per tensor, activations as they come (ONNX Runtime).

    Args:
        source: an ONNX file, such as `zest export` writes.
        target: the file to write.

    Returns:
        `target`.

    Raises:
        FileNotFoundError: `source` or the folder of `target` does not exist.
        FileFormatError: ONNX Runtime cannot quantise the model.
        MissingExtraError: ONNX Runtime or onnx is not installed.

    >>> import tempfile
    >>> from zest_jax import from_onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = quantize_onnx("tests/golden/models/victim.onnx", f"{folder}/int8.onnx")
    ...     from_onnx(made)(np.zeros((2, 32, 32, 3), np.float32)).shape
    (2, 10)
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise missing_extra("onnxruntime with onnx", "export") from error
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    with tempfile.TemporaryDirectory() as folder, atomic_write(target) as file:
        made = Path(folder) / "model.onnx"
        try:
            quantize_dynamic(source, made, weight_type=QuantType.QUInt8, per_channel=False)
        except Exception as error:
            raise FileFormatError(f"{source} cannot be quantised ({error})") from error
        with made.open("rb") as content:
            shutil.copyfileobj(content, file)
    return target
