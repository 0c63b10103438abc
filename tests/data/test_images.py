"""Reading pools of images from folders and array files."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from zest_jax.data import load_images
from zest_jax.errors import FileFormatError, UnsafeFileError


def save(path, array, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **kwargs)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_folder_is_read_in_depth_and_sorted_with_sub_folders_as_classes(tmp_path):
    arrays = [noise(8, 6, 3, seed=i) for i in range(4)]
    for name, array in zip(("dog/b.png", "cat/2.png", "cat/10.png", "dog/deep/a.png"), arrays, strict=True):
        save(tmp_path / name, array)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    save(tmp_path / ".thumbnails" / "x.png", arrays[0])
    pool = load_images(tmp_path)
    assert pool.labels is not None
    assert pool.class_names == ("cat", "dog")
    assert pool.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(pool.images, np.stack([arrays[2], arrays[1], arrays[0], arrays[3]]))


def test_images_outside_sub_folders_have_no_classes(tmp_path):
    save(tmp_path / "a.png", noise(4, 4, 3))
    save(tmp_path / "cat" / "b.png", noise(4, 4, 3))
    pool = load_images(tmp_path)
    assert len(pool) == 2
    assert pool.labels is None


def test_different_sizes_are_refused_and_named(tmp_path):
    save(tmp_path / "a.png", noise(8, 6, 3))
    save(tmp_path / "b.png", noise(10, 10, 3))
    with pytest.raises(ValueError, match=r"2 different sizes \(1 of 8x6, 1 of 10x10; height x width\).*--size 224"):
        load_images(tmp_path)


def test_size_scales_the_shorter_side_and_cuts_the_centre(tmp_path):
    # Three vertical stripes; the square in the middle of the wide image is the green one.
    stripes = np.zeros((16, 48, 3), np.uint8)
    for i in range(3):
        stripes[:, 16 * i : 16 * (i + 1), i] = 200
    save(tmp_path / "wide.png", stripes)
    save(tmp_path / "square.png", np.full((32, 32, 3), 7, np.uint8))
    images = load_images(tmp_path, size=16).images
    assert images.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(images[0], 7)
    np.testing.assert_array_equal(images[1], np.broadcast_to([0, 200, 0], (16, 16, 3)))
    assert load_images(tmp_path, size=(4, 8)).images.shape == (2, 4, 8, 3)


@pytest.mark.parametrize(("color", "channels"), [("auto", 3), ("rgb", 3), ("grey", 1)])
def test_mixed_grey_and_colour_get_one_number_of_channels(tmp_path, color, channels):
    grey = noise(5, 5)
    save(tmp_path / "a.png", grey)
    save(tmp_path / "b.png", noise(5, 5, 3))
    images = load_images(tmp_path, color=color).images
    assert images.shape == (2, 5, 5, channels)
    np.testing.assert_array_equal(images[0], np.repeat(grey[..., None], channels, axis=-1))


def test_grey_images_alone_stay_grey(tmp_path):
    save(tmp_path / "a.png", noise(5, 5))
    assert load_images(tmp_path).images.shape == (1, 5, 5, 1)


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16))
    assert load_images(tmp_path).images[0, ..., 0].tolist() == [[0, 100], [200, 255]]


def test_transparency_and_palettes_become_rgb(tmp_path):
    save(tmp_path / "a.png", noise(5, 5, 4))
    Image.fromarray(noise(5, 5, 3)).convert("P").save(tmp_path / "b.gif")
    assert load_images(tmp_path).images.shape == (2, 5, 5, 3)


def test_camera_orientation_is_followed(tmp_path):
    image = Image.fromarray(noise(6, 9, 3))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    images = load_images(tmp_path).images
    assert images.shape == (1, 9, 6, 3)
    np.testing.assert_array_equal(images[0], np.rot90(np.asarray(image), -1))


@pytest.fixture
def folder_with_bad_files(tmp_path):
    for i in range(4):
        save(tmp_path / "cat" / f"{i}.png", noise(32, 32, 3, seed=i))
    (tmp_path / "cat" / "1.png").write_bytes(b"this is no image")
    whole = (tmp_path / "cat" / "2.png").read_bytes()
    (tmp_path / "cat" / "2.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def test_unreadable_file_is_named(folder_with_bad_files):
    with pytest.raises(
        FileFormatError, match=r"cat/1\.png cannot be read as an image: it is of no image format.*--skip-bad"
    ):
        load_images(folder_with_bad_files)


def test_image_cut_off_in_the_middle_is_named(folder_with_bad_files):
    (folder_with_bad_files / "cat" / "1.png").unlink()
    with pytest.raises(FileFormatError, match=r"cat/2\.png cannot be read as an image: .*truncated"):
        load_images(folder_with_bad_files)


def test_a_file_of_a_format_that_is_not_read_is_refused_whatever_its_ending(tmp_path):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(
        FileFormatError, match=r"a\.png cannot be read as an image: it is of no image format known here"
    ):
        load_images(tmp_path)


def test_formats_that_are_read_may_bear_each_others_endings(tmp_path):
    save(tmp_path / "a.png", noise(8, 8, 3), format="JPEG")
    assert load_images(tmp_path).images.shape == (1, 8, 8, 3)


def test_skip_bad_leaves_unreadable_files_out_and_tells(folder_with_bad_files):
    told = []
    pool = load_images(folder_with_bad_files, skip_bad=True, on_skip=lambda name, reason: told.append((name, reason)))
    assert pool.labels is not None
    np.testing.assert_array_equal(pool.images, [noise(32, 32, 3, seed=0), noise(32, 32, 3, seed=3)])
    assert len(pool.labels) == 2
    assert [name.rsplit("/", 1)[1] for name in pool.skipped] == ["1.png", "2.png"]
    assert tuple(name for name, _ in told) == pool.skipped
    assert "truncated" in told[1][1]


def test_folder_of_bad_files_only_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(FileFormatError, match=r"none of the 1 images.*a\.jpg"):
        load_images(tmp_path, skip_bad=True)


def test_empty_folder_says_what_it_holds(tmp_path):
    with pytest.raises(FileFormatError, match="holds no images; image files end in"):
        load_images(tmp_path)
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(FileFormatError, match=r"holds no images \(it holds files with \.csv\)"):
        load_images(tmp_path)


def test_limit_takes_the_first_or_random_images(tmp_path):
    np.save(tmp_path / "pool.npy", noise(50, 4, 4, 3))
    everything = load_images(tmp_path / "pool.npy").images
    np.testing.assert_array_equal(load_images(tmp_path / "pool.npy", limit=5).images, everything[:5])
    drawn = load_images(tmp_path / "pool.npy", limit=5, seed=1).images
    np.testing.assert_array_equal(drawn, load_images(tmp_path / "pool.npy", limit=5, seed=1).images)
    assert not np.array_equal(drawn, everything[:5])
    assert all((everything == image).all(axis=(1, 2, 3)).any() for image in drawn)


@pytest.mark.parametrize("key", ["images", "x", "whatever"])
def test_npz_keys(tmp_path, key):
    images = noise(3, 4, 4, 3)
    np.savez(tmp_path / "pool.npz", **{key: images})
    np.testing.assert_array_equal(load_images(tmp_path / "pool.npz").images, images)


def test_npz_labels_and_class_names(tmp_path):
    np.savez(
        tmp_path / "pool.npz", x=noise(3, 4, 4), y=np.array([[2], [0], [1]]), class_names=np.array(["a", "b", "c"])
    )
    pool = load_images(tmp_path / "pool.npz")
    assert pool.labels is not None
    assert pool.labels.tolist() == [2, 0, 1]
    assert pool.class_names == ("a", "b", "c")
    assert pool.images.shape == (3, 4, 4, 1)


def test_npz_with_several_arrays_must_say_which(tmp_path):
    np.savez(tmp_path / "pool.npz", a=noise(3, 4, 4, 3), b=noise(3, 4, 4, 3))
    with pytest.raises(FileFormatError, match=r"holds the arrays a, b; store the images as `images`"):
        load_images(tmp_path / "pool.npz")


def test_floats_stay_floats_and_must_lie_between_0_and_1(tmp_path):
    floats = np.random.default_rng(0).random((3, 8, 8, 3))
    np.save(tmp_path / "good.npy", floats)
    images = load_images(tmp_path / "good.npy").images
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, floats, rtol=1e-6)
    halved = load_images(tmp_path / "good.npy", size=4, color="grey").images
    assert halved.shape == (3, 4, 4, 1)
    assert 0 <= halved.min() <= halved.max() <= 1
    np.save(tmp_path / "bad.npy", floats * 255)
    with pytest.raises(FileFormatError, match=r"floats from 0\.\d+ to 25\d\.\d+; float images must lie in \[0, 1\]"):
        load_images(tmp_path / "bad.npy")
    floats[0, 0, 0, 0] = np.nan
    np.save(tmp_path / "nan.npy", floats)
    with pytest.raises(FileFormatError, match="NaN or infinite values"):
        load_images(tmp_path / "nan.npy")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 3, 32, 32), r"32 channels .* its channels come first; store `images.transpose\(0, 2, 3, 1\)`"),
        ((5, 8, 8, 4), r"4 channels .* drop the fourth"),
        ((5, 8, 8, 2), r"2 channels .* give 1 \(grey\) or 3 \(RGB\)"),
        ((0, 8, 8, 3), r"holds no images: its array has shape \(0, 8, 8, 3\)"),
        ((5,), r"array of shape \(5,\); images are \[N, H, W, C\]"),
    ],
)
def test_wrong_shapes_are_explained(tmp_path, shape, message):
    np.save(tmp_path / "pool.npy", np.zeros(shape, np.uint8))
    with pytest.raises(FileFormatError, match=message):
        load_images(tmp_path / "pool.npy")


def test_integers_of_another_type_are_taken_when_they_are_pixels(tmp_path):
    np.save(tmp_path / "pool.npy", noise(2, 4, 4, 3).astype(np.int64))
    assert load_images(tmp_path / "pool.npy").images.dtype == np.uint8
    np.save(tmp_path / "pool.npy", noise(2, 4, 4, 3).astype(np.int64) * 300)
    with pytest.raises(FileFormatError, match="int64 values from 0 to"):
        load_images(tmp_path / "pool.npy")


def test_labels_must_fit_the_images(tmp_path):
    np.savez(tmp_path / "pool.npz", images=noise(3, 4, 4, 3), labels=np.arange(2))
    with pytest.raises(FileFormatError, match=r"labels of shape \(2,\) .* for 3 images"):
        load_images(tmp_path / "pool.npz")


@pytest.mark.parametrize("name", ["pool.npy", "pool.npz"])
def test_pickled_arrays_are_refused(tmp_path, name):
    objects = np.array([{"a": 1}], dtype=object)
    if name.endswith("npy"):
        np.save(tmp_path / name, objects, allow_pickle=True)
    else:
        np.savez(tmp_path / name, images=objects)
    with pytest.raises(UnsafeFileError, match=f"{name} holds pickled Python objects"):
        load_images(tmp_path / name)


@pytest.mark.parametrize("name", ["pool.npy", "pool.npz"])
def test_truncated_array_files_are_named(tmp_path, name):
    path = tmp_path / name
    (np.save if name.endswith("npy") else np.savez)(path, noise(20, 8, 8, 3))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileFormatError, match=f"{name} cannot be read as a NumPy file"):
        load_images(path)


def test_damage_inside_an_npz_is_found(tmp_path):
    path = tmp_path / "pool.npz"
    np.savez_compressed(path, images=noise(20, 8, 8, 3))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        load_images(path)


def test_foreign_files_are_told_apart(tmp_path):
    (tmp_path / "pool.npz").write_bytes(b"")
    with pytest.raises(FileFormatError, match="is not a NumPy file, whatever its name says"):
        load_images(tmp_path / "pool.npz")
    save(tmp_path / "a.png", noise(4, 4, 3))
    with pytest.raises(FileFormatError, match="is a single image; give the folder"):
        load_images(tmp_path / "a.png")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(FileFormatError, match="holds no images that can be read: give a folder"):
        load_images(tmp_path / "model.onnx")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FileFormatError, match="a zip archive, but not one of NumPy arrays"):
        load_images(tmp_path / "other.npz")


def test_missing_path_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        load_images(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"size": 0}, "`size` is 0"), ({"limit": 0}, "`limit` is 0"), ({"color": "red"}, "`color` is 'red'")],
)
def test_impossible_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_images(tmp_path, **arguments)
