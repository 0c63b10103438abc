"""Quantisation, noise, averages and permuted labels."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from tests.making import images, untrained
from zest_jax.blackbox import from_onnx
from zest_jax.data import of_rows
from zest_jax.errors import FileFormatError
from zest_jax.export import export_onnx
from zest_jax.reuse import add_noise, average, permute_labels, quantize, quantize_onnx, quantized_kernels
from zest_jax.training import load_checkpoint
from zest_jax.training.checkpoints import weights_of


@pytest.fixture(scope="module")
def victim():
    return untrained()


@pytest.fixture(scope="module")
def other():
    return untrained(1)


class TestQuantize:
    def test_kernels_agree_with_pytorch_s_quantisation_per_channel(self, victim):
        quantized = weights_of(quantize(victim).model)
        for name, kernel in weights_of(victim.model).items():
            if not name.endswith("kernel"):
                np.testing.assert_array_equal(quantized[name], kernel)
                continue
            scale = torch.from_numpy(np.abs(kernel).reshape(-1, kernel.shape[-1]).max(0) / np.float32(127))
            zero = torch.zeros(len(scale), dtype=torch.int32)
            expected = torch.fake_quantize_per_channel_affine(
                torch.from_numpy(kernel.copy()), scale, zero, kernel.ndim - 1, -127, 127
            )
            np.testing.assert_allclose(quantized[name], expected.numpy(), atol=1e-7)

    def test_integers_use_all_bits_and_give_the_kernel_back(self, victim):
        quantized = quantize(victim, bits=4)
        for name, (values, scale) in quantized_kernels(quantized.model, bits=4).items():
            assert values.dtype == np.int8
            assert np.abs(values).max() == 7
            np.testing.assert_allclose(values * scale, weights_of(quantized.model)[name], rtol=1e-5)

    def test_outputs_hardly_change(self, victim):
        x = images().inputs
        before, after = victim.outputs(x), quantize(victim).outputs(x)
        assert 0 < np.abs(after - before).max() < 0.1 * np.abs(before).max()

    def test_a_channel_of_zeros_stays_one(self, victim):
        model: Any = untrained().model
        model.head.kernel[...] = model.head.kernel[...].at[:, 0].set(0)
        made = quantize(dataclasses.replace(victim, model=model))
        kernel = weights_of(made.model)["head.kernel"]
        assert np.all(kernel[:, 0] == 0)
        assert np.isfinite(kernel).all()

    @pytest.mark.parametrize("bits", [1, 9, 0])
    def test_bits_outside_of_their_range_are_refused(self, victim, bits):
        with pytest.raises(ValueError, match="give 2 to 8"):
            quantize(victim, bits=bits)

    def test_an_onnx_model_becomes_int8_and_answers_alike(self, victim, tmp_path):
        export_onnx(victim, tmp_path / "float.onnx")
        path = quantize_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx")
        assert path.stat().st_size < 0.5 * (tmp_path / "float.onnx").stat().st_size
        x = images().inputs.astype(np.float32) / 255
        before, after = from_onnx(tmp_path / "float.onnx")(x), from_onnx(path)(x)
        assert 0 < np.abs(after - before).max() < 0.2 * np.abs(before).max()

    def test_what_is_no_onnx_model_is_refused_and_nothing_written(self, tmp_path):
        (tmp_path / "bad.onnx").write_bytes(b"no model")
        with pytest.raises(FileFormatError, match="cannot be quantised"):
            quantize_onnx(tmp_path / "bad.onnx", tmp_path / "out.onnx")
        assert not (tmp_path / "out.onnx").exists()
        with pytest.raises(FileNotFoundError, match="there is no file"):
            quantize_onnx(tmp_path / "none.onnx", tmp_path / "out.onnx")


class TestNoise:
    def test_noise_has_the_asked_share_of_each_kernel_s_deviation(self, victim):
        before, after = weights_of(victim.model), weights_of(add_noise(victim, scale=0.3, seed=1).model)
        for name, kernel in before.items():
            if not name.endswith("kernel"):
                np.testing.assert_array_equal(after[name], kernel)
            elif kernel.size > 2000:
                assert (after[name] - kernel).std() == pytest.approx(0.3 * kernel.std(), rel=0.1)

    def test_the_seed_decides(self, victim):
        first, again, another = (add_noise(victim, scale=0.1, seed=seed).fingerprint for seed in (1, 1, 2))
        assert first == again != another

    @pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
    def test_scales_that_make_no_sense_are_refused(self, victim, scale):
        with pytest.raises(ValueError, match="give a number above 0"):
            add_noise(victim, scale=scale, seed=0)


class TestPermute:
    def test_outputs_are_those_of_the_victim_in_another_order(self, victim):
        made = permute_labels(victim, [2, 0, 1])
        x = images().inputs
        np.testing.assert_array_equal(made.outputs(x), victim.outputs(x)[:, [2, 0, 1]])
        assert made.info.class_names == ("c", "a", "b")
        assert permute_labels(victim, [2, 0, 1], keep_names=True).info.class_names == ("a", "b", "c")

    def test_a_seed_draws_the_permutation(self, victim):
        made = permute_labels(victim, seed=3)
        order = made.info.lineage[-1].settings["permutation"]
        assert sorted(order) == [0, 1, 2]
        assert permute_labels(victim, order).fingerprint == made.fingerprint

    def test_it_is_stored_with_its_lineage(self, victim, tmp_path):
        made = permute_labels(victim, [1, 0, 2], folder=tmp_path / "run")
        found = load_checkpoint(tmp_path / "run")
        assert found.fingerprint == made.fingerprint
        assert found.info.lineage[-1].parent == victim.fingerprint

    @pytest.mark.parametrize("bad", [[0, 1], [0, 1, 1], [1, 2, 3]])
    def test_anything_but_a_permutation_is_refused(self, victim, bad):
        with pytest.raises(ValueError, match="each of the 3 classes, 0 to 2, once"):
            permute_labels(victim, bad)

    def test_either_a_permutation_or_a_seed_is_needed(self, victim):
        with pytest.raises(ValueError, match="either `permutation` or `seed`"):
            permute_labels(victim)


class TestAverage:
    def test_weights_and_statistics_are_mixed(self, victim, other):
        made = weights_of(average(victim, other, weight=0.25).model)
        a, b = weights_of(victim.model), weights_of(other.model)
        for name in made:
            np.testing.assert_allclose(made[name], 0.75 * a[name] + 0.25 * b[name], rtol=1e-6, atol=1e-7)

    def test_statistics_can_be_estimated_anew(self, victim, other):
        data = images(128)
        made = average(victim, other, data=data)
        weights = weights_of(made.model)
        mixed = weights_of(average(victim, other).model)
        x = torch.from_numpy(np.asarray(made.preparation(data.inputs))).permute(0, 3, 1, 2)
        kernel = torch.from_numpy(mixed["stem.conv.kernel"]).permute(3, 2, 0, 1)
        y = torch.nn.functional.conv2d(x, kernel, padding=1)
        np.testing.assert_allclose(weights["stem.norm.mean"], y.mean((0, 2, 3)).numpy(), atol=1e-4)
        np.testing.assert_allclose(
            weights["stem.norm.var"], y.var((0, 2, 3), correction=0).numpy(), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_array_equal(weights["stem.conv.kernel"], mixed["stem.conv.kernel"])

    def test_few_inputs_are_one_batch(self, victim, other):
        made = average(victim, other, data=of_rows(images(), range(5)))
        assert np.isfinite(made.outputs(images().inputs)).all()

    @pytest.mark.parametrize("weight", [0, 1, 1.5])
    def test_the_weight_lies_between_the_two(self, victim, other, weight):
        with pytest.raises(ValueError, match=r"in \(0, 1\)"):
            average(victim, other, weight=weight)

    def test_another_number_of_classes_is_refused(self, victim):
        with pytest.raises(FileFormatError, match="head.bias"):
            average(victim, untrained(classes=5))
