import functools
from typing import Any

import numpy as np
import pytest
import torch
from flax import nnx

from tests.models import torch_twins as twins
from tests.models.carrying import carry
from zest_jax.models import create, load_torch_state_dict, with_head

# One case of each layout: basic blocks, bottlenecks, inverted residuals; the stems differ in one kernel only.
LAYOUTS = {
    "resnet18": ("cifar", lambda: twins.TwinResNet(18, 7, "cifar")),
    "resnet50": ("imagenet", lambda: twins.TwinResNet(50, 7, "imagenet")),
    "mobilenet_v2": ("imagenet", lambda: twins.TwinMobileNetV2(7, "imagenet")),
}


@functools.cache
def twin_of(name):
    torch.manual_seed(1)
    return twins.with_random_statistics(LAYOUTS[name][1](), seed=1).eval()


def abstract(name, num_classes=7, **options) -> Any:
    return nnx.eval_shape(lambda: create(name, num_classes, **({"stem": LAYOUTS[name][0]} | options)))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_state_dict_puts_every_weight_where_the_order_of_depth_does(name):
    # Carried by order, these weights give the twin's outputs (test_against_torch.py); here they are carried by name.
    by_name, by_order = abstract(name), abstract(name)
    load_torch_state_dict(by_name, twin_of(name).state_dict())
    carry(twin_of(name), by_order)
    wanted = dict(nnx.to_flat_state(nnx.state(by_order)))
    for path, value in nnx.to_flat_state(nnx.state(by_name)):
        np.testing.assert_array_equal(value[...], wanted[path][...], err_msg=str(path))


def test_a_state_dict_in_torchvisions_layout_gives_the_same_answers():
    model, twin = abstract("resnet18"), twin_of("resnet18")
    load_torch_state_dict(model, twin.state_dict())
    inputs = np.random.default_rng(1).standard_normal((2, 16, 16, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = twin(torch.tensor(inputs.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(nnx.jit(lambda model, x: model(x))(model, inputs), wanted, atol=1e-4)


def test_the_twins_have_torchvisions_names():
    # Spot checks from torchvision's published files, so that the twins and the loader cannot be wrong together.
    resnet = twin_of("resnet50").state_dict()
    assert len(resnet) == 320
    assert resnet["layer3.0.downsample.0.weight"].shape == (1024, 512, 1, 1)
    assert resnet["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    mobilenet = twin_of("mobilenet_v2").state_dict()
    assert len(mobilenet) == 314
    assert mobilenet["features.1.conv.1.weight"].shape == (16, 32, 1, 1)
    assert mobilenet["features.17.conv.2.weight"].shape == (320, 960, 1, 1)
    assert mobilenet["features.18.0.weight"].shape == (1280, 320, 1, 1)


def test_arrays_and_half_precision_tensors_load_too():
    state = twin_of("resnet18").state_dict()
    from_arrays, from_halves = abstract("resnet18"), abstract("resnet18")
    load_torch_state_dict(from_arrays, {name: np.asarray(tensor) for name, tensor in state.items()})
    load_torch_state_dict(from_halves, {name: tensor.bfloat16() for name, tensor in state.items()})
    ours, half = from_arrays.head.kernel[...], from_halves.head.kernel[...]
    np.testing.assert_array_equal(ours, state["fc.weight"].numpy().T)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, ours, rtol=0.01)


def test_loaded_weights_are_copies():
    state = {name: tensor.clone() for name, tensor in twin_of("resnet18").state_dict().items()}
    model = abstract("resnet18")
    load_torch_state_dict(model, state)
    before = np.array(model.stages[0][0].units[0].norm.scale[...])
    state["layer1.0.bn1.weight"].zero_()
    np.testing.assert_array_equal(model.stages[0][0].units[0].norm.scale[...], before)


def test_all_mismatches_are_listed_both_ways_and_nothing_is_loaded():
    state = dict(twin_of("resnet18").state_dict())
    del state["layer2.1.bn2.running_var"], state["conv1.weight"]
    state |= {"fc.weight": torch.zeros(1000, 512), "extra.weight": torch.zeros(3), "layer9.bias": torch.zeros(1)}
    model: Any = create("resnet18", 7, stem="cifar")
    before = np.array(model.stages[0][0].units[0].conv.kernel[...])
    with pytest.raises(ValueError, match="does not fit the model") as caught:
        load_torch_state_dict(model, state)
    words = str(caught.value)
    assert "needs, and the state_dict lacks: conv1.weight, layer2.1.bn2.running_var\n" in words
    assert "has, and the model does not: extra.weight, layer9.bias\n" in words
    assert "shapes differ: fc.weight is (1000, 512), the model's (7, 512)\n" in words
    np.testing.assert_array_equal(model.stages[0][0].units[0].conv.kernel[...], before)


def test_another_architecture_or_stem_is_refused():
    with pytest.raises(
        ValueError, match=r"lacks: .*layer1\.0\.conv3\.weight.*\n.*has, and the model does not: layer1.7.conv1.weight\n"
    ):
        load_torch_state_dict(
            abstract("resnet50"), twin_of("resnet18").state_dict() | {"layer1.7.conv1.weight": np.ones(1)}
        )
    with pytest.raises(
        ValueError, match=r"shapes differ: conv1.weight is \(64, 3, 3, 3\), the model's \(64, 3, 7, 7\)"
    ):
        load_torch_state_dict(abstract("resnet18", stem="imagenet"), twin_of("resnet18").state_dict())


def test_models_without_such_a_layout_are_refused():
    with pytest.raises(
        TypeError, match=r"torchvision has no layout for CifarResNet; .* takes ResNet .* and MobileNetV2"
    ):
        load_torch_state_dict(nnx.eval_shape(lambda: create("resnet20", 10)), {})


def test_weights_for_other_classes_come_in_by_way_of_a_new_head():
    model = abstract("resnet18")
    load_torch_state_dict(model, twin_of("resnet18").state_dict())
    other: Any = with_head(model, 3)
    assert other.num_classes == 3
    np.testing.assert_array_equal(other.stem.conv.kernel[...], model.stem.conv.kernel[...])
