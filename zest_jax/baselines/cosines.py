"""The cosine, as several methods use it."""

import numpy as np
from jaxtyping import Float


def unit(vectors: Float[np.ndarray, "*many features"]) -> Float[np.ndarray, "*many features"]:
    """Divide vectors by their Euclidean length; a vector of zeros stays, so that its cosine with any other is 0.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def cosine(
    a: Float[np.ndarray, "*#many features"], b: Float[np.ndarray, "*#many features"]
) -> Float[np.ndarray, "..."]:
    """Cosine of the angle between vectors, <a, b> / (|a| |b|), in [-1, 1].

    >>> cosine(np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [1.0, 1.0]])).round(3).tolist()
    [1.0, 0.707]
    """
    return np.asarray(np.clip((unit(a) * unit(b)).sum(axis=-1), -1, 1))
