"""Draw the random 0/1 masks of LIME, keep them as bits, and find the repeats among them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8


def draw_masks(
    n_segments: Int[np.ndarray, " refs"],
    n_samples: int,
    *,
    p: float = 0.5,
    seed: int = 0,
) -> Bool[np.ndarray, "refs samples segments"]:
    """Draw Bernoulli(p) masks over the segments of each reference; the first mask of each keeps everything.

    That the all-ones mask comes first and counts among the samples is how the paper's authors do it. The masks of
    reference i depend on (seed, i, n_segments[i]) alone, on NumPy's PCG64 stream: they are the same on every backend and
    platform, and a larger `n_samples` continues a smaller one.

    Args:
        n_segments: K of each reference, every one at least 1.
        n_samples: L, masks per reference, at least 1 (the paper uses 1000).
        p: probability that a segment is kept, strictly between 0 and 1.
        seed: non-negative.

    Returns:
        masks, padded with False to the largest K.

    Raises:
        ValueError: an argument is out of its range.

    >>> masks = draw_masks(np.array([2, 3]), 4)
    >>> masks.shape, bool(masks[0, 0, :2].all()), bool(masks[0, :, 2].any())
    ((2, 4, 3), True, False)
    """
    counts = np.asarray(n_segments)
    if counts.size == 0 or counts.min() < 1:
        raise ValueError(f"every reference needs at least one segment; got the counts {counts.tolist()[:10]}")
    if n_samples < 1:
        raise ValueError(f"`n_samples` is {n_samples}; at least 1 mask per reference is needed (the paper uses 1000)")
    if not 0 < p < 1:
        raise ValueError(
            f"`p` is {p}; give the probability that a segment is kept, strictly between 0 and 1 (the paper: 0.5)"
        )
    if seed < 0:
        raise ValueError(f"`seed` is {seed}; give a non-negative integer")
    masks = np.zeros((len(counts), n_samples, int(counts.max())), bool)
    for i, k in enumerate(counts):
        masks[i, 0, :k] = True
        masks[i, 1:, :k] = np.random.default_rng([seed, i]).random((n_samples - 1, int(k))) < p
    return masks


def pack(masks: Bool[np.ndarray, "*batch segments"]) -> UInt8[np.ndarray, "*batch octets"]:
    """Store masks as bits, first segment in the highest bit (the order of `np.packbits`)."""
    return np.packbits(masks, axis=-1)


def unpack(packed: UInt8[np.ndarray, "*batch octets"], n_segments: int) -> Bool[np.ndarray, "*batch segments"]:
    """Undo `pack`."""
    return np.unpackbits(packed, axis=-1, count=n_segments).astype(bool)


class DistinctMasks(NamedTuple):
    """Every different (reference, mask) once: what a model is really asked.

    About 27% of the paper's perturbed CIFAR-10 inputs are exact repeats. Asking each once and weighting it by its count
    gives exactly the same least-squares fit.

    Attributes:
        reference: which reference a query belongs to, non-decreasing, int32 [queries].
        packed: its mask as bits, uint8 [queries, octets].
        counts: how often the mask was drawn, int32 [queries].
        start: queries of reference i are start[i]:start[i + 1], int64 [refs + 1].
        inverse: query that answers sample j of reference i, int64 [refs, samples].
    """

    reference: np.ndarray
    packed: np.ndarray
    counts: np.ndarray
    start: np.ndarray
    inverse: np.ndarray


def distinct_masks(packed: UInt8[np.ndarray, "refs samples octets"]) -> DistinctMasks:
    """Find the repeats of each reference's masks, in order of first appearance.

    >>> found = distinct_masks(pack(np.array([[[1, 1], [0, 1], [1, 1]]], bool)))
    >>> found.counts.tolist(), found.inverse.tolist()
    ([2, 1], [[0, 1, 0]])
    """
    rows, counts, references, inverses, start = [], [], [], [], [0]
    for i, masks in enumerate(packed):
        _, first, inverse, count = np.unique(masks, axis=0, return_index=True, return_inverse=True, return_counts=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        rows.append(masks[first[order]])
        counts.append(count[order])
        references.append(np.full(len(order), i, np.int32))
        inverses.append(start[-1] + rank[inverse.reshape(-1)])
        start.append(start[-1] + len(order))
    return DistinctMasks(
        reference=np.concatenate(references),
        packed=np.concatenate(rows),
        counts=np.concatenate(counts).astype(np.int32),
        start=np.asarray(start, np.int64),
        inverse=np.stack(inverses),
    )
