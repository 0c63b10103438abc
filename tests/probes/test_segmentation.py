"""Segmentation of sets of images: methods, order, labels, records and refusals."""

import json
import threading
import time
from functools import partial

import numpy as np
import pytest
import skimage.data
from skimage.segmentation import slic
from skimage.transform import resize

from zest_jax.probes.segmentation import segment_counts, segment_images, segmentation_settings

METHODS = ("quickshift", "quickshift-jax", "slic", "grid")


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Colour photographs, not square: uint8 [3, 48, 80, 3]."""
    images = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "rocket")]
    small = np.stack([np.asarray(resize(image[::2, ::2], (48, 80), anti_aliasing=True)) for image in images])
    return np.round(small * 255).astype(np.uint8)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).shape[1]
    return pairs == np.unique(a).size == np.unique(b).size


def test_quickshift_is_the_default_and_agrees_with_the_authors(golden):
    found = segment_images(golden.images)
    assert all(same_partition(ours, theirs) for ours, theirs in zip(found, golden.segments))
    assert np.array_equal(segment_counts(found), golden.n_segments)


def test_quickshift_is_the_same_for_uint8_and_float(golden):
    expected = segment_images(golden.images)
    assert np.array_equal(segment_images((golden.images / 255).astype(np.float32)), expected)


def test_both_implementations_of_quickshift_return_the_same_labels(photographs):
    settings = {"kernel_size": 3.0, "max_dist": 100.0, "ratio": 0.5, "seed": 3}
    reference = segment_images(photographs, method="quickshift", **settings)
    assert np.array_equal(segment_images(photographs, method="quickshift-jax", batch_size=2, **settings), reference)


def test_the_unit_range_of_values_cuts_into_almost_nothing(golden):
    counts = segment_counts(segment_images(golden.images, white=1.0))
    assert counts.max() <= 3
    assert golden.n_segments.min() > 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_labels_are_contiguous_int32_for_grey_and_colour_of_any_shape(photographs, method, channels):
    images = {None: photographs[..., 0], 1: photographs[..., :1], 3: photographs}[channels]
    segments = segment_images(images, method=method)
    assert segments.shape == (3, 48, 80)
    assert segments.dtype == np.int32
    for labels, count in zip(segments, segment_counts(segments)):
        assert np.array_equal(np.unique(labels), np.arange(count))
        assert count > 1


@pytest.mark.parametrize("method", METHODS)
def test_each_image_is_cut_as_if_it_were_alone(photographs, method):
    together = segment_images(photographs, method=method, workers=None)
    alone = [segment_images(image[None], method=method, workers=1)[0] for image in photographs]
    assert np.array_equal(together, np.stack(alone))


def test_slic_is_scikit_images(photographs):
    found = segment_images(photographs, method="slic", n_segments=20, compactness=5.0, sigma=1.0)
    for ours, image in zip(found, photographs):
        assert same_partition(ours, slic(image / 255, n_segments=20, compactness=5.0, sigma=1))


def test_a_grid_has_equal_cells_numbered_row_by_row():
    labels = segment_images(np.zeros((2, 6, 10, 3), np.uint8), method="grid", rows=3, columns=2)
    expected = np.repeat(np.array([[0, 1], [2, 3], [4, 5]]).repeat(5, axis=1), 2, axis=0)
    assert np.array_equal(labels, np.stack([expected, expected]))


def test_a_grid_that_does_not_divide_the_image_still_uses_every_label():
    segments = segment_images(np.zeros((1, 11, 9, 3), np.uint8), method="grid")
    sizes = np.bincount(segments.ravel())
    assert len(sizes) == 64
    assert set(sizes) <= {1, 2, 4}


def test_a_callable_gets_unit_floats_and_may_return_any_integers(golden):
    received = []

    def threshold(image: np.ndarray) -> np.ndarray:
        received.append((image.dtype, image.shape, float(image.min()), float(image.max())))
        image[:] = image.mean()  # its own copy
        return np.where(np.arange(32)[:, None] < 10, -5, 1000) * np.ones((1, 32), np.int64)

    before = golden.images.copy()
    segments = segment_images(golden.images, method=threshold, workers=1)
    assert np.array_equal(golden.images, before)
    assert np.array_equal(np.unique(segments), [0, 1])
    assert (segments[:, :10] == 0).all()
    assert all(dtype == np.float32 and shape == (32, 32, 3) for dtype, shape, _, _ in received)
    assert max(high for *_, high in received) == golden.images.max() / np.float32(255)
    single = (before / 255).astype(np.float32)
    segment_images(single, method=threshold, workers=1)
    assert np.array_equal(single, (before / 255).astype(np.float32))


def test_order_is_kept_whichever_image_is_done_first():
    images = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)

    def slow_first(image: np.ndarray) -> np.ndarray:
        value = round(float(image[0, 0, 0]) * 255)
        time.sleep(0.002 * (8 - value))
        return np.arange(16).reshape(4, 4) % (value + 1)

    assert segment_counts(segment_images(images, method=slow_first, workers=4)).tolist() == list(range(1, 9))


def test_workers_run_at_the_same_time_and_one_worker_stays_in_the_calling_thread(golden):
    meeting = threading.Barrier(2, timeout=20)

    def meet(image: np.ndarray) -> np.ndarray:
        meeting.wait()  # passes only if two images are segmented at once
        return np.zeros(image.shape[:2], int)

    segment_images(golden.images[:2], method=meet, workers=2)

    threads = set()

    def note_thread(image: np.ndarray) -> np.ndarray:
        threads.add(threading.get_ident())
        return np.zeros(image.shape[:2], int)

    segment_images(golden.images, method=note_thread, workers=1)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("method", ["quickshift", "quickshift-jax", lambda image: np.zeros(image.shape[:2], int)])
def test_progress_goes_to_stderr_when_asked_for(golden, method, capsys):
    segment_images(golden.images, method=method, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "segmenting: 16 of 16 images" in captured.err
    segment_images(golden.images, method=method, progress=False)
    assert capsys.readouterr().err == ""


def test_settings_are_recorded_with_their_defaults():
    quickshift = {"kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "white": 255.0, "seed": 42}
    assert segmentation_settings() == {"method": "quickshift", **quickshift}
    assert segmentation_settings("quickshift-jax", ratio=np.float64(0.5)) == {
        "method": "quickshift-jax", **quickshift, "ratio": 0.5, "dtype": "float64", "batch_size": None
    }  # fmt: skip
    assert segmentation_settings("slic", n_segments=9) == {
        "method": "slic", "n_segments": 9, "compactness": 10.0, "sigma": 0.0
    }  # fmt: skip
    assert segmentation_settings("grid") == {"method": "grid", "rows": 8, "columns": 8}
    for method in METHODS:
        assert json.loads(json.dumps(segmentation_settings(method))) == segmentation_settings(method)


class Stripes:
    def __call__(self, image: np.ndarray) -> np.ndarray:
        return np.zeros(image.shape[:2], int)


def test_callables_are_recorded_by_name():
    assert segmentation_settings(Stripes())["callable"].endswith(".Stripes")
    assert segmentation_settings(partial(Stripes()))["callable"] == "functools.partial"
    assert segmentation_settings(slic) == {"method": "callable", "callable": f"{slic.__module__}.slic"}


IMAGES = np.zeros((3, 6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "watershed"},
            r"unknown segmentation method 'watershed'; choose one of 'quickshift', 'quickshift-jax', 'slic', 'grid', or",
        ),
        (
            {"n_segments": 5},
            r"unknown setting n_segments of the segmentation method 'quickshift'; it takes kernel_size, max_dist, ratio",
        ),
        ({"method": Stripes(), "rows": 2}, r"a callable takes no settings, but rows arrived; .* `functools.partial`"),
        ({"workers": 0}, r"`workers` is 0; give at least 1, or None for one per processor"),
        ({"kernel_size": 0.1}, r"`kernel_size` is 0.1; give a finite width"),
        ({"method": "quickshift-jax", "ratio": 0.0}, r"`ratio` is 0.0; give a finite number above 0"),
        ({"method": "slic", "n_segments": 0}, r"`n_segments` is 0; ask for at least 1 segment per image"),
        ({"method": "slic", "compactness": 0.0}, r"`compactness` is 0.0; give a finite number above 0 \(10 is usual\)"),
        ({"method": "slic", "sigma": -1.0}, r"`sigma` is -1.0; give a width in pixels of at least 0"),
        ({"method": "grid", "rows": 0}, r"a grid of 0 x 8 has no cells; `rows` and `columns` must be at least 1"),
        ({"method": "grid"}, r"a grid of 8 x 8 does not fit images of 6 x 8 pixels; lower `rows` and `columns`"),
        (
            {"method": lambda image: np.zeros((6, 8, 3), int)},
            r"callable returned shape \(6, 8, 3\) for an image of 6 x 8 pixels; return one label per pixel",
        ),
        ({"method": lambda image: None}, r"callable returned shape \(\) for an image of 6 x 8"),
        (
            {"method": lambda image: np.zeros((6, 8))},
            r"callable returned float64 labels; return integers, for example `labels.astype\(int\)`",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        segment_images(IMAGES, **arguments)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], r"the set of images is empty"),
        (np.zeros((2, 6, 8, 2)), r"the images have 2 channels"),
        (IMAGES + 77.0, r"image 0 has float values from 77 to 77, .* divide them by 255 or pass uint8"),
        (np.full((1, 6, 8, 3), np.nan), r"image 0 holds NaN or infinity"),
    ],
)
def test_wrong_images_are_refused_by_every_method(images, message, method):
    with pytest.raises(ValueError, match=message):
        segment_images(images, method=method)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_callable_names_the_image_and_stops_the_rest(workers):
    calls = []

    def fail_at_third(image: np.ndarray) -> np.ndarray:
        calls.append(1)
        if image[0, 0, 0] > 0:
            raise RuntimeError("no edges found")
        return np.zeros(image.shape[:2], int)

    images = np.zeros((500, 6, 8, 3), np.uint8)
    images[2] = 9
    with pytest.raises(RuntimeError, match="no edges found") as caught:
        segment_images(images, method=fail_at_third, workers=workers)
    assert caught.value.__notes__ == ["while segmenting image 2 of 500"]
    assert len(calls) < 500
