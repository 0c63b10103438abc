import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from worlds import linear_box, make_probes, pixel_weights

import zest_jax as zest
from zest_jax.errors import FileFormatError, ProbeMismatchError
from zest_jax.signature import Preview, Signature, best_explained

RNG = np.random.default_rng(0)


def make(**changes):
    values = {
        "weights": RNG.normal(size=(5, 3)).astype(np.float32),
        "segment_counts": np.array([2, 3], np.int32),
        "r2": np.array([[0.5, 0.7, np.nan], [0.9, 0.8, 0.2]], np.float32),
        "variance": np.array([[1, 2, 0], [1, 1, 1]], np.float32),
        "probe_hash": "ab" * 32,
        "label": "m",
    }
    return Signature(**(values | changes))


def test_local_signatures_are_slices():
    signature = make()
    np.testing.assert_array_equal(signature.of_reference(1), signature.weights[2:])
    with pytest.raises(ValueError, match="references 0 to 1"):
        signature.of_reference(2)


class TestSomeReferences:
    def test_distances_are_those_of_a_smaller_probe_set(self):
        probes = make_probes(n=5)
        a, b = (zest.sign(linear_box(pixel_weights(seed=seed)), probes) for seed in (1, 2))
        few = dataclasses.replace(
            probes,
            references=probes.references[[3, 1]],
            segments=probes.segments[[3, 1]],
            n_segments=probes.n_segments[[3, 1]],
            packed_masks=probes.packed_masks[[3, 1]],
        )
        small = [zest.sign(linear_box(pixel_weights(seed=seed)), few) for seed in (1, 2)]
        chosen = [signature.select_references([3, 1]) for signature in (a, b)]
        np.testing.assert_allclose(chosen[0].weights, small[0].weights, rtol=1e-4, atol=1e-5)
        assert zest.distance(*chosen) == pytest.approx(zest.distance(*small), rel=1e-4)
        assert chosen[0].mean_r2() == pytest.approx(small[0].mean_r2(), rel=1e-4)

    def test_all_in_order_are_the_whole(self):
        signature = make()
        again = signature.select_references([0, 1])
        np.testing.assert_array_equal(again.weights, signature.weights)
        assert again.probe_hash != signature.probe_hash

    def test_the_preview_moves_along(self):
        a = make(preview=Preview(1, np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int32)))
        moved = a.select_references([1, 0]).preview
        assert moved is not None
        assert moved.reference_index == 0
        assert a.select_references([0]).preview is None

    def test_other_references_cannot_be_compared(self):
        a = make()
        with pytest.raises(ProbeMismatchError):
            zest.distance(a.select_references([0]), a.select_references([1]))

    @pytest.mark.parametrize("wrong", [[], [2], [-1], [0.5]])
    def test_wrong_indices(self, wrong):
        with pytest.raises(ValueError, match="`references` "):
            make().select_references(wrong)


def test_pooled_r2_by_hand():
    assert make().mean_r2() == pytest.approx((0.5 * 1 + 0.7 * 2 + 0.9 + 0.8 + 0.2) / 6)
    summary = make().summary()
    assert summary["r2"]["median"] == pytest.approx(((0.5 + 1.4) / 3 + 1.9 / 3) / 2)
    assert summary["segments"] == {"min": 2, "max": 3, "sum": 5}
    json.dumps(summary)


def test_the_best_explained_reference_is_found():
    assert best_explained(np.array([[0.5, 0.1], [0.4, 0.9]]), np.array([[1.0, 1.0], [1.0, 3.0]])) == 1
    assert best_explained(np.array([[0.5, 0.1], [0.4, 0.9]]), np.array([[9.0, 1.0], [9.0, 0.1]])) == 0


def test_constant_model_has_no_r2():
    dead = make(variance=np.zeros((2, 3), np.float32), r2=np.full((2, 3), np.nan, np.float32))
    assert np.isnan(dead.mean_r2())
    assert dead.summary()["r2"]["pooled"] is None
    assert best_explained(dead.r2, dead.variance) == 0


@pytest.mark.parametrize("full", [False, True])
def test_file_round_trip(tmp_path, full):
    signature = make()
    if full:
        signature = make(
            class_names=("a", "b", "ç"),
            intercept=np.ones((2, 3), np.float32),
            settings={"solve": {"ridge": 1.0}, "outputs": None},
            preview=Preview(1, RNG.integers(0, 255, (4, 5, 3), np.uint8), np.zeros((4, 5), np.int32)),
        )
    signature.save(tmp_path / "m.sig")
    loaded = Signature.load(tmp_path / "m.sig")
    for name in ("weights", "segment_counts", "r2", "variance", "intercept"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(signature, name))
    for name in ("probe_hash", "label", "class_names", "settings", "version"):
        assert getattr(loaded, name) == getattr(signature, name)
    if full:
        assert loaded.preview is not None
        assert loaded.preview.reference_index == 1
        np.testing.assert_array_equal(loaded.preview.content, signature.preview.content)
    assert [p.name for p in tmp_path.iterdir()] == ["m.sig"]


def test_selecting_classes_takes_everything_along():
    signature = make(class_names=("a", "b", "c"), intercept=np.arange(6, dtype=np.float32).reshape(2, 3))
    chosen = signature.select_classes([2, 0])
    assert chosen.class_names == ("c", "a")
    np.testing.assert_array_equal(chosen.weights, signature.weights[:, [2, 0]])
    np.testing.assert_array_equal(chosen.intercept, signature.intercept[:, [2, 0]])


@pytest.mark.parametrize("keep", [0, 5, 60, -3])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = tmp_path / "m.sig"
    make().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match="m.sig is not a signature, or is truncated"):
        Signature.load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "m.sig"
    path.write_bytes(b"\x80\x04\x95 this is a pickle")
    with pytest.raises(FileFormatError, match="is not a signature"):
        Signature.load(path)
    path.write_bytes(safetensors.numpy.save({"w": np.zeros(2)}))
    with pytest.raises(FileFormatError, match="is a safetensors file but not a signature"):
        Signature.load(path)
    path.write_bytes(
        safetensors.numpy.save({"w": np.zeros(2)}, metadata={"format": "zest-signature", "format_version": "9"})
    )
    with pytest.raises(FileFormatError, match="format version 9"):
        Signature.load(path)


def test_a_signature_that_lacks_a_part_is_refused(tmp_path):
    path = tmp_path / "m.sig"
    make().save(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    tensors = safetensors.numpy.load(data)
    del tensors["r2"]
    path.write_bytes(safetensors.numpy.save(tensors, metadata=header))
    with pytest.raises(FileFormatError, match="is a damaged signature"):
        Signature.load(path)


def test_a_signature_with_nan_is_neither_made_nor_loaded(tmp_path):
    signature = make()
    signature.weights[1, 1] = np.nan  # behind the back of the check
    signature.save(tmp_path / "m.sig")
    with pytest.raises(FileFormatError, match="is a damaged signature .*NaN or infinite"):
        Signature.load(tmp_path / "m.sig")
    with pytest.raises(ValueError, match="`weights` of m holds NaN or infinite values"):
        make(weights=np.full((5, 3), np.inf, np.float32))


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="`r2` has shape"):
        make(r2=np.ones((3, 3), np.float32))
    with pytest.raises(ValueError, match="5 rows but the segment counts add up to 4"):
        make(segment_counts=np.array([2, 2]))
    with pytest.raises(ValueError, match="m has 3 outputs but 2 class names"):
        make(class_names=("a", "b"))


def test_wrong_number_of_class_names_is_noticed_when_signing():
    box = zest.from_jax(lambda w, x: x.reshape(len(x), -1) @ w, pixel_weights(), class_names=["only", "two"], label="m")
    with pytest.raises(ValueError, match="m has 4 outputs but 2 class names"):
        zest.sign(box, make_probes())
