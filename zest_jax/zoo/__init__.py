"""Model zoos: victims, independent models and every kind of reuse, built from one typed configuration."""

from zest_jax.zoo.build import ZooBuildError, build_zoo
from zest_jax.zoo.config import Zoo, load_zoo
from zest_jax.zoo.entries.altered import Average, Noise, Permute, Quantize, QuantizeOnnx
from zest_jax.zoo.entries.base import Entry
from zest_jax.zoo.entries.retrained import Distill, Extract, Prune, Transfer
from zest_jax.zoo.entries.trained import Train
from zest_jax.zoo.entries.unlearned import Sisa, Unlearn, UnlearnSisa
from zest_jax.zoo.index import IndexEntry, read_index
from zest_jax.zoo.workbench import Data

__all__ = [
    "Zoo",
    "load_zoo",
    "build_zoo",
    "ZooBuildError",
    "read_index",
    "IndexEntry",
    "Data",
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
