"""Weights from PyTorch: `state_dict`s as torchvision's ResNets and MobileNetV2 name them."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from zest_jax.models.classifier import Classifier, Path
from zest_jax.models.layers import ConvNorm
from zest_jax.models.mobilenet import MobileNetV2
from zest_jax.models.resnet import ResNet

_NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def load_torch_state_dict(model: Classifier, state_dict: Mapping[str, Any]) -> None:
    """Put weights in the layout of torchvision's `resnet18`, `resnet50` or `mobilenet_v2` into our model of that kind.

    Convolutions are turned from [out, in, H, W] to [H, W, in, out], linear layers from [out, in] to [in, out];
    `num_batches_tracked` is ignored. The model is changed in place, or, when anything does not fit, not at all.
    For another number of classes, load into a model with those of the file and exchange the head by `with_head`.

    Args:
        model: a `ResNet` or a `MobileNetV2`.
        state_dict: arrays or PyTorch tensors by name, as from `torch.load(path, weights_only=True)` or a safetensors file.

    Raises:
        TypeError: the model is of a kind that torchvision has no layout for.
        ValueError: names are missing or left over, or shapes differ; all of them are listed.

    >>> from zest_jax.models import create
    >>> load_torch_state_dict(create("resnet18", 10), {"fc.weight": np.zeros((10, 512)), "head.bias": np.zeros(10)})
    Traceback (most recent call last):
    ValueError: the state_dict does not fit the model:
      the model needs, and the state_dict lacks: conv1.weight, bn1.weight, ...
      the state_dict has, and the model does not: head.bias
      ...
    """
    names = dict(_torch_names(model))
    state = nnx.to_flat_state(nnx.state(model, (nnx.Param, nnx.BatchStat)))
    variables = {path: variable for path, variable in state if path in names}
    given = {name: value for name, value in state_dict.items() if not name.endswith("num_batches_tracked")}
    wanted = {names[path]: _torch_shape(path, variables[path].shape) for path in names}
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    shapes = [
        f"{name} is {tuple(given[name].shape)}, the model's {wanted[name]}"
        for name in wanted
        if name in given and tuple(given[name].shape) != wanted[name]
    ]
    if missing or unexpected or shapes:
        lines = ["the state_dict does not fit the model:"]
        if missing:
            lines.append(f"  the model needs, and the state_dict lacks: {', '.join(missing)}")
        if unexpected:
            lines.append(f"  the state_dict has, and the model does not: {', '.join(unexpected)}")
        if shapes:
            lines.append(f"  shapes differ: {'; '.join(shapes)}")
        lines.append("create the model with the architecture, the classes and the stem of the state_dict")
        raise ValueError("\n".join(lines))
    loaded: Any = {path: variables[path].replace(jnp.asarray(_ours(path, given[name]))) for path, name in names.items()}
    nnx.update(model, nnx.from_flat_state(loaded))


def _torch_names(model: Classifier) -> Iterator[tuple[Path, str]]:
    """Path of each parameter and statistic in our model, and torchvision's name of it, in torchvision's order."""
    if isinstance(model, ResNet):
        yield from _unit_names(("stem",), "conv1", "bn1")
        for s, stage in enumerate(model.stages):
            for b, block in enumerate(stage):
                ours, theirs = ("stages", s, b), f"layer{s + 1}.{b}"
                for u in range(len(block.units)):
                    yield from _unit_names((*ours, "units", u), f"{theirs}.conv{u + 1}", f"{theirs}.bn{u + 1}")
                if isinstance(block.shortcut, ConvNorm):
                    yield from _unit_names((*ours, "shortcut"), f"{theirs}.downsample.0", f"{theirs}.downsample.1")
        yield from _head_names("fc")
    elif isinstance(model, MobileNetV2):
        yield from _unit_names(("stem",), "features.0.0", "features.0.1")
        for b, block in enumerate(model.blocks):
            theirs, last = f"features.{b + 1}.conv", len(block.units) - 1
            for u in range(last):
                yield from _unit_names(("blocks", b, "units", u), f"{theirs}.{u}.0", f"{theirs}.{u}.1")
            # The projection has no activation, and torchvision puts its two layers beside the other units.
            yield from _unit_names(("blocks", b, "units", last), f"{theirs}.{last}", f"{theirs}.{last + 1}")
        final = len(model.blocks) + 1
        yield from _unit_names(("last",), f"features.{final}.0", f"features.{final}.1")
        yield from _head_names("classifier.1")
    else:
        raise TypeError(
            f"torchvision has no layout for {type(model).__name__}; `load_torch_state_dict` takes ResNet (resnet18, "
            "resnet50) and MobileNetV2 (mobilenet_v2)"
        )


def _unit_names(ours: Path, conv: str, norm: str) -> Iterator[tuple[Path, str]]:
    yield (*ours, "conv", "kernel"), f"{conv}.weight"
    for name, theirs in _NORM.items():
        yield (*ours, "norm", name), f"{norm}.{theirs}"


def _head_names(theirs: str) -> Iterator[tuple[Path, str]]:
    yield ("head", "kernel"), f"{theirs}.weight"
    yield ("head", "bias"), f"{theirs}.bias"


def _torch_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    if path[-1] != "kernel":
        return tuple(shape)
    *space, inputs, outputs = shape
    return (outputs, inputs, *space)


def _ours(path: Path, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor; PyTorch itself need not be importable here
        value = value.detach().cpu().float().numpy()
    array = np.array(value, np.float32)  # a copy: JAX may keep the memory it is given
    if path[-1] != "kernel":
        return array
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
