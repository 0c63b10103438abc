"""Signatures made without models: families of them, of any number of classes."""

import dataclasses

import numpy as np

from zest_jax.signature import Preview, Signature

COUNTS = np.array([20, 25, 15], np.int32)
PROBES = "ab" * 32


def model(label: str, seed: int, *, classes: int = 4, counts: np.ndarray = COUNTS, **changes) -> Signature:
    """A model of its own: normal weights."""
    rng = np.random.default_rng(seed)
    size = (len(counts), classes)
    values = {
        "weights": rng.normal(size=(int(counts.sum()), classes)).astype(np.float32),
        "segment_counts": counts,
        "r2": rng.uniform(0.3, 0.9, size).astype(np.float32),
        "variance": np.ones(size, np.float32),
        "probe_hash": PROBES,
        "label": label,
        "settings": {"solve": {"ridge": 0.0}, "targets": "as-is", "outputs": "logits"},
    }
    return Signature(**(values | changes))


def copy_of(original: Signature, label: str, *, noise: float, seed: int, classes: list[int] | None = None) -> Signature:
    """A model made from another: noise, and some of its classes in another order."""
    rng = np.random.default_rng(seed)
    weights = original.weights + noise * rng.normal(size=original.weights.shape)
    made = dataclasses.replace(original, label=label, weights=weights.astype(np.float32))
    return made if classes is None else made.select_classes(classes)


def full(label: str = "full") -> Signature:
    """A signature that has everything."""
    preview = Preview(1, np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), np.int32))
    return model(
        label,
        99,
        class_names=("a", "b", "ç", "o'hara"),
        intercept=np.ones((3, 4), np.float32),
        settings={
            "solve": {"ridge": 0.0},
            "targets": "as-is",
            "outputs": "logits",
            "model": {"architecture": "resnet8"},
        },
        preview=preview,
    )
