"""What holds for every model: modes, data types, order of depth, heads, inputs, compilation."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from zest_jax.blackbox import from_flax
from zest_jax.models import create, model_names, with_head
from zest_jax.models.layers import depth_order

SMALL = {
    "resnet18": {"stem": "cifar"},
    "resnet50": {"stem": "cifar"},
    "mobilenet_v2": {"stem": "cifar", "width": 0.35},
    "lstm": {"vocabulary": 20, "embedding": 6, "hidden": 5},
    "m5": {"widths": (8, 8, 16, 16)},
    "ensemble": {"of": "resnet20", "members": 2},
}


@functools.cache
def model_of(name, dtype="float32") -> Any:
    return create(name, 3, dtype=dtype, **SMALL.get(name, {}))


def inputs_of(name, n=4, size=8):
    random = np.random.default_rng(0)
    if name == "lstm":
        return random.integers(1, 20, (n, 7)).astype(np.int32)
    if name == "m5":
        return random.standard_normal((n, 640)).astype(np.float32)
    return random.standard_normal((n, size, size, 3)).astype(np.float32)


@nnx.jit
def answer(model, x):
    features = model.features(x)
    return model.classify(features), features


def modes(model):
    return [
        value
        for _, part in nnx.iter_graph(model)
        if isinstance(part, nnx.Module)
        for value in (getattr(part, name, None) for name in ("deterministic", "use_running_average"))
        if value is not None
    ]


@pytest.mark.parametrize("name", model_names())
def test_every_layer_is_created_in_evaluation_mode_and_switches(name):
    options = {"dropout": 0.3} if name in ("lstm", "mobilenet_v2") else {}
    model = nnx.eval_shape(lambda: create(name, 3, **SMALL.get(name, {}), **options))
    wanted = len(depth_of_kind(model, "scale")) + len(options)
    assert modes(model) == [True] * wanted
    assert wanted
    model.train()
    assert modes(model) == [False] * wanted
    model.eval()
    assert modes(model) == [True] * wanted


def depth_of_kind(model, kind):
    return [path for path in model.depth_order() if path[-1] == kind]


@pytest.mark.parametrize("name", ["lstm", "m5"])
def test_training_mode_uses_the_batch_and_evaluation_mode_does_not(name):
    if name == "lstm":
        model = create("lstm", 3, dropout=0.5, **SMALL["lstm"])
    else:
        model = nnx.clone(model_of(name))
    x = inputs_of(name)
    alone = answer(model, x[:1])[0]
    np.testing.assert_allclose(answer(model, x)[0][:1], alone, atol=1e-5)
    np.testing.assert_array_equal(answer(model, x[:1])[0], alone)
    model.train()
    assert np.abs(answer(model, x)[0][:1] - alone).max() > 1e-3


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_dropout_leaves_out_that_share_in_training_and_brings_no_state_when_unused(dropout):
    model: Any = create("lstm", 3, dropout=dropout, **SMALL["lstm"])
    assert bool(jax.tree.leaves(nnx.state(model, nnx.RngState))) == bool(dropout)
    if dropout:
        model.train()
        dropped = np.asarray(model.dropout(np.ones((100, 100), np.float32))) == 0
        assert abs(dropped.mean() - dropout) < 0.02


@pytest.mark.parametrize("name", model_names())
def test_depth_order_names_every_parameter_once_and_ends_with_the_head(name):
    model = nnx.eval_shape(lambda: create(name, 3, **SMALL.get(name, {})))
    order = model.depth_order()
    assert sorted(order, key=str) == sorted(
        (path for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))), key=str
    )
    assert len(set(order)) == len(order)
    assert [path[-2:] for path in order[-2:]] == [("head", "kernel"), ("head", "bias")]
    assert order[0][0] in ("stem", "embed", "convolutions", "members")
    # Splitting and merging, as training does, forgets the order in which attributes were set.
    assert nnx.merge(*nnx.split(model)).depth_order() == order


def test_depth_order_refuses_parts_it_knows_nothing_of():
    with pytest.raises(TypeError, match="LayerNorm does not say in which order data passes its parts; give it `order`"):
        depth_order(nnx.List([nnx.LayerNorm(3, rngs=nnx.Rngs(0))]))


@pytest.mark.parametrize(
    ("name", "training"),
    # With random weights MobileNetV2 magnifies any rounding in training mode: PyTorch's autocast is 20% off as well.
    [("resnet20", False), ("resnet20", True), ("mobilenet_v2", False), ("lstm", False), ("m5", False), ("m5", True)],
)
def test_bfloat16_stays_near_float32(name, training):
    x = inputs_of(name, 8, size=16)
    exact, coarse = (mode_of(model_of(name, dtype), training) for dtype in ("float32", "bfloat16"))
    (wanted, stages), (found, coarse_stages) = answer(exact, x), answer(coarse, x)
    assert found.dtype == np.float32
    assert 0 < np.sqrt(((found - wanted) ** 2).mean()) < 0.05 * wanted.std()
    assert [stage.dtype.name for stage in coarse_stages[:2]] == ["bfloat16", "bfloat16"]
    assert {stage.dtype.name for stage in stages} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(nnx.state(coarse))} == {"float32"}


def mode_of(model, training):
    copy = nnx.clone(model)
    copy.train() if training else copy.eval()
    return copy


def test_convolutions_are_bfloat16_and_statistics_and_head_float32():
    graphdef, state = nnx.split(mode_of(model_of("resnet20", "bfloat16"), training=True))

    def forward(state, x):
        model = nnx.merge(graphdef, state)
        return model(x), nnx.state(model, nnx.BatchStat)

    text = str(jax.make_jaxpr(forward)(state, inputs_of("resnet20")))
    convolutions = [line for line in text.splitlines() if "= conv_general_dilated" in line]
    assert len(convolutions) == 19
    assert all("bf16" in line.split("=")[0] for line in convolutions)
    heads = [line for line in text.splitlines() if "= dot_general" in line]
    assert len(heads) == 1
    assert "f32" in heads[0].split("=")[0]
    # Sums are those of the statistics and of the pooling.
    sums = [line for line in text.splitlines() if "= reduce_sum" in line]
    assert len(sums) == 2 * 19 + 1
    assert all(":f32" in line.split("=")[0] for line in sums)


@pytest.mark.parametrize("name", ["resnet20", "lstm"])
def test_a_new_head_sits_on_the_same_body_and_leaves_the_model_alone(name):
    model = model_of(name)
    before = {path: np.array(value[...]) for path, value in nnx.to_flat_state(nnx.state(model))}
    first, again, other = (with_head(model, 5, seed=seed) for seed in (1, 1, 2))
    assert (first.num_classes, model.num_classes) == (5, 3)
    assert type(first) is type(model)
    np.testing.assert_array_equal(first.head.kernel[...], again.head.kernel[...])
    assert np.abs(first.head.kernel[...] - other.head.kernel[...]).max() > 0
    for path, value in nnx.to_flat_state(nnx.state(first)):
        if path[0] != "head":
            np.testing.assert_array_equal(value[...], before[path])
            value[...] = np.full(value.shape, 7, np.float32)
    for path, value in nnx.to_flat_state(nnx.state(model)):
        np.testing.assert_array_equal(value[...], before[path])
    # The same as a model created with that many classes, so that both share compilations.
    created = nnx.eval_shape(lambda: create(name, 5, **SMALL.get(name, {})))
    assert nnx.graphdef(first) == nnx.graphdef(created)


def test_a_new_head_keeps_the_mode_and_needs_two_classes():
    model = mode_of(model_of("resnet20"), training=True)
    assert set(modes(with_head(model, 4))) == {False}
    with pytest.raises(ValueError, match="`num_classes` is 1; a classifier needs at least 2"):
        with_head(model, 1)


@pytest.mark.parametrize(
    ("name", "options", "smallest", "refused"),
    [
        ("resnet20", {}, (4, 4, 3), (3, 4, 3)),
        ("resnet18", {"stem": "cifar"}, (8, 8, 3), (8, 7, 3)),
        ("resnet18", {}, (32, 32, 3), (31, 32, 3)),
        ("mobilenet_v2", {}, (32, 32, 3), (224, 31, 3)),
        ("mobilenet_v2", {"stem": "cifar", "in_channels": 1}, (8, 8, 1), (7, 8, 1)),
    ],
)
def test_the_smallest_image_is_taken_and_smaller_ones_are_not(name, options, smallest, refused):
    model = nnx.eval_shape(lambda: create(name, 3, **options))
    model.check_input(smallest)
    shapes = nnx.eval_shape(lambda model, x: model.features(x), model, np.zeros((1, *smallest), np.float32))
    assert min(shapes[-1].shape[1:3]) == 1
    height, width, _ = refused
    with pytest.raises(
        ValueError, match=rf"images are {height}x{width} pixels; {name}.* takes .*its total stride: resize"
    ):
        model.check_input(refused)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        (
            "resnet20",
            (32, 32, 1),
            r"images have 1 channels \(shape \(32, 32, 1\), .* 3 channels, at least 4x4: .*in_channels=1",
        ),
        ("resnet20", (3, 32, 32), r"images have 32 channels \(shape \(3, 32, 32\), channels last\)"),
        ("resnet18", (32, 32), r"an input has shape \(32, 32\); .* give \[height, width, channels\] without the batch"),
        ("lstm", (8, 8, 3), r"an input has shape \(8, 8, 3\); lstm takes token ids \[length\]"),
        ("lstm", (0,), r"at least 1, 0 for padding"),
        ("m5", (79,), r"an input has shape \(79,\); m5 takes raw audio \[samples\], at least 80 samples"),
        ("m5", (8000, 1), r"an input has shape \(8000, 1\); m5 takes raw audio"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_when_checked_and_when_asked(name, shape, words, unchecked_types):
    model = nnx.eval_shape(lambda: create(name, 3, **SMALL.get(name, {})))
    with pytest.raises(ValueError, match=words):
        model.check_input(shape)
    kind = np.int32 if name == "lstm" else np.float32
    with pytest.raises(ValueError, match=words):
        nnx.eval_shape(lambda model, x: model(x), model, np.zeros((2, *shape), kind))


def test_tokens_must_be_integers(unchecked_types):
    with pytest.raises(
        ValueError, match=r"tokens are float32; lstm takes integer ids \[batch, length\], 0 for padding"
    ):
        model_of("lstm")(np.zeros((2, 3), np.float32))


def test_models_are_black_boxes_and_seeds_share_a_compilation(recwarn):
    images = inputs_of("resnet20")
    box = from_flax(model_of("resnet20"))
    np.testing.assert_allclose(box(images), answer(model_of("resnet20"), images)[0], atol=1e-5)
    assert not [w for w in recwarn if "training mode" in str(w.message)]
    assert box.apply == from_flax(create("resnet20", 3, seed=9)).apply


def test_grey_images_are_taken_by_a_model_created_for_them():
    model = create("resnet20", 3, in_channels=1)
    assert answer(model, np.zeros((2, 8, 8, 1), np.float32))[0].shape == (2, 3)
