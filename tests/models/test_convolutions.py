"""Convolutions on CPUs: sums over the kernel against XLA's own operation, and against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from zest_jax.models import create
from zest_jax.models.convolutions import (
    _pixels_at_once,
    convolve,
    convolve_several,
    narrow_convolutions,
    plain_convolutions,
)

NUMBERS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


def case(space, size, channels=5, images=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, *space, channels)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(rng.normal(size=(*size, 1, channels)).astype(np.float32))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("space", "size", "padding"),
    [((7, 6), (3, 3), ((1, 1), (1, 1))), ((5, 8), (1, 4), ((0, 0), (2, 0))), ((9,), (3,), ((0, 1),))],
)
def test_it_is_the_convolution_with_its_gradients(stride, space, size, padding):
    x, kernel = case(space, size)
    strides = (stride,) * len(space)
    settings = {"dimension_numbers": NUMBERS[len(space)], "feature_group_count": x.shape[-1]}
    wanted, backward = jax.vjp(lambda *a: lax.conv_general_dilated(*a, strides, padding, **settings), x, kernel)
    found, our_backward = jax.vjp(lambda *a: convolve(*a, strides, padding, **settings), x, kernel)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    cotangent = jnp.asarray(np.random.default_rng(1).normal(size=wanted.shape).astype(np.float32))
    for ours, theirs in zip(our_backward(cotangent), backward(cotangent), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("more", [{"rhs_dilation": (2, 2)}, {"lhs_dilation": (2, 2)}])
def test_dilated_ones_are_left_to_xla(more):
    x, kernel = case((7, 6), (3, 3))
    none = ((1, 1), (1, 1))
    settings = {"dimension_numbers": NUMBERS[2], "feature_group_count": 5, **more}
    wanted = lax.conv_general_dilated(x, kernel, (1, 1), none, **settings)
    np.testing.assert_allclose(convolve(x, kernel, (1, 1), none, **settings), wanted, atol=1e-5)


def test_bfloat16_is_as_exact_as_xla():
    x, kernel = (a.astype(jnp.bfloat16) for a in case((16, 16), (3, 3)))
    none = ((1, 1), (1, 1))
    settings = {"dimension_numbers": NUMBERS[2], "feature_group_count": 5}
    exact = lax.conv_general_dilated(x.astype(jnp.float32), kernel.astype(jnp.float32), (1, 1), none, **settings)
    ours, theirs = (f(x, kernel, (1, 1), none, **settings) for f in (convolve, lax.conv_general_dilated))
    assert ours.dtype == jnp.bfloat16
    assert jnp.abs(ours - exact).max() <= 1.01 * jnp.abs(theirs - exact).max()


def test_it_is_the_sum_over_the_kernel():
    x, kernel = case((4, 5), (3, 3), channels=2, images=1)
    found = convolve(x, kernel, (1, 1), ((1, 1), (1, 1)), feature_group_count=2)
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i, j, c in np.ndindex(4, 5, 2):
        window = padded[0, i : i + 3, j : j + 3, c]
        assert found[0, i, j, c] == pytest.approx((window * np.asarray(kernel)[:, :, 0, c]).sum(), abs=1e-5)


def test_bfloat16_sums_gradients_in_float32():
    x, kernel = (a.astype(jnp.bfloat16) for a in case((8, 8), (3, 3), images=64))

    def total(x, kernel):
        found = convolve(x, kernel, (1, 1), ((1, 1), (1, 1)), feature_group_count=5)
        return found.astype(jnp.float32).sum()

    gradient = jax.grad(total, 1)(x, kernel)
    assert gradient.dtype == jnp.bfloat16
    wide = jax.grad(total, 1)(x.astype(jnp.float32), kernel.astype(jnp.float32))
    np.testing.assert_allclose(gradient.astype(jnp.float32), wide, rtol=0.02, atol=0.5)


@pytest.mark.parametrize("space", [(7, 6), (9,)])
def test_kernels_of_one_pixel(space):
    x, _ = case(space, (1,) * len(space))
    kernel = jnp.asarray(np.random.default_rng(2).normal(size=(*(1,) * len(space), 5, 4)).astype(np.float32))
    none = ((0, 0),) * len(space)
    settings = {"dimension_numbers": NUMBERS[len(space)]}
    once = (1,) * len(space)
    wanted, backward = jax.vjp(lambda *a: lax.conv_general_dilated(*a, once, none, **settings), x, kernel)
    found, our_backward = jax.vjp(lambda *a: convolve(*a, once, none, **settings), x, kernel)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    for ours, theirs in zip(our_backward(wanted), backward(wanted), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert "conv" not in str(jax.make_jaxpr(lambda *a: convolve(*a, once, none, **settings))(x, kernel))
    # With strides or zeros around it is XLA's.
    twice = jax.make_jaxpr(lambda *a: convolve(*a, (2,) * len(space), none, **settings))(x, kernel)
    assert "conv_general_dilated" in str(twice)


def test_models_use_it_and_can_do_without():
    model = create("mobilenet_v2", 4, stem="cifar", width=0.25)
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    ours = jax.jit(model)(x)
    depthwise = [
        part for _, part in nnx.iter_modules(model) if isinstance(part, nnx.Conv) and part.feature_group_count > 1
    ]
    assert depthwise
    assert all(part.conv_general_dilated is convolve for part in depthwise)
    plain_convolutions(model)
    np.testing.assert_allclose(model(x), ours, atol=1e-4)
    assert all(part.conv_general_dilated is lax.conv_general_dilated for part in depthwise)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("space", "size", "padding", "channels", "outputs"),
    [
        ((8, 8), (3, 3), ((1, 1), (1, 1)), 3, 4),
        ((7, 16), (3, 3), ((1, 1), (1, 1)), 8, 8),
        ((5, 8), (2, 4), ((0, 1), (0, 3)), 1, 16),
        ((6, 11), (3, 2), ((0, 0), (2, 4)), 2, 2),
        ((4, 8), (3, 7), ((1, 1), (3, 3)), 2, 3),
    ],
)
def test_several_pixels_at_once_are_the_convolution(stride, space, size, padding, channels, outputs):
    x, _ = case(space, (1, 1), channels)
    kernel = np.random.default_rng(2).normal(size=(*size, channels, outputs)).astype(np.float32)
    settings = {"dimension_numbers": NUMBERS[2]}
    strides = (stride, stride)
    assert _pixels_at_once(x.shape, kernel.shape, stride, padding[1]) > 1
    exact = lax.conv_general_dilated(x, kernel, strides, padding, precision="highest", **settings)
    found = convolve_several(x, kernel, strides, padding, **settings)
    np.testing.assert_allclose(found, exact, atol=1e-5)
    padded = np.pad(np.asarray(x, np.float64), ((0, 0), *padding, (0, 0)))
    last = padded[:, : size[0], stride * (found.shape[2] - 1) :][:, :, : size[1]]
    by_hand = np.einsum("nijc,ijco->no", last, kernel.astype(np.float64))
    np.testing.assert_allclose(found[:, 0, -1], by_hand, atol=1e-5)


def test_padding_may_have_a_name():
    model, x = nnx.Conv(3, 8, (3, 3), rngs=nnx.Rngs(0)), case((8, 8), (1, 1), 3)[0]
    plain = model(x)
    model.conv_general_dilated = convolve_several
    np.testing.assert_allclose(model(x), plain, atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "pixels", "wide"), [(8, 16, 32), (8, 6, 16), (8, 7, 8), (16, 16, 32), (32, 16, 32), (3, 16, 24)]
)
def test_as_many_pixels_at_once_as_are_faster(outputs, pixels, wide):
    x, kernel = jnp.zeros((1, 4, pixels, 3)), jnp.zeros((3, 3, 3, outputs))
    settings = {"dimension_numbers": NUMBERS[2]}
    text = str(jax.make_jaxpr(lambda *a: convolve_several(*a, (1, 1), ((1, 1), (1, 1)), **settings))(x, kernel))
    (line,) = (line for line in text.splitlines() if "= conv_general_dilated" in line)
    assert f",{wide}] = conv_general_dilated" in line


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v2"])
def test_models_that_are_only_asked_can_use_it(name):
    model = create(name, 4, width=0.25)
    x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    ours = jax.jit(model)(x)
    narrow_convolutions(model)
    again = jax.jit(model)(x)
    assert all(
        part.conv_general_dilated is convolve_several
        for _, part in nnx.iter_modules(model)
        if isinstance(part, nnx.Conv)
    )
    np.testing.assert_allclose(again, ours, atol=1e-5)


def test_under_vmap():
    x, kernel = case((6, 6), (3, 3))
    many = jnp.stack([kernel, 2 * kernel])
    found = jax.vmap(
        jax.grad(lambda k: jnp.square(convolve(x, k, (2, 2), ((1, 1), (1, 1)), feature_group_count=5)).sum())
    )(many)
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)
