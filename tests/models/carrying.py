"""The same weights in a PyTorch twin and in our model, and the layers of both side by side."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from tests.models import torch_twins as twins
from zest_jax.models import create

PADDED = np.array([[5, 9, 3, 11, 2, 8], [7, 1, 0, 0, 0, 0], [4, 4, 10, 6, 0, 0]], np.int32)


@dataclasses.dataclass
class Pair:
    """A model, its twin with the same weights, and inputs for both."""

    model: Any
    twin: Any
    inputs: np.ndarray

    def torch_inputs(self):
        moved = self.inputs.transpose(0, 3, 1, 2) if self.inputs.ndim == 4 else self.inputs
        return torch.tensor(moved)


CASES = {
    "resnet20": ("resnet20", {}, lambda: twins.TwinCifarResNet(20, 10), (4, 32, 32, 3)),
    "resnet18-imagenet": ("resnet18", {"stem": "imagenet"}, lambda: twins.TwinResNet(18, 10, "imagenet"), (4, 64, 64, 3)),
    "resnet18-cifar": ("resnet18", {"stem": "cifar"}, lambda: twins.TwinResNet(18, 10, "cifar"), (4, 16, 16, 3)),
    "resnet50-imagenet": ("resnet50", {"stem": "imagenet"}, lambda: twins.TwinResNet(50, 10, "imagenet"), (4, 64, 64, 3)),
    "resnet50-cifar": ("resnet50", {"stem": "cifar"}, lambda: twins.TwinResNet(50, 10, "cifar"), (4, 16, 16, 3)),
    "mobilenet_v2-imagenet": ("mobilenet_v2", {"stem": "imagenet"}, lambda: twins.TwinMobileNetV2(10, "imagenet"), (4, 64, 64, 3)),
    "mobilenet_v2-cifar": ("mobilenet_v2", {"stem": "cifar"}, lambda: twins.TwinMobileNetV2(10, "cifar"), (4, 16, 16, 3)),
    "m5": ("m5", {}, lambda: twins.TwinM5(10), (4, 2500)),
    "lstm": ("lstm", {"vocabulary": 12, "embedding": 5, "hidden": 7}, lambda: twins.TwinLSTM(10, 12, 5, 7), None),
}  # fmt: skip


def make_pair(case: str) -> Pair:
    """Random weights and statistics, carried from the twin to the model in the order of depth."""
    name, options, make_twin, shape = CASES[case]
    torch.manual_seed(0)
    twin = twins.with_random_statistics(make_twin())
    random = np.random.default_rng(0)
    inputs = PADDED if shape is None else random.standard_normal(shape).astype(np.float32)
    model = nnx.eval_shape(lambda: create(name, 10, **options))
    carry(twin, model)
    return Pair(model, twin.eval(), inputs)


def carry(twin, model):
    if isinstance(twin, twins.TwinLSTM):
        # PyTorch adds two biases, Flax one.
        torch.nn.init.zeros_(twin.lstm.bias_ih_l0)
    tensors = [p.detach() for name, p in twin.named_parameters() if name != "lstm.bias_ih_l0"]
    paths = model.depth_order()
    assert len(tensors) == len(paths)
    values = {
        path: kernel_of(tensor) if path[-1] == "kernel" else tensor.numpy() for path, tensor in zip(paths, tensors)
    }
    for path, norm in norms(model, twin):
        values[(*path, "mean")], values[(*path, "var")] = norm.running_mean.numpy(), norm.running_var.numpy()
    state = nnx.to_flat_state(nnx.state(model))
    assert {path: variable.shape for path, variable in state} == {path: value.shape for path, value in values.items()}
    new = {path: variable.replace(jnp.array(values[path])) for path, variable in state}
    nnx.update(model, nnx.from_flat_state(new))


def kernel_of(tensor):
    """[out, in, *kernel] to [*kernel, in, out]."""
    return tensor.permute(*range(2, tensor.ndim), 1, 0).numpy()


def norms(model, twin):
    """(path of our layer, PyTorch's layer) for every batch normalisation, in the order of depth."""
    ours = [path[:-1] for path in model.depth_order() if path[-1] == "scale"]
    theirs = [layer for layer in twin.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(ours) == len(theirs)
    return list(zip(ours, theirs))


def outputs_of_ours(model, inputs):
    """Logits, features and statistics after one compiled pass, which leaves the model as it is."""
    graphdef, state = nnx.split(model)

    @jax.jit
    def run(state, x):
        copy = nnx.merge(graphdef, state)
        features = copy.features(x)
        return copy.classify(features), features, nnx.state(copy, nnx.BatchStat)

    logits, features, statistics = run(state, inputs)
    return np.asarray(logits), features, {path: np.asarray(v[...]) for path, v in nnx.to_flat_state(statistics)}
