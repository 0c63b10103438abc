"""Quantise an ONNX classifier to int8, the way it is done for phones and servers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from quiet import quiet

from zest_jax.errors import missing_extra


def quantise_int8(source: Path, target: Path, calibration: np.ndarray) -> None:
    """Write an int8 copy of an ONNX model: static quantisation, weights per output channel.

    Activations get 8 bits, weights 7 (`reduce_range`): with 8, processors without VNNI instructions overflow silently.

    Args:
        source: an ONNX file with one input.
        target: where the copy goes; it appears when it is complete.
        calibration: inputs as the model takes them, float32 [n, C, H, W]; the ranges of its activations come from them.

    Raises:
        MissingExtraError: ONNX or ONNX Runtime is not installed.
    """
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise missing_extra("onnx or onnxruntime", "demo") from error

    name = onnx.load(str(source), load_external_data=False).graph.input[0].name

    class Calibration(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.inputs: Iterator[np.ndarray] = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            one = next(self.inputs, None)
            return None if one is None else {name: one[None]}

    with quiet(), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        ready, done = Path(folder, "ready.onnx"), Path(folder, "int8.onnx")
        quant_pre_process(str(source), str(ready))
        quantization.quantize_static(
            str(ready),
            str(done),
            Calibration(),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        done.replace(target)
