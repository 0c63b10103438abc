import numpy as np
import pytest

from zest_jax.probes.masks import distinct_masks, draw_masks, pack, unpack

COUNTS = np.array([3, 9, 1])


def test_first_mask_keeps_everything_and_padding_nothing():
    masks = draw_masks(COUNTS, 20)
    assert masks.shape == (3, 20, 9)
    for i, k in enumerate(COUNTS):
        assert masks[i, 0, :k].all()
        assert not masks[i, :, k:].any()


def test_masks_are_known_numbers():
    """The same seed gives the same masks everywhere; a change of this table breaks every stored signature."""
    assert np.packbits(draw_masks(np.array([8]), 6, seed=7)[0]).tolist() == [255, 26, 124, 13, 163, 221]


def test_masks_of_a_reference_depend_on_nothing_else():
    masks = draw_masks(COUNTS, 20, seed=1)
    more = draw_masks(np.array([3, 9, 1, 4]), 30, seed=1)
    np.testing.assert_array_equal(masks, more[:3, :20])
    assert (draw_masks(COUNTS, 20, seed=2) != masks).any()


def test_share_of_kept_segments_is_p():
    masks = draw_masks(np.full(20, 30), 200, p=0.3)[:, 1:]
    assert masks.mean() == pytest.approx(0.3, abs=0.005)


def test_bits_round_trip():
    masks = draw_masks(COUNTS, 20)
    packed = pack(masks)
    assert packed.shape == (3, 20, 2)
    np.testing.assert_array_equal(unpack(packed, 9), masks)


def test_repeats_are_found_in_order_of_appearance():
    masks = draw_masks(COUNTS, 200)
    distinct = distinct_masks(pack(masks))
    for i in range(3):
        rows = unpack(distinct.packed[distinct.start[i] : distinct.start[i + 1]], 9)
        assert len(np.unique(rows, axis=0)) == len(rows)
        counts = distinct.counts[distinct.start[i] : distinct.start[i + 1]]
        assert counts.sum() == 200
        # The inverse gives every sample back, and the first appearances ascend.
        np.testing.assert_array_equal(rows[distinct.inverse[i] - distinct.start[i]], masks[i])
        first = [int(np.argmax(distinct.inverse[i] == q)) for q in range(distinct.start[i], distinct.start[i + 1])]
        assert first == sorted(first)
    assert np.diff(distinct.start)[0] == 8
    assert np.diff(distinct.start)[2] == 2


@pytest.mark.parametrize(
    ("counts", "arguments", "message"),
    [
        ([], {}, "at least one segment"),
        ([3, 0], {}, "at least one segment"),
        ([3], {"n_samples": 0}, "`n_samples` is 0"),
        ([3], {"p": 0.0}, "`p` is 0.0"),
        ([3], {"p": 1.0}, "`p` is 1.0"),
        ([3], {"seed": -1}, "`seed` is -1"),
    ],
)
def test_bad_arguments_are_refused(counts, arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_masks(np.array(counts, int), arguments.pop("n_samples", 5), **arguments)
