"""Signatures for pictures, made without a model."""

from typing import Any

import numpy as np

from zest_jax.signature import Signature


def made_signature(label: str, counts: list[int], classes: int = 3, seed: int = 0, **changes: Any) -> Signature:
    """A signature with random weights of references with so many segments each."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "weights": rng.normal(size=(sum(counts), classes)).astype(np.float32),
        "segment_counts": np.array(counts, np.int32),
        "r2": np.ones((len(counts), classes), np.float32),
        "variance": np.ones((len(counts), classes), np.float32),
        "probe_hash": "a" * 64,
        "label": label,
        "class_names": tuple(f"class-{i}" for i in range(classes)),
        **changes,
    }
    return Signature(**values)
