"""CutMix: inputs of which a part comes from another."""

import numpy as np

from zest_jax.blackbox.protocol import in_plain_scale


def cutmix(inputs: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paste a part of one input, at its own place, into another (Yun et al., CutMix, ICCV 2019, section 3.1).

    With lambda uniform in [0, 1], the part is a box of sides W sqrt(1 - lambda) and H sqrt(1 - lambda) of an image, or a
    stretch of T (1 - lambda) samples of a sound, about a centre that is equally likely everywhere; what lies outside of
    the input is cut off.

    Args:
        inputs: images [n, H, W, C] or sounds [n, samples], as stored.
        count: how many are made; each begins with the next of the inputs in random order.

    Returns:
        the mixed inputs, float32 [count, ...] in the plain scale, and the rows that they began with, [count].

    Raises:
        ValueError: there is but one input.

    >>> mixed, rows = cutmix(np.stack([np.zeros((8, 8, 1)), np.ones((8, 8, 1))]), 4, np.random.default_rng(0))
    >>> mixed.shape, sorted(rows.tolist()), np.unique(mixed).tolist()
    ((4, 8, 8, 1), [0, 0, 1, 1], [0.0, 1.0])
    """
    n = len(inputs)
    if n < 2:
        raise ValueError(f"CutMix needs at least 2 inputs to mix, got {n}; give more inputs")
    rounds = -(-count // n)
    rows = np.concatenate([rng.permutation(n) for _ in range(rounds)])[:count]
    # Never the input itself, which would mix nothing.
    others = (rows + rng.integers(1, n, count)) % n
    mixed = in_plain_scale(inputs[rows])
    sides = inputs.shape[1:3] if inputs.ndim == 4 else inputs.shape[1:2]
    for i, other in enumerate(others):
        share = (1 - rng.uniform()) ** (1 / len(sides))
        place = tuple(_stretch(side, share, rng) for side in sides)
        mixed[(i, *place)] = in_plain_scale(inputs[(other, *place)])
    return mixed, rows


def _stretch(side: int, share: float, rng: np.random.Generator) -> slice:
    """A share of one axis about a random centre."""
    half = round(side * share) / 2
    centre = rng.integers(side) + 0.5
    return slice(max(0, round(centre - half)), min(side, round(centre + half)))
