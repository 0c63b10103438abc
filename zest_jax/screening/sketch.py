"""Compact sketches of signatures, among which the nearest models are looked for first.

The signature of class c is a long vector w_c (paper, section 3). A random matrix of signs R [features, dimensions] keeps angles
(Johnson and Lindenstrauss 1984; Achlioptas 2003): the cosine of w_c R and w_d R is that of w_c and w_d, with a standard deviation
of about (1 - cosine^2) / sqrt(dimensions). A sketch is the w_c R as unit vectors in float16, and the norms |w_c|.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float16, Float32, Int

KIND = "signs"
# So that a model of many classes, [models, classes, classes] cosines, is looked at in pieces; float32 numbers.
PIECE = 2**22


@dataclasses.dataclass(frozen=True, kw_only=True)
class SketchSettings:
    """How sketches are made; the same for all of a store.

    Attributes:
        dimensions: numbers that stand for one class, a multiple of 64 in [64, 4096].
        seed: of the random signs, in [0, 2^32).

    Raises:
        ValueError: a setting is out of its range.

    >>> SketchSettings(dimensions=256)
    SketchSettings(dimensions=256, seed=0)
    >>> SketchSettings(dimensions=100)
    Traceback (most recent call last):
    ValueError: `dimensions` is 100; give a multiple of 64 from 64 to 4096
    """

    dimensions: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if not (64 <= self.dimensions <= 4096 and self.dimensions % 64 == 0):
            raise ValueError(f"`dimensions` is {self.dimensions}; give a multiple of 64 from 64 to 4096")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` is {self.seed}; give a number from 0 to 2^32 - 1")


DEFAULT = SketchSettings()


class Sketch(NamedTuple):
    """A model in short.

    Attributes:
        vectors: of length 1, or 0 for a class without weights, float16 [classes, dimensions].
        norms: of the class's weights, float32 [classes].
    """

    vectors: np.ndarray
    norms: np.ndarray


def make_sketches(weights: Sequence[Float[np.ndarray, "features _"]], settings: SketchSettings) -> list[Sketch]:
    """Sketch the weights of signatures of one probe set, in one matrix product.

    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 500, 1)).astype(np.float32)
    >>> (sketch,) = make_sketches([np.concatenate([x, x + y], axis=1)], SketchSettings())
    >>> sketch.vectors.shape, abs(float(sketch.vectors[0] @ sketch.vectors[1]) - 0.5**0.5) < 0.1
    ((2, 128), True)
    """
    if not weights:
        return []
    together = np.concatenate(weights, axis=1)
    projected = together.T @ signs(len(together), settings)
    lengths = np.linalg.norm(projected, axis=1, keepdims=True)
    vectors = np.divide(projected, lengths, out=np.zeros_like(projected), where=lengths > 0).astype(np.float16)
    norms = np.sqrt(np.square(together, dtype=np.float64).sum(axis=0)).astype(np.float32)
    ends = np.cumsum([each.shape[1] for each in weights])[:-1]
    return [Sketch(*parts) for parts in zip(np.split(vectors, ends), np.split(norms, ends), strict=True)]


def make_sketch(weights: Float[np.ndarray, "features classes"], settings: SketchSettings) -> Sketch:
    """Sketch the weights of one signature; see `make_sketches`."""
    return make_sketches([weights], settings)[0]


@functools.lru_cache(maxsize=4)
def signs(features: int, settings: SketchSettings) -> Float[np.ndarray, "features dimensions"]:
    """The random matrix, of +1 and -1: equal on every machine and with every version of NumPy.

    Row i holds the bits of 64-bit words that SplitMix64 (Steele, Lea and Flood 2014) gives at the places after
    i * dimensions / 64 of the stream of the seed.
    """
    words = settings.dimensions // 64
    place = np.arange(1, features * words + 1, dtype=np.uint64) + np.uint64(settings.seed << 32)
    z = place * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))).astype("<u8")
    bits = np.unpackbits(z.view(np.uint8).reshape(features, -1), axis=1)
    return bits.astype(np.float32) * 2 - 1


def late_interaction(
    query: Sketch,
    vectors: Float16[np.ndarray, "models classes dimensions"],
    norms: Float32[np.ndarray, "models classes"],
    *,
    same: Int[np.ndarray, " matched"] | None = None,
) -> Float[np.ndarray, " models"]:
    """Estimate the aligned cosine distance between one model and many of the same number of classes.

    Each class of the model that has fewer takes its best match, m(c) = argmax_d cos(w_c, v_d) (late interaction: Khattab and
    Zaharia, ColBERT, 2020); then 1 - sum_c |w_c| |v_m(c)| cos(w_c, v_m(c)) / (|w| |v_m|). Unlike in an alignment, several classes
    may take the same one.

    Args:
        query: of the one model.
        vectors: of the others, [models, classes, dimensions].
        norms: of the others, [models, classes].
        same: class i of the query is class same[i] of the others; None to match as above.

    Returns:
        float64 [models]; 1 to a model without weights.

    >>> one = make_sketch(np.eye(64, 3, dtype=np.float32), SketchSettings())
    >>> np.abs(late_interaction(one, one.vectors[None, ::-1], one.norms[None])).round(3)
    array([0.])
    """
    models, classes, dimensions = vectors.shape
    mine = query.vectors.astype(np.float32)
    found = np.empty(models)
    step = max(1, PIECE // (classes * max(len(mine), dimensions)))
    for start in range(0, models, step):
        part = slice(start, start + step)
        if same is not None:
            theirs, norms_of = vectors[part][:, same], norms[part][:, same].astype(np.float64)
            cosines = np.einsum("md,kmd->km", mine, theirs.astype(np.float32))
            found[part] = _weighted(cosines, query.norms.astype(np.float64), norms_of)
            continue
        flat = vectors[part].reshape(-1, dimensions).astype(np.float32)
        cosines = (flat @ mine.T).reshape(-1, classes, len(mine))
        if len(mine) <= classes:
            best = cosines.argmax(axis=1)
            theirs = np.take_along_axis(norms[part], best, axis=1).astype(np.float64)
            ours = query.norms.astype(np.float64)[None]
            found[part] = _weighted(np.take_along_axis(cosines, best[:, None], axis=1)[:, 0], ours, theirs)
        else:
            best = cosines.argmax(axis=2)
            ours = query.norms.astype(np.float64)[best]
            found[part] = _weighted(
                np.take_along_axis(cosines, best[:, :, None], axis=2)[:, :, 0], ours, norms[part].astype(np.float64)
            )
    return found


def _weighted(cosines: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    product = (cosines * ours * theirs).sum(axis=1)
    lengths = np.sqrt(np.square(ours).sum(axis=-1) * np.square(theirs).sum(axis=1))
    return 1 - np.divide(product, lengths, out=np.zeros_like(product, np.float64), where=lengths > 0)
