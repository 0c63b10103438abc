"""Black boxes: models of any framework that can only be asked."""

from zest_jax.blackbox.checkpoint import from_checkpoint
from zest_jax.blackbox.files import load_model
from zest_jax.blackbox.flax import from_flax, from_linen
from zest_jax.blackbox.function import from_callable, from_jax
from zest_jax.blackbox.http import HttpBlackBox, from_http
from zest_jax.blackbox.onnx import from_onnx
from zest_jax.blackbox.protocol import BlackBox, HostBlackBox, InputSpec, JaxBlackBox, TextSpec
from zest_jax.blackbox.recognise import FileKind, file_identity, recognise
from zest_jax.blackbox.text import from_sklearn, from_texts, from_transformers
from zest_jax.blackbox.torch import from_torch
from zest_jax.blackbox.torch_files import from_exported, from_state_dict, from_torchscript

__all__ = [
    "BlackBox",
    "FileKind",
    "HostBlackBox",
    "HttpBlackBox",
    "InputSpec",
    "JaxBlackBox",
    "TextSpec",
    "file_identity",
    "from_callable",
    "from_checkpoint",
    "from_exported",
    "from_flax",
    "from_http",
    "from_jax",
    "from_linen",
    "from_onnx",
    "from_sklearn",
    "from_state_dict",
    "from_texts",
    "from_torch",
    "from_torchscript",
    "from_transformers",
    "load_model",
    "recognise",
]
