import json
import operator
import re
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from zest_jax.models import ModelConfig, create


def parameters(name, num_classes, **options):
    model = nnx.eval_shape(lambda: create(name, num_classes, **options))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize(
    ("name", "num_classes", "options", "published"),
    [
        # He et al., table 6, in millions. Exactly, with option A: 269,722; option B would have 272,474.
        ("resnet20", 10, {}, 269_722),
        ("resnet32", 10, {}, "0.46M"),
        ("resnet44", 10, {}, "0.66M"),
        ("resnet56", 10, {}, "0.85M"),
        # torchvision's documentation.
        ("resnet18", 1000, {}, 11_689_512),
        ("resnet50", 1000, {}, 25_557_032),
        ("mobilenet_v2", 1000, {}, 3_504_872),
        # The usual CIFAR variants of PyTorch.
        ("resnet18", 10, {"stem": "cifar"}, 11_173_962),
        ("resnet50", 100, {"stem": "cifar"}, 23_705_252),
        # timm's mobilenetv2_050 and mobilenetv2_140.
        ("mobilenet_v2", 1000, {"width": 0.5}, "1.97M"),
        ("mobilenet_v2", 1000, {"width": 1.4}, "6.11M"),
    ],
)
def test_parameter_counts_are_the_published_ones(name, num_classes, options, published):
    found = parameters(name, num_classes, **options)
    assert (f"{found / 1e6:.2f}M" if isinstance(published, str) else found) == published


def test_narrow_resnets_have_the_parameters_of_their_widths():
    # Convolutions, twice the channels of each batch normalisation, the head.
    convolutions = 3 * 8 * 9 + 2 * 8 * 8 * 9 + (8 * 16 + 16 * 16) * 9 + (16 * 32 + 32 * 32) * 9
    assert parameters("resnet8", 10, width=0.5) == convolutions + 2 * (3 * 8 + 2 * 16 + 2 * 32) + 33 * 10
    assert parameters("resnet18", 10, stem="cifar", width=0.25) < 11_173_962 / 15
    # 5, 10 and 20 channels: the shortcut gets an odd number of new ones.
    assert create("resnet8", 3, width=0.3125)(np.zeros((1, 8, 8, 3), np.float32)).shape == (1, 3)
    for wrong in (float("nan"), float("inf"), "wide", True):
        with pytest.raises(ValueError, match="`width` is .*; give a multiplier above 0"):
            create("resnet18", 3, width=wrong)
    with pytest.raises(ValueError, match="`width` is 0.05; give a multiplier that leaves at least 2 of 16 channels"):
        create("resnet20", 10, width=0.05)


def test_m5_has_half_a_million_parameters_as_its_paper_says():
    # 80 * 128 + 3 * (128 * 128 + 128 * 256 + 256 * 512), twice 1024 of batch normalisation, 513 for each class.
    assert parameters("m5", 10) == 550_912 + 2048 + 5130 == 558_090


def test_lstm_has_the_parameters_of_its_sizes():
    assert parameters("lstm", 4, vocabulary=50, embedding=8, hidden=6) == 50 * 8 + 4 * 6 * (8 + 6 + 1) + 4 * (2 * 6 + 1)


@pytest.mark.parametrize("name", ["resnet20", "lstm"])
def test_a_seed_gives_the_same_weights_and_another_seed_others(name):
    options = {"vocabulary": 9} if name == "lstm" else {}
    first, again, other = (create(name, 3, seed=seed, **options) for seed in (5, 5, 6))
    for path, value in nnx.to_flat_state(nnx.state(first, nnx.Param)):
        if path[-1] in ("kernel", "embedding"):
            same, different = (dict(nnx.to_flat_state(nnx.state(m, nnx.Param)))[path] for m in (again, other))
            np.testing.assert_array_equal(value[...], same[...])
            assert np.abs(value[...] - different[...]).max() > 0, path
    # One compilation serves all seeds.
    graphdefs = {nnx.graphdef(model) for model in (first, again, other)}
    assert len(graphdefs) == 1


def test_several_seeds_can_be_made_under_vmap_and_jit():
    def weights(seed):
        return nnx.to_pure_dict(nnx.state(create("m5", 3, seed=seed, widths=(2, 2, 2, 2)), nnx.Param))

    together = jax.jit(jax.vmap(weights))(np.arange(3))
    for seed in range(3):
        one = jax.tree.map(operator.itemgetter(seed), together)
        jax.tree.map(np.testing.assert_array_equal, one, weights(seed))


def test_initial_weights_have_the_variance_of_he_and_colleagues():
    model: Any = create("resnet18", 1000)
    last = model.stages[3][1].units[1].conv.kernel[...]
    np.testing.assert_allclose(last.std(), (2 / (9 * 512)) ** 0.5, rtol=0.01)
    head = model.head.kernel[...]
    assert 0.99 * 512**-0.5 < np.abs(head).max() <= 512**-0.5
    np.testing.assert_array_equal(model.head.bias[...], 0)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("resnet19", 10), {}, "no model is named 'resnet19'; choose resnet8, .*, mobilenet_v2, lstm, m5"),
        (("resnet20", 10), {"stem": "cifar"}, "resnet20 has no option 'stem'; its options are width, in_channels"),
        (("m5", 10), {"a": 1, "b": 2}, "m5 has no options 'a', 'b'; its options are widths"),
        (("resnet18", 10), {"stem": "mnist"}, "`stem` is 'mnist'; choose 'imagenet' .* or 'cifar'"),
        (("resnet18", 1), {}, "`num_classes` is 1; a classifier needs at least 2"),
        (("resnet20", 10), {"dtype": "float16"}, "`dtype` is 'float16'; choose 'float32' or 'bfloat16'"),
        (("resnet20", 10), {"in_channels": 0}, "`in_channels` is 0; give at least 1"),
        (("mobilenet_v2", 10), {"width": 0}, "`width` is 0; give a multiplier above 0"),
        (("mobilenet_v2", 10), {"dropout": 1.0}, r"`dropout` is 1.0; give a share in \[0, 1\)"),
        (("mobilenet_v2", 10), {"stem": "x"}, "`stem` is 'x'; choose"),
        (("lstm", 4), {"vocabulary": 1}, "`vocabulary` is 1; give at least 2 token ids"),
        (("lstm", 4), {"hidden": 0}, "`hidden` is 0; give at least 1"),
        (("m5", 4), {"widths": (8, 8)}, r"`widths` is \(8, 8\); give the channels of M5's four convolutions"),
        (("m5", 4), {"widths": (8, 8, 0, 8)}, "`widths` is 8, 8, 0, 8; give at least 1"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_known(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        nnx.eval_shape(lambda: create(*arguments, **options))


def test_a_config_builds_what_create_does():
    config = ModelConfig(name="m5", num_classes=3, options={"widths": [2, 2, 2, 2]})
    built, created = config.build(seed=4), create("m5", 3, seed=4, widths=(2, 2, 2, 2))
    assert nnx.graphdef(built) == nnx.graphdef(created)
    for ours, theirs in zip(jax.tree.leaves(nnx.state(built)), jax.tree.leaves(nnx.state(created))):
        np.testing.assert_array_equal(ours, theirs)
    coarse: Any = config.build(dtype="bfloat16")
    assert coarse.convolutions[0].conv.dtype == "bfloat16"


def test_a_config_survives_json():
    for options in ({}, {"widths": (2, 4, 6, 8)}):
        config = ModelConfig(name="m5", num_classes=3, options=options)
        read = ModelConfig.from_json(json.loads(json.dumps(config.to_json())))
        assert read == config
        assert hash(read) == hash(config)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"name": "m5", "num_classes": 1, "options": {}}, "`num_classes` is 1"),
        ({"name": "m6", "num_classes": 2}, "no model is named 'm6'"),
        ({"name": "m5", "num_classes": 2, "options": {"stem": 1}}, "m5 has no option 'stem'"),
        ({"name": "m5"}, "has the fields name; it needs name and num_classes"),
        ({"name": "m5", "num_classes": 2, "classes": 3}, "has the fields classes, name, num_classes; it needs"),
        ({}, re.escape("has the fields (none); it needs")),
    ],
)
def test_a_bad_description_is_refused(stored, words):
    with pytest.raises(ValueError, match=words):
        ModelConfig.from_json(stored)
