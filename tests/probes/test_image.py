import numpy as np
import pytest

import zest_jax as zest
from zest_jax.probes.image import fill_values

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 12, 12, 3), np.uint8)
GRID = {"segmenter": "grid", "segmenter_settings": {"rows": 3, "columns": 2}}


def test_same_seed_same_probes_other_seed_others():
    a, b, c = (zest.image_probes(IMAGES, 4, 20, seed, **GRID) for seed in (0, 0, 1))
    assert a.hash == b.hash != c.hash


def test_settings_say_how_it_was_made():
    settings = zest.image_probes(IMAGES, 4, 20, references="first", **GRID).settings
    assert settings["reference_indices"] == [0, 1, 2, 3]
    assert settings["pool"] == 10
    assert settings["segmenter"]["method"] == "grid"
    assert settings["segmenter"]["rows"] == 3


def test_default_fill_is_the_mean_colour_of_the_pool():
    probes = zest.image_probes(IMAGES, 2, 20, **GRID)
    np.testing.assert_allclose(probes.fill, IMAGES.mean(axis=(0, 1, 2)) / 255, rtol=1e-6)


def test_fills_by_name():
    assert fill_values("black", IMAGES, IMAGES[:1]).tolist() == [0, 0, 0]
    blurred = fill_values("blur", IMAGES, IMAGES[:2])
    assert blurred.shape == (2, 12, 12, 3)
    plain = IMAGES[:2] / 255
    assert blurred.std() < 0.5 * plain.std()
    np.testing.assert_allclose(blurred.mean(), plain.mean(), atol=0.02)
    with pytest.raises(ValueError, match="unknown fill 'white'"):
        fill_values("white", IMAGES, IMAGES)


def test_blur_fill_signs(tmp_path):
    probes = zest.image_probes(IMAGES, 2, 80, fill="blur", **GRID)
    box = zest.from_jax(lambda x: x.mean(axis=(1, 2)))
    # A model that is linear in the pixels is linear in the masks, up to the constant that the fill contributes.
    assert np.nanmin(zest.sign(box, probes, intercept=True).r2) > 0.999


def test_grey_pool_and_callable_segmenter():
    probes = zest.image_probes(IMAGES[..., 0], 3, 20, segmenter=lambda image: (image[..., 0] > 0.5).astype(int))
    assert probes.references.shape == (3, 12, 12, 1)
    assert probes.n_segments.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("images", "n", "message"),
    [
        (IMAGES[:0], 1, "the set of images is empty"),
        (IMAGES, 11, "only 10 inputs"),
        (np.zeros((4, 8, 8, 4), np.uint8), 2, "have 4 channels"),
        (np.zeros((4, 8), np.uint8), 2, r"pass \[N, H, W, C\]"),
        (IMAGES.astype(np.float32), 2, "0, 1"),
    ],
)
def test_bad_pools_are_refused(images, n, message):
    with pytest.raises(ValueError, match=message):
        zest.image_probes(images, n, 20, **GRID)


def test_too_few_masks_are_warned_about_when_the_probes_are_made():
    with pytest.warns(UserWarning, match="4 masks cannot determine the weights of a reference with 6 segments"):
        zest.image_probes(IMAGES, 2, 4, **GRID)


def test_one_segment_everywhere_is_warned_about():
    with pytest.warns(UserWarning, match="single segment"):
        zest.image_probes(IMAGES, 2, 4, segmenter="grid", segmenter_settings={"rows": 1, "columns": 1})
