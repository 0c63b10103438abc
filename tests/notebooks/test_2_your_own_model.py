"""The notebook on one's own PyTorch model and its export to ONNX."""

import pytest

from tests.notebooks.running import check_runs


@pytest.mark.slow
def test_a_pytorch_model_and_its_onnx_export_give_the_kept_numbers():
    check_runs(2, "torch", "onnxscript", "onnxruntime", "sklearn")
