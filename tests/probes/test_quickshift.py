"""Our Quickshift against scikit-image's, which is the oracle."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import skimage.data
from jax import numpy as jnp
from skimage.segmentation import quickshift as skimage_quickshift
from skimage.transform import resize

from zest_jax.probes import quickshift as module
from zest_jax.probes.quickshift import quickshift

COLOUR = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry", "retina")
GREY = ("camera", "coins", "moon", "page", "text", "clock", "brick", "grass", "gravel")


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labellings cut an image alike, whatever the labels are called."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).shape[1]
    return pairs == np.unique(a).size == np.unique(b).size


@cache
def full_photograph(name: str) -> np.ndarray:
    """A demo photograph, its longer side reduced to less than 600 pixels to save time."""
    if name in ("china.jpg", "flower.jpg"):
        image = pytest.importorskip("sklearn.datasets").load_sample_image(name)
    else:
        image = getattr(skimage.data, name)()
    step = -(-max(image.shape) // 600)
    return image[::step, ::step]


def photograph(name: str, height: int, width: int) -> np.ndarray:
    full = full_photograph(name)
    step = max(1, min(full.shape[:2]) // (3 * max(height, width)))  # anti-aliasing a large reduction is slow
    image = np.asarray(resize(full[::step, ::step], (height, width), anti_aliasing=True))
    return np.round(image * 255).astype(np.uint8)


def authors_quickshift(image: np.ndarray, **settings: float) -> np.ndarray:
    """scikit-image's result for one uint8 image in the value range of the paper's authors."""
    rgb = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    chosen: dict[str, Any] = {"kernel_size": 4, "max_dist": 200, "ratio": 0.2} | settings
    return skimage_quickshift(rgb.astype(np.float64), **chosen)


def test_comparison_of_partitions_sees_splits_merges_and_moves():
    a = np.array([[0, 0, 1], [2, 2, 1]])
    assert same_partition(a, np.array([[7, 7, 3], [0, 0, 3]]))
    assert not same_partition(a, np.array([[0, 0, 1], [0, 0, 1]]))
    assert not same_partition(a, np.array([[0, 3, 1], [2, 2, 1]]))
    assert not same_partition(a, np.array([[0, 0, 1], [2, 1, 1]]))


def test_golden_images_are_cut_as_the_authors_cut_them(golden):
    found = quickshift(golden.images)
    assert found.dtype == np.int32
    assert all(same_partition(ours, theirs) for ours, theirs in zip(found, golden.segments))
    assert np.array_equal(found.max(axis=(1, 2)) + 1, golden.n_segments)


def test_photographs_of_the_demo_are_cut_as_scikit_image_cuts_them(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    demo = importlib.import_module("imagenet_models")
    images = demo.photographs(len(demo.PHOTOS))
    for image, segments in zip(images, quickshift(images), strict=True):
        assert same_partition(segments, authors_quickshift(image))


@pytest.mark.parametrize("name", [*COLOUR, "china.jpg", "flower.jpg"])
def test_photographs_at_224_pixels_are_cut_as_scikit_image_cuts_them(name):
    image = photograph(name, 224, 224)
    assert same_partition(quickshift(image[None])[0], authors_quickshift(image))


@pytest.mark.parametrize("name", ["camera", "text", "page"])
def test_grey_photographs_at_224_pixels_are_cut_as_scikit_image_cuts_them(name):
    image = photograph(name, 224, 224)
    assert same_partition(quickshift(image[None])[0], authors_quickshift(image))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 72), (97, 13), (5, 9)])
def test_every_photograph_at_other_sizes_is_cut_as_scikit_image_cuts_it(height, width):
    grey = [photograph(name, height, width)[..., None].repeat(3, axis=-1) for name in GREY]
    images = np.stack([photograph(name, height, width) for name in COLOUR] + grey)
    found = quickshift(images)
    assert all(same_partition(ours, authors_quickshift(image)) for ours, image in zip(found, images))


def test_images_full_of_ties_are_cut_as_scikit_image_cuts_them():
    rng = np.random.default_rng(0)
    ramp = np.abs(np.arange(32) - 16) * 8
    images = np.stack(
        [
            np.zeros((32, 32, 3)),
            np.full((32, 32, 3), 128),
            rng.integers(0, 2, (32, 32, 3)) * 255,
            np.broadcast_to(ramp[:, None, None], (32, 32, 3)),
            np.broadcast_to(ramp[None, :, None], (32, 32, 3)),
            rng.integers(0, 256, (32, 32, 1)).repeat(3, axis=-1),
            np.kron(rng.integers(0, 4, (4, 4, 3)) * 60, np.ones((8, 8, 1))),
        ]
    ).astype(np.uint8)
    found = quickshift(images)
    assert all(same_partition(ours, authors_quickshift(image)) for ours, image in zip(found, images))


@pytest.mark.parametrize(
    "settings", [{"kernel_size": 1.5}, {"kernel_size": 6.0, "max_dist": 8.0}, {"ratio": 1.0}, {"max_dist": 3.0}]
)
def test_settings_mean_what_they_mean_in_scikit_image(golden, settings):
    found = quickshift(golden.images, **settings)
    for ours, image, theirs in zip(found, golden.images, golden.segments):
        assert same_partition(ours, authors_quickshift(image, **settings))
        assert not same_partition(ours, theirs)


def test_white_sets_the_value_range_and_the_seed_breaks_the_ties(golden):
    image = golden.images[0]
    ours = quickshift(image[None], white=1.0, seed=7)[0]
    theirs = skimage_quickshift(image / 255, kernel_size=4, max_dist=200, ratio=0.2, rng=7)
    assert same_partition(ours, theirs)
    assert ours.max() + 1 < golden.n_segments[0]
    flat = np.zeros((1, 64, 64, 3), np.uint8)
    assert not same_partition(quickshift(flat, seed=7)[0], quickshift(flat)[0])


def test_the_same_image_has_the_same_segments_in_every_type_and_layout(golden):
    expected = quickshift(golden.images)
    single = (golden.images / 255).astype(np.float32)
    for images in (golden.images / 255, single, single.astype(np.float64), jnp.asarray(single), list(single)):
        assert np.array_equal(quickshift(images), expected)
    grey = golden.images[..., 0]
    rgb = grey[..., None].repeat(3, axis=-1)
    assert np.array_equal(quickshift(grey), quickshift(rgb))
    assert np.array_equal(quickshift(grey[..., None]), quickshift(rgb))


def test_batches_change_nothing_and_report_their_progress(golden):
    expected = quickshift(golden.images)
    seen: list[int] = []
    found = quickshift(golden.images, batch_size=7, progress=seen.append)
    assert np.array_equal(found, expected)
    assert seen == [6, 12, 16]


def test_repeated_calls_of_one_shape_compile_once(monkeypatch):
    traces = []
    nearest_higher = module._nearest_higher

    def counted(*arguments):
        traces.append(arguments[0].shape)
        return nearest_higher(*arguments)

    monkeypatch.setattr(module, "_nearest_higher", counted)
    rng = np.random.default_rng(0)
    # A size that no other test uses, so that nothing is compiled yet.
    images = rng.integers(0, 256, (5, 11, 19, 3), dtype=np.uint8)
    quickshift(images, batch_size=2)
    quickshift(images[::-1], batch_size=2, max_dist=20.0, ratio=0.5, seed=1)
    quickshift(images[:4, ..., 0] / 255, batch_size=2, kernel_size=3.99)
    assert len(traces) == 1
    quickshift(images[:, :10], batch_size=2)
    assert len(traces) == 2


def test_float64_stays_inside():
    before = jax.config.read("jax_enable_x64")
    quickshift(np.zeros((1, 8, 8, 3), np.uint8))
    assert jax.config.read("jax_enable_x64") == before
    assert jnp.asarray(np.ones(2)).dtype == jnp.float32


def test_float32_cuts_most_pixels_alike(golden):
    single, double = quickshift(golden.images, dtype="float32"), quickshift(golden.images)
    alike = [same_partition(a, b) for a, b in zip(single, double)]
    # Exact agreement differs between processors; that it is neither complete nor absent is why float64 is the default.
    assert sum(alike) > 0
    assert np.abs(single.max(axis=(1, 2)) - double.max(axis=(1, 2))).max() <= 3


IMAGE = np.zeros((2, 8, 9, 3), np.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kernel_size": 0.5},
            r"`kernel_size` is 0.5; give a finite width in pixels of at least 1 \(the paper uses 4\)",
        ),
        ({"kernel_size": np.nan}, r"`kernel_size` is nan"),
        ({"max_dist": 0.0}, r"`max_dist` is 0.0; give a finite number above 0 \(the paper's authors use 200\)"),
        ({"ratio": -0.2}, r"`ratio` is -0.2; give a finite number above 0"),
        ({"white": np.inf}, r"`white` is inf; give a finite number above 0 \(the paper's authors use 255\)"),
        ({"seed": -1}, r"`seed` is -1; give a non-negative integer"),
        ({"dtype": "float16"}, r"unknown `dtype` 'float16'; choose 'float64' .* or 'float32'"),
        ({"batch_size": 0}, r"`batch_size` is 0; give at least 1 image a batch, or None"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        quickshift(IMAGE, **settings)


def test_images_are_checked_first():
    with pytest.raises(ValueError, match=r"one image of shape \(8, 9, 3\) arrived where a set"):
        quickshift(IMAGE[0])
