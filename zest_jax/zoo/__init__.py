"""Model zoos: victims, independent models and every kind of reuse, built from one typed configuration."""

from zest_jax.zoo.build import ZooBuildError, build_zoo
from zest_jax.zoo.config import Zoo, load_zoo
from zest_jax.zoo.entries import (
    Average,
    Distill,
    Entry,
    Extract,
    Noise,
    Permute,
    Prune,
    Quantize,
    QuantizeOnnx,
    Sisa,
    Train,
    Transfer,
    Unlearn,
    UnlearnSisa,
)
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
