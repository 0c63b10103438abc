"""Kinds of models in a zoo: each entry says from which others it is made, and makes it."""

from zest_jax.zoo.entries.altered import Average, Noise, Permute, Quantize, QuantizeOnnx
from zest_jax.zoo.entries.base import Entry
from zest_jax.zoo.entries.retrained import Distill, Extract, Prune, Transfer
from zest_jax.zoo.entries.trained import Train
from zest_jax.zoo.entries.unlearned import Sisa, Unlearn, UnlearnSisa

__all__ = [
    "Entry",
    "Train",
    "Transfer",
    "Prune",
    "Quantize",
    "QuantizeOnnx",
    "Distill",
    "Extract",
    "Unlearn",
    "Sisa",
    "UnlearnSisa",
    "Permute",
    "Noise",
    "Average",
]
