"""Cut images into super-pixels (paper, section 3; Quickshift in the authors' code)."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int32
from numpy.typing import ArrayLike
from skimage import segmentation as skimage_segmentation

from zest_jax.cores import usable_cores
from zest_jax.probes.pixels import checked_images, scaled_rgb, unit_image
from zest_jax.probes.quickshift import check_quickshift_settings, quickshift
from zest_jax.probes.segmenter_settings import checked_settings, recorded
from zest_jax.progress import progress_bar

Segmenter = Callable[[Float[np.ndarray, "H W C"]], Int[np.ndarray, "H W"]]


@dataclass(frozen=True, kw_only=True)
class QuickshiftSettings:
    """Settings of "quickshift"; the defaults are those of the paper's authors (see `quickshift.quickshift`)."""

    kernel_size: float = 4.0
    max_dist: float = 200.0
    ratio: float = 0.2
    white: float = 255.0
    seed: int = 42

    def __post_init__(self) -> None:
        check_quickshift_settings(
            kernel_size=self.kernel_size, max_dist=self.max_dist, ratio=self.ratio, white=self.white, seed=self.seed
        )


@dataclass(frozen=True, kw_only=True)
class JaxQuickshiftSettings(QuickshiftSettings):
    """Settings of "quickshift-jax": those of "quickshift", the precision, and the images on the device at once."""

    dtype: str = "float64"
    batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class SlicSettings:
    """Settings of "slic".

    n_segments: about how many segments an image gets.
    compactness: weight of position against Lab colour; larger means squarer segments.
    sigma: width in pixels of the Gaussian that smooths the image first; 0 for none.
    """

    n_segments: int = 64
    compactness: float = 10.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if self.n_segments < 1:
            raise ValueError(f"`n_segments` is {self.n_segments}; ask for at least 1 segment per image")
        if not 0 < self.compactness < math.inf:
            raise ValueError(f"`compactness` is {self.compactness}; give a finite number above 0 (10 is usual)")
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"`sigma` is {self.sigma}; give a width in pixels of at least 0")


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """Settings of "grid": how many rows and columns of equal rectangles cover the image."""

    rows: int = 8
    columns: int = 8

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(
                f"a grid of {self.rows} x {self.columns} has no cells; `rows` and `columns` must be at least 1"
            )


_Settings = QuickshiftSettings | SlicSettings | GridSettings
_SETTINGS: dict[str, type[_Settings]] = {
    "quickshift": QuickshiftSettings,
    "quickshift-jax": JaxQuickshiftSettings,
    "slic": SlicSettings,
    "grid": GridSettings,
}


def segment_images(
    images: ArrayLike,
    *,
    method: str | Segmenter = "quickshift",
    workers: int | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Int32[np.ndarray, "N H W"]:
    """Cut every image into segments (super-pixels), the units that the masks switch on and off.

    Methods:
        "quickshift": scikit-image's Quickshift with the settings of the paper's authors, who pass it colours of 0 to
            255 (`white`); with 0 to 1 most small images come out as one or two segments.
        "quickshift-jax": the same labels, computed in batches on the JAX device.
        "slic": scikit-image's SLIC, k-means in colour and position.
        "grid": equal rectangles, whatever the image shows.
        a callable: takes one image, float32 [H, W, C] in [0, 1], and returns integer labels [H, W], of any values.

    Args:
        images: [N, H, W, C] with C = 1 or 3, or [N, H, W]; uint8, or float in [0, 1].
        method: one of the above.
        workers: images segmented at the same time, in threads (scikit-image releases Python's lock); by default one per
            processor. With 1, everything runs in the calling thread, for callables that are not thread-safe.
            "quickshift-jax" does not use it.
        progress: show a bar on stderr; by default when stderr is a terminal.
        **settings: of the method; see `QuickshiftSettings`, `JaxQuickshiftSettings`, `SlicSettings`, `GridSettings`.

    Returns:
        labels, in each image 0 to K - 1 with every label used.

    Raises:
        ValueError: the images are of a wrong shape, type or range; the method or a setting is unknown or out of range;
            a callable returns something else than integer labels [H, W].

    >>> images = np.zeros((1, 4, 4, 3), np.uint8)
    >>> segment_images(images, method="grid", rows=2, columns=2)[0].tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    >>> segment_images(images, method=lambda image: 10 * (image.mean(axis=-1) > 0.5))[0].tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    """
    chosen = checked_settings(method, settings, _SETTINGS)
    checked = checked_images(images)
    if workers is not None and workers < 1:
        raise ValueError(f"`workers` is {workers}; give at least 1, or None for one per processor")
    if isinstance(chosen, GridSettings):
        return np.tile(_grid(checked.shape[1], checked.shape[2], chosen), (len(checked), 1, 1))

    with progress_bar("segmenting", len(checked), unit="images", show=progress) as update:
        if isinstance(chosen, JaxQuickshiftSettings):
            return quickshift(checked, progress=update, **asdict(chosen))
        segments = np.empty(checked.shape[:3], np.int32)
        for i, labels in enumerate(_in_order(_segmenter(method, chosen), checked, workers or usable_cores())):
            segments[i] = labels
            update(i + 1)
        return segments


def segmentation_settings(method: str | Segmenter = "quickshift", **settings: Any) -> dict[str, Any]:
    """Name every setting that `segment_images` would use, defaults included, as JSON-able values for the record.

    Raises:
        ValueError: as `segment_images` does for the method and its settings.

    >>> segmentation_settings("grid", rows=4)
    {'method': 'grid', 'rows': 4, 'columns': 8}
    >>> segmentation_settings()
    {'method': 'quickshift', 'kernel_size': 4.0, 'max_dist': 200.0, 'ratio': 0.2, 'white': 255.0, 'seed': 42}
    """
    return recorded(method, checked_settings(method, settings, _SETTINGS))


def segment_counts(segments: Int[np.ndarray, "N H W"]) -> Int32[np.ndarray, " N"]:
    """Count the segments of each image, K; the labels must be 0 to K - 1, as `segment_images` returns them.

    >>> segment_counts(np.array([[[0, 1], [1, 2]], [[0, 0], [0, 0]]])).tolist()
    [3, 1]
    """
    return (segments.max(axis=(1, 2)) + 1).astype(np.int32)


def _segmenter(method: str | Segmenter, settings: _Settings | None) -> Segmenter:
    """Function from one checked image to its labels."""
    if isinstance(settings, QuickshiftSettings):
        return lambda image: skimage_segmentation.quickshift(
            scaled_rgb(image, settings.white),
            kernel_size=settings.kernel_size,  # pyright: ignore[reportArgumentType]  declared int, takes float
            max_dist=settings.max_dist,  # pyright: ignore[reportArgumentType]  likewise
            ratio=settings.ratio,
            rng=settings.seed,
        )
    if isinstance(settings, SlicSettings):
        return lambda image: _contiguous(
            skimage_segmentation.slic(
                scaled_rgb(image, 1.0),
                n_segments=settings.n_segments,
                compactness=settings.compactness,
                sigma=settings.sigma,
                start_label=0,
            )
        )
    if not callable(method):
        raise TypeError(f"the segmentation method {method!r} has no function for a single image")
    return lambda image: _contiguous(_checked_labels(method(unit_image(image)), image.shape[:2]))


def _in_order(segment: Segmenter, images: np.ndarray, workers: int) -> Iterator[np.ndarray]:
    """Labels of each image, in the order of the images."""

    def one(i: int) -> np.ndarray:
        try:
            return segment(images[i])
        except Exception as error:
            error.add_note(f"while segmenting image {i} of {len(images)}")
            raise

    if workers == 1 or len(images) == 1:
        yield from map(one, range(len(images)))
        return
    pool = ThreadPoolExecutor(min(workers, len(images)), thread_name_prefix="segment")
    try:
        yield from pool.map(one, range(len(images)))
    finally:
        # After an error or an interrupt the images that have not begun are dropped.
        pool.shutdown(cancel_futures=True)


def _grid(height: int, width: int, settings: GridSettings) -> Int32[np.ndarray, "H W"]:
    if settings.rows > height or settings.columns > width:
        raise ValueError(
            f"a grid of {settings.rows} x {settings.columns} does not fit images of {height} x {width} pixels; "
            "lower `rows` and `columns`"
        )
    row = np.arange(height) * settings.rows // height
    column = np.arange(width) * settings.columns // width
    return (row[:, None] * settings.columns + column[None]).astype(np.int32)


def _checked_labels(labels: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(labels)
    if array.shape != shape:
        raise ValueError(
            f"the segmentation callable returned shape {array.shape} for an image of {shape[0]} x {shape[1]} pixels; "
            "return one label per pixel, [H, W]"
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"the segmentation callable returned {array.dtype} labels; return integers, for example `labels.astype(int)`"
        )
    return array


def _contiguous(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
