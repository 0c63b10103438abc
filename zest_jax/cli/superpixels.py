"""Picture of a probe set: its first references with the edges of their super-pixels."""

from pathlib import Path

import numpy as np
from PIL import Image

from zest_jax.atomic import atomic_write
from zest_jax.cli.files import UsageError
from zest_jax.probes import ProbeSet

COLUMNS, ROWS, TILE, GAP = 6, 3, 192, 8


def draw_superpixels(probes: ProbeSet, path: Path, *, first: int = 0) -> None:
    """Draw up to 18 references from `first` on, as a PNG file."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"cannot draw {path}: the picture of a probe set is a .png file")
    if not 0 <= first < probes.n_references:
        raise UsageError(f"--reference is {first}; the probe set has references 0 to {probes.n_references - 1}")
    shown = range(first, min(first + COLUMNS * ROWS, probes.n_references))
    tiles = [_tile(probes.references[i], probes.segments[i]) for i in shown]
    height, width = tiles[0].shape[:2]
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for n, tile in enumerate(tiles):
        y, x = GAP + n // columns * (height + GAP), GAP + n % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    with atomic_write(path) as file:
        Image.fromarray(sheet).save(file, "PNG")


def _tile(image: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """One reference, enlarged without smoothing, its segments' edges in yellow."""
    if image.dtype != np.uint8:
        image = np.rint(image * 255).astype(np.uint8)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    scale = max(1, round(TILE / max(image.shape[:2])))
    large = image.repeat(scale, 0).repeat(scale, 1)
    labels = segments.repeat(scale, 0).repeat(scale, 1)
    edge = np.zeros(labels.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    large[edge] = (255, 221, 0)
    return large
