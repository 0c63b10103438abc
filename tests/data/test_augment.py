"""Random changes to images, against NumPy loops, SciPy and Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from zest_jax.data.augment import Augment, augment, resize, transform

FILL = (0.25, -1.5, 7.0)


def change(images, *, fill=0.0, **how):
    """`transform` of NumPy arrays."""
    how = {name: jnp.asarray(value) for name, value in how.items()}
    return np.asarray(transform(jnp.asarray(images), fill=fill, **how))


def changed(images, key, settings):
    """`augment` of NumPy arrays."""
    return np.asarray(augment(jnp.asarray(images), jax.random.key(key), settings))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def moved(image, dy, dx, fill):
    """What was at (y + dy, x + dx) comes to (y, x)."""
    height, width, _ = image.shape
    out = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            there = 0 <= y + dy < height and 0 <= x + dx < width
            out[y, x] = image[y + dy, x + dx] if there else fill
    return out


@pytest.mark.parametrize("fill", [0.0, FILL])
def test_crops_are_those_of_a_padded_image(fill):
    images = noise(9, 6, 5, 3)
    offsets = np.random.default_rng(1).integers(-2, 3, (9, 2))
    result = change(images, offsets=offsets, fill=fill)
    expected = np.stack([moved(image, dy, dx, fill) for image, (dy, dx) in zip(images, offsets)])
    np.testing.assert_array_equal(result, expected)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = [p[2 + dy : 8 + dy, 2 + dx : 7 + dx] for p, (dy, dx) in zip(padded, offsets)]
    if fill == 0.0:
        np.testing.assert_array_equal(result, windows)


def test_flips_are_exact():
    images = noise(4, 6, 5, 3)
    result = change(images, mirrored=np.array([True, False, True, False]))
    np.testing.assert_array_equal(result, np.where([[[[True]]], [[[False]]]] * 2, images[:, :, ::-1], images))


@pytest.mark.parametrize("fill", [0.0, FILL])
def test_rotation_is_scipys(fill):
    images = noise(6, 9, 12, 3)
    degrees = np.array([0.0, 15.0, -33.3, 90.0, 179.0, 3.0], np.float32)
    result = change(images, degrees=degrees, fill=fill)
    for image, angle, turned in zip(images, degrees, result):
        for c, value in enumerate(np.broadcast_to(fill, 3)):
            expected = scipy.ndimage.rotate(
                image[..., c].astype(np.float64), angle, reshape=False, order=1, mode="grid-constant", cval=value
            )
            np.testing.assert_allclose(turned[..., c], expected, atol=2e-4)


def test_quarter_turns_are_numpys():
    images = noise(1, 7, 7, 2)
    np.testing.assert_allclose(change(images, degrees=np.array([90.0], np.float32))[0], np.rot90(images[0]), atol=1e-5)


def test_all_three_are_mirroring_then_turning_then_moving():
    # Only zeros near the edges, so that nothing leaves the frame on the way.
    images = np.zeros((3, 17, 17, 1), np.float32)
    images[:, 6:11, 6:11] = noise(3, 5, 5, 1)
    mirrored, degrees = np.array([True, False, True]), np.array([20.0, -75.0, 130.0], np.float32)
    offsets = np.array([[2, -1], [0, 3], [-3, -3]])
    result = change(images, mirrored=mirrored, degrees=degrees, offsets=offsets)
    one_by_one = change(change(change(images, mirrored=mirrored), degrees=degrees), offsets=offsets)
    np.testing.assert_allclose(result, one_by_one, atol=1e-5)


def test_what_is_turned_out_and_moved_back_in_is_not_lost():
    images = np.ones((1, 8, 8, 1), np.float32)
    both = change(images, degrees=np.array([45.0], np.float32), offsets=np.array([[3, 0]]))
    steps = change(change(images, degrees=np.array([45.0], np.float32)), offsets=np.array([[3, 0]]))
    assert both.sum() > steps.sum()


@pytest.mark.parametrize(
    "settings",
    [
        Augment(crop_padding=4),
        Augment(flip=True),
        Augment(rotation_degrees=15.0),
        Augment(crop_padding=2, flip=True, rotation_degrees=15.0),
    ],
)
def test_key_alone_decides_and_jit_changes_nothing(settings):
    images = noise(8, 12, 12, 3)
    first = changed(images, 0, settings)
    assert first.dtype == jnp.float32
    np.testing.assert_array_equal(first, changed(images, 0, settings))
    assert not np.array_equal(first, changed(images, 1, settings))
    compiled = jax.jit(augment, static_argnums=2)(jnp.asarray(images), jax.random.key(0), settings)
    np.testing.assert_allclose(first, compiled, atol=1e-5)


def test_nothing_chosen_changes_nothing():
    images = noise(3, 5, 5, 3)
    np.testing.assert_array_equal(changed(images, 0, Augment()), images)


def test_every_offset_and_both_sides_occur_alike():
    # Pixel (y, x) holds the number of its place, so that the middle of a result says where it came from.
    n, p = 4096, 2
    place = np.broadcast_to(np.arange(49, dtype=np.float32).reshape(7, 7, 1), (n, 7, 7, 1))
    result = changed(place, 3, Augment(crop_padding=p, flip=True))
    came_from = result[:, 3, 3, 0].astype(int)
    mirrored = result[:, 3, 4, 0] < result[:, 3, 3, 0]
    dy = came_from // 7 - 3
    dx = np.where(mirrored, -1, 1) * (came_from % 7 - 3)
    counts = np.zeros((2, 2 * p + 1, 2 * p + 1), int)
    np.add.at(counts, (mirrored.astype(int), dy + p, dx + p), 1)
    expected = n / counts.size
    assert counts.min() > 0
    # Chi-squared with 49 degrees of freedom: above 100 once in 30,000 draws.
    assert ((counts - expected) ** 2 / expected).sum() < 100


def test_angles_fill_their_range():
    # A ramp along x, turned by a, has slope cos(a) along x and sin(a) along y.
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[None, None, :, None], (2000, 9, 9, 1))
    result = changed(ramp, 0, Augment(rotation_degrees=20.0))
    angles = np.rad2deg(np.arctan2(result[:, 4, 4, 0] - result[:, 5, 4, 0], result[:, 4, 5, 0] - result[:, 4, 4, 0]))
    assert -20 <= angles.min() < -19
    assert 19 < angles.max() <= 20
    assert abs(angles.mean()) < 1.5
    assert abs(angles.std() - 40 / np.sqrt(12)) < 0.5


def test_one_kind_does_not_alter_another():
    images = noise(16, 10, 10, 1)
    crops = changed(images, 5, Augment(crop_padding=2))
    both = changed(images, 5, Augment(crop_padding=2, flip=True))
    unmirrored = [np.array_equal(a, b) for a, b in zip(crops, both)]
    assert 2 <= sum(unmirrored) <= 14


def test_images_do_not_depend_on_each_other():
    images = noise(8, 10, 10, 3)
    settings = Augment(crop_padding=2, flip=True, rotation_degrees=10)
    alone = changed(np.concatenate([images[:4], 0 * images[4:]]), 0, settings)
    np.testing.assert_array_equal(alone[:4], changed(images, 0, settings)[:4])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop_padding": -1}, "`crop_padding` is -1; give pixels"),
        ({"rotation_degrees": -5.0}, "`rotation_degrees` is -5.0; give degrees from 0"),
        ({"rotation_degrees": 200.0}, "`rotation_degrees` is 200.0"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Augment(**wrong)


@pytest.mark.parametrize("size", [8, 24, (10, 17), 48])
def test_resizing_is_pillows(size):
    images = noise(2, 32, 32, 3)
    height, width = (size, size) if isinstance(size, int) else size
    result = resize(jnp.asarray(images), size)
    for image, resized in zip(images, result):
        for c in range(3):
            plane = Image.fromarray(image[..., c]).resize((width, height), Image.Resampling.BILINEAR)
            np.testing.assert_allclose(resized[..., c], np.asarray(plane), atol=1e-5)


def test_resizing_keeps_the_scale_of_bytes_and_leaves_equal_sizes_alone():
    images = np.full((2, 8, 8, 3), 200, np.uint8)
    assert resize(jnp.asarray(images), 4).dtype == jnp.float32
    np.testing.assert_allclose(resize(jnp.asarray(images), 4), 200.0, rtol=1e-6)
    np.testing.assert_array_equal(resize(jnp.asarray(images), 8), images)
