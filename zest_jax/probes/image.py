"""Image probes: choose references, cut them into super-pixels, draw masks, decide what replaces a masked super-pixel."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from zest_jax.blackbox.protocol import BlackBox
from zest_jax.blackbox.takes import check_takes
from zest_jax.probes.masks import draw_masks
from zest_jax.probes.pixels import checked_images
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.segmentation import segment_counts, segment_images, segmentation_settings
from zest_jax.references import ReferenceMethod, choose_references

Fill = Literal["mean", "black", "blur"]

# The standard deviation of the "blur" fill as a share of the shorter side: shapes vanish, the light remains.
BLUR_SHARE = 0.15


def image_probes(
    images: np.ndarray,
    n_references: int = 128,
    n_samples: int = 1000,
    seed: int = 0,
    *,
    references: ReferenceMethod | Sequence[int] | np.ndarray = "random",
    labels: np.ndarray | Sequence[int] | None = None,
    model: BlackBox | None = None,
    segmenter: str | Callable[[np.ndarray], np.ndarray] = "quickshift",
    segmenter_settings: Mapping[str, Any] | None = None,
    fill: Fill | np.ndarray | Sequence[float] | float = "mean",
    p: float = 0.5,
    workers: int | None = None,
    progress: bool | None = None,
) -> ProbeSet:
    """Make the probe set of Zest from images (paper, section 3; phases 1 and 2 of Figure 1).

    The defaults are the paper's: 128 random references, Quickshift in the authors' value range, 1000 masks with p = 0.5
    whose first keeps everything, masked pixels in the mean colour.

    Args:
        images: the pool, [pool, H, W, C] or grey [pool, H, W], C 1 or 3; uint8, or float in [0, 1].
        n_references: N.
        n_samples: L, masks per reference, repeats included.
        seed: decides references and masks; the same seed gives the same ProbeSet on every backend.
        references: `method` of `choose_references`.
        labels: [pool], see `choose_references`.
        model: see `choose_references`.
        segmenter: see `segment_images`.
        segmenter_settings: its settings.
        workers: see `segment_images`.
        fill: "mean", the mean colour of the pool; "black"; "blur", each reference strongly blurred; or a value in [0, 1]:
            scalar, [C] or [N, H, W, C].
        p: probability that a segment is kept.
        progress: show a bar on stderr while segmenting; by default when stderr is a terminal.

    Raises:
        ValueError: see `choose_references`, `segment_images`, `draw_masks`, `ProbeSet.from_arrays`.

    >>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, n_references=4, n_samples=50, segmenter="grid",
    ...                       segmenter_settings={"rows": 2, "columns": 2})
    >>> probes.n_references, probes.n_samples, probes.n_segments.tolist()
    (4, 50, [4, 4, 4, 4])
    """
    images = checked_images(images)
    if model is not None:
        check_takes(model, "image", None, what="the inputs")
    indices = choose_references(images, n_references, method=references, labels=labels, model=model, seed=seed)
    chosen = images[indices]
    segmenter_settings = dict(segmenter_settings or {})
    segments = segment_images(chosen, method=segmenter, workers=workers, progress=progress, **segmenter_settings)
    n_segments = segment_counts(segments)
    if n_samples < n_segments.max():
        warnings.warn(
            f"{n_samples} masks cannot determine the weights of a reference with {n_segments.max()} segments; raise "
            f"`n_samples`, choose a coarser segmenter, or sign with `ridge` or `underdetermined='minimum-norm'`",
            stacklevel=2,
        )
    return ProbeSet.from_arrays(
        references=chosen,
        segments=segments,
        masks=draw_masks(n_segments, n_samples, p=p, seed=seed),
        fill=fill_values(fill, images, chosen),
        settings={
            "modality": "image",
            "references": references if isinstance(references, str) else "given",
            "reference_indices": indices.tolist(),
            "pool": len(images),
            "seed": seed,
            "p": p,
            "segmenter": segmentation_settings(segmenter, **segmenter_settings),
            "fill": fill if isinstance(fill, str) else "given",
        },
    )


def fill_values(
    fill: Fill | np.ndarray | Sequence[float] | float, pool: np.ndarray, references: np.ndarray
) -> np.ndarray:
    """Decide what replaces masked pixels: float32 [C], or [N, H, W, C] for "blur", in [0, 1]."""
    scale = 255.0 if pool.dtype == np.uint8 else 1.0
    if not isinstance(fill, str):
        return np.asarray(fill, np.float32)
    if fill == "mean":
        return (pool.mean(axis=(0, 1, 2), dtype=np.float64) / scale).astype(np.float32)
    if fill == "black":
        return np.zeros(pool.shape[-1], np.float32)
    if fill == "blur":
        sigma = BLUR_SHARE * min(references.shape[1:3])
        plain = references.astype(np.float32) / np.float32(scale)
        return ndimage.gaussian_filter(plain, (0, sigma, sigma, 0), mode="nearest").clip(0, 1)
    raise ValueError(f"unknown fill {fill!r}; choose 'mean', 'black', 'blur' or give values in [0, 1]")
