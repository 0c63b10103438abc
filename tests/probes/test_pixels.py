import numpy as np
import pytest

from zest_jax.probes.pixels import checked_images, scaled_rgb, unit_image

IMAGE = np.zeros((2, 8, 9, 3), np.float32)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGE[:0], r"the set of images is empty \(shape \(0, 8, 9, 3\)\); pass at least one image"),
        (IMAGE[:, :0], r"the set of images is empty \(shape \(2, 0, 9, 3\)\)"),
        ([], r"the images have shape \(0,\); pass \[N, H, W, C\], or \[N, H, W\] for grey"),
        (IMAGE[0], r"one image of shape \(8, 9, 3\) arrived where a set .* pass `image\[None\]`"),
        (IMAGE[0, 0], r"the images have shape \(9, 3\); pass \[N, H, W, C\]"),
        ([IMAGE[0], IMAGE[0, :4]], r"the images have different sizes; resize them"),
        (np.zeros((2, 3, 8, 9)), r"the images have 9 channels .* channels-first: pass `np.moveaxis\(images, 1, -1\)`"),
        (np.zeros((2, 8, 9, 4)), r"the images have 4 channels .* drop the alpha channel with `images\[..., :3\]`"),
        (np.zeros((2, 8, 9, 2)), r"the images have 2 channels .* 1 \(grey\) or 3 \(RGB\) are needed; choose 1 or 3"),
        (IMAGE.astype(np.int64), r"the images are int64; pass uint8 \(0 to 255\) or float \(0 to 1\)"),
        (IMAGE.astype(bool), r"the images are bool; pass uint8"),
        (
            IMAGE + np.array([0, 200]).reshape(2, 1, 1, 1),
            r"image 1 has float values from 200 to 200.* divide them by 255",
        ),
        (IMAGE + 1.5, r"image 0 has float values from 1.5 to 1.5, .* clip them"),
        (IMAGE - 2, r"image 0 has float values from -2 to -2, .* undo their normalisation"),
        (np.where(np.arange(2).reshape(2, 1, 1, 1) == 1, np.nan, IMAGE), r"image 1 holds NaN or infinity; remove it"),
        (IMAGE + np.inf, r"image 0 holds NaN or infinity"),
    ],
)
def test_images_that_cannot_be_taken_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        checked_images(images)


def test_rounding_beyond_the_range_is_clipped():
    images = np.full((1, 4, 4, 3), 1 + 5e-7)
    assert checked_images(images).max() == 1.0


def test_float_images_between_the_8_bit_levels_are_left_as_they_are():
    image = np.linspace(0, 1, 48).reshape(4, 4, 3)
    assert np.array_equal(scaled_rgb(image, 255.0), image * 255.0)
    assert np.allclose(scaled_rgb(image, 1.0), image, rtol=0, atol=1e-15)


def test_unit_image_is_a_copy_in_float32():
    for image in (np.full((2, 2, 1), 255, np.uint8), np.ones((2, 2, 1), np.float32)):
        unit = unit_image(image)
        assert unit.dtype == np.float32
        assert unit.max() == 1
        unit[:] = 0
        assert image.all()
