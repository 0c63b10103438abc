"""Every way one model is made from another; each is noted in the lineage of what it makes."""

from zest_jax.reuse.average import average
from zest_jax.reuse.distill import distill
from zest_jax.reuse.extract import extract
from zest_jax.reuse.noise import add_noise
from zest_jax.reuse.permute import permute_labels
from zest_jax.reuse.prune import check_sparsity, prune, sparsity_of
from zest_jax.reuse.quantize import QuantizedKernel, quantize, quantize_onnx, quantized_kernels
from zest_jax.reuse.sisa import train_sisa, unlearn_sisa
from zest_jax.reuse.transfer import fine_tune, transfer
from zest_jax.reuse.unlearn import unlearn_amnesiac, unlearn_exact

__all__ = [
    "transfer",
    "fine_tune",
    "prune",
    "check_sparsity",
    "sparsity_of",
    "quantize",
    "QuantizedKernel",
    "quantized_kernels",
    "quantize_onnx",
    "distill",
    "extract",
    "unlearn_exact",
    "unlearn_amnesiac",
    "train_sisa",
    "unlearn_sisa",
    "permute_labels",
    "add_noise",
    "average",
]
