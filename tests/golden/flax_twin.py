"""The golden ONNX models as Flax NNX modules: same weights, same answers."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from flax import nnx
from onnx import numpy_helper

WIDTHS = (16, 32, 64)
BLOCKS_PER_STAGE = 3


class Block(nnx.Module):
    """Two 3x3 convolutions, batch normalisation folded in, and a shortcut without weights (option A of ResNet)."""

    def __init__(self, channels_in: int, channels: int, stride: int, *, rngs: nnx.Rngs) -> None:
        self.conv1 = _conv(channels_in, channels, stride, rngs)
        self.conv2 = _conv(channels, channels, 1, rngs)
        self.stride = stride
        self.missing = channels - channels_in

    def __call__(self, x: jax.Array) -> jax.Array:
        shortcut = x[:, :: self.stride, :: self.stride]
        if self.missing:
            half = self.missing // 2
            shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (half, self.missing - half)))
        return nnx.relu(self.conv2(nnx.relu(self.conv1(x))) + shortcut)


class ResNet20(nnx.Module):
    """Inputs [batch, 32, 32, 3], normalised; returns logits [batch, classes]."""

    def __init__(self, classes: int = 10, *, rngs: nnx.Rngs) -> None:
        self.stem = _conv(3, WIDTHS[0], 1, rngs)
        blocks, channels_in = [], WIDTHS[0]
        for channels in WIDTHS:
            for position in range(BLOCKS_PER_STAGE):
                stride = 2 if position == 0 and channels != WIDTHS[0] else 1
                blocks.append(Block(channels_in, channels, stride, rngs=rngs))
                channels_in = channels
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(WIDTHS[-1], classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))

    def convolutions(self) -> list[nnx.Conv]:
        """All convolutions, in the order in which they are applied."""
        return [self.stem, *(conv for block in self.blocks for conv in (block.conv1, block.conv2))]


def flax_twin(path: str | os.PathLike[str]) -> ResNet20:
    """Return the ONNX ResNet20 at `path` as an NNX module for inputs in NHWC."""
    convolutions, (head_weight, head_bias) = onnx_weights(path)
    model = ResNet20(classes=len(head_bias), rngs=nnx.Rngs(0))
    for conv, (weight, bias) in zip(model.convolutions(), convolutions, strict=True):
        conv.kernel[...] = jnp.asarray(weight.transpose(2, 3, 1, 0))  # OIHW -> HWIO
        assert conv.bias is not None
        conv.bias[...] = jnp.asarray(bias)
    model.head.kernel[...] = jnp.asarray(head_weight.T)
    assert model.head.bias is not None
    model.head.bias[...] = jnp.asarray(head_bias)
    model.eval()
    return model


def onnx_weights(
    path: str | os.PathLike[str],
) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[np.ndarray, np.ndarray]]:
    """Read the (weight, bias) pairs of a graph of convolutions that ends in one Gemm: PyTorch's layouts."""
    graph = onnx.load(Path(path)).graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    pairs = {kind: [] for kind in ("Conv", "Gemm")}
    for node in graph.node:
        if node.op_type in pairs:
            pairs[node.op_type].append((values[node.input[1]], values[node.input[2]]))
    (head,) = pairs["Gemm"]
    return pairs["Conv"], head


def _conv(channels_in: int, channels: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    # Padding of one on every side, as in PyTorch: "SAME" would pad only the end of an even size at stride 2.
    return nnx.Conv(channels_in, channels, (3, 3), strides=stride, padding=((1, 1), (1, 1)), rngs=rngs)
