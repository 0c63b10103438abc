import contextlib
import json

import numpy as np
import pytest

from zest_jax.errors import FileFormatError
from zest_jax.probes import ProbeSet
from zest_jax.probes.masks import draw_masks


def arrays(**changes):
    rng = np.random.default_rng(0)
    segments = np.stack([np.arange(16).reshape(4, 4) // 4, np.arange(16).reshape(4, 4) // 8]).astype(np.int32)
    made = {
        "references": rng.integers(0, 256, (2, 4, 4, 3), np.uint8),
        "segments": segments,
        "masks": draw_masks(np.array([4, 2]), 12),
        "fill": (0.5, 0.4, 0.3),
    }
    return made | changes


def test_what_was_given_is_what_it_holds():
    given = arrays()
    probes = ProbeSet.from_arrays(**given)
    assert (probes.n_references, probes.n_samples, probes.max_segments) == (2, 12, 4)
    assert probes.n_segments.tolist() == [4, 2]
    np.testing.assert_array_equal(probes.masks, given["masks"])
    np.testing.assert_allclose(probes.fill, given["fill"])
    assert probes.n_queries == len(np.unique(given["masks"][0], axis=0)) + len(np.unique(given["masks"][1], axis=0))
    assert "2 references of 4x4x3, 2 to 4 super-pixels, 12 masks each" in repr(probes)


def test_bits_past_a_references_own_segments_do_not_count():
    masks = arrays()["masks"].copy()
    masks[1, :, 2:] = True
    dirty = ProbeSet.from_arrays(**arrays(masks=np.concatenate([masks, np.ones((2, 12, 3), bool)], axis=2)))
    assert dirty.hash == ProbeSet.from_arrays(**arrays()).hash


@pytest.mark.parametrize("grey", [np.uint8, np.float32, np.float64])
def test_grey_images_get_a_channel(grey):
    references = arrays()["references"][..., 0].astype(grey) / (1 if grey is np.uint8 else 255)
    probes = ProbeSet.from_arrays(**arrays(references=references.astype(grey), fill=0.5))
    assert probes.references.shape == (2, 4, 4, 1)
    assert probes.fill.shape == (1,)


def test_hash_depends_on_everything_that_is_asked_and_nothing_else():
    base = ProbeSet.from_arrays(**arrays()).hash
    assert base == ProbeSet.from_arrays(**arrays(), settings={"note": "another"}).hash
    assert base == ProbeSet.from_arrays(**arrays(masks=arrays()["masks"].astype(int))).hash
    references = arrays()["references"].copy()
    references[0, 0, 0, 0] ^= 1
    masks = arrays()["masks"].copy()
    masks[0, 5, 0] ^= True
    segments = arrays()["segments"].copy()
    segments[0, 0, 0] = 1
    changed = [
        ProbeSet.from_arrays(**arrays(**{name: value})).hash
        for name, value in (("references", references), ("masks", masks), ("segments", segments), ("fill", 0.5))
    ]
    assert len({base, *changed}) == 5


def test_file_round_trip(tmp_path):
    probes = ProbeSet.from_arrays(**arrays(), settings={"seed": 0})
    probes.save(tmp_path / "probes.npz")
    loaded = ProbeSet.load(tmp_path / "probes.npz")
    assert loaded.hash == probes.hash
    assert loaded.settings == {"seed": 0}
    assert loaded.segments.dtype == np.int32
    assert [p.name for p in tmp_path.iterdir()] == ["probes.npz"]


def test_a_place_dependent_fill_survives_the_file(tmp_path):
    fill = np.random.default_rng(1).random((2, 4, 4, 3), np.float32)
    probes = ProbeSet.from_arrays(**arrays(fill=fill))
    probes.save(tmp_path / "probes.npz")
    np.testing.assert_array_equal(ProbeSet.load(tmp_path / "probes.npz").fill, fill)


@pytest.mark.parametrize("keep", [0, 10, 400, -20])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = tmp_path / "probes.npz"
    ProbeSet.from_arrays(**arrays()).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match="probes.npz cannot be read as a probe set"):
        ProbeSet.load(path)


def test_a_foreign_npz_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    with pytest.raises(FileFormatError, match="is not a probe set; make one with `zest probes`"):
        ProbeSet.load(tmp_path / "x.npz")


def test_a_plain_array_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(FileFormatError, match=r"x.npy is an array of NumPy, not a probe set; make one .*`zest probes "):
        ProbeSet.load(tmp_path / "x.npy")


def test_a_pickle_in_an_npz_is_not_loaded(tmp_path):
    np.savez(tmp_path / "x.npz", header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FileFormatError, match="cannot be read as a probe set"):
        ProbeSet.load(tmp_path / "x.npz")


def test_changed_contents_are_noticed(tmp_path):
    probes = ProbeSet.from_arrays(**arrays())
    path = tmp_path / "probes.npz"
    probes.save(path)
    with np.load(path) as data:
        contents = dict(data)
    contents["references"] = contents["references"] ^ 1
    np.savez(path, **contents)
    with pytest.raises(FileFormatError, match="is damaged: its contents hash to"):
        ProbeSet.load(path)


def test_flipped_bytes_never_pass_and_always_say_so(tmp_path):
    path = tmp_path / "probes.npz"
    probes = ProbeSet.from_arrays(**arrays())
    probes.save(path)
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        with contextlib.suppress(FileFormatError):
            assert ProbeSet.load(path).hash == probes.hash


def test_a_file_of_a_later_format_is_refused(tmp_path):
    path = tmp_path / "probes.npz"
    ProbeSet.from_arrays(**arrays()).save(path)
    with np.load(path) as data:
        contents = dict(data)
    contents["header"] = np.array(json.dumps(json.loads(str(contents["header"])) | {"version": 99}))
    np.savez(path, **contents)
    with pytest.raises(FileFormatError, match="version 99"):
        ProbeSet.load(path)


def test_saving_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder .*nowhere does not exist"):
        ProbeSet.from_arrays(**arrays()).save(tmp_path / "nowhere" / "probes.npz")


SEGMENTS = arrays()["segments"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"references": np.zeros((2, 4), np.uint8)}, r"give \[refs, H, W, C\]"),
        ({"references": np.zeros((0, 4, 4, 3), np.uint8)}, "none of them 0"),
        ({"references": np.zeros((2, 4, 4, 3), int)}, "has dtype int64"),
        ({"references": np.full((2, 4, 4, 3), 200.0)}, "divide by 255"),
        ({"references": np.full((2, 4, 4, 3), np.nan)}, "range from nan"),
        ({"segments": SEGMENTS[:1]}, "one label per pixel"),
        ({"segments": SEGMENTS.astype(float)}, "give integer labels"),
        ({"segments": SEGMENTS * 2}, "segments of reference 0 are labelled .* without gaps"),
        ({"segments": SEGMENTS + 1}, "label them 0 to K - 1"),
        ({"masks": np.ones((2, 12, 3), bool)}, "3 columns but a reference has 4 segments"),
        ({"masks": np.ones((1, 12, 4), bool)}, r"give \[2, samples, segments\]"),
        ({"masks": np.full((2, 12, 4), 0.5)}, "other than 0 and 1"),
        ({"fill": (0.5, 0.5)}, "one value per channel"),
        ({"fill": 127}, r"give values in \[0, 1\]"),
        ({"fill": np.nan}, r"give values in \[0, 1\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ProbeSet.from_arrays(**arrays(**changes))


def test_the_wrong_value_range_of_quickshift_is_warned_about(golden):
    from skimage.segmentation import quickshift

    cut = [quickshift(image / 255, kernel_size=4, max_dist=200, ratio=0.2) for image in golden.images]
    segments = np.stack([np.unique(labels, return_inverse=True)[1].reshape(32, 32) for labels in cut])
    k = segments.max() + 1
    with pytest.warns(UserWarning, match="of 16 references have a single segment .K = 1.*floats in 0..255"):
        ProbeSet.from_arrays(references=golden.images, segments=segments, masks=np.ones((16, 4, k), bool), fill=0.5)


def test_one_segment_everywhere_is_warned_about():
    with pytest.warns(UserWarning, match="single segment .K = 1.*floats in 0..255"):
        ProbeSet.from_arrays(**arrays(segments=np.zeros((2, 4, 4), int), masks=np.ones((2, 3, 1), bool)))
