"""The golden ONNX models as PyTorch modules: same weights, same answers."""

import os

import torch
from torch import nn
from torch.nn import functional

from tests.golden.flax_twin import BLOCKS_PER_STAGE, WIDTHS, onnx_weights


class Block(nn.Module):
    """Two 3x3 convolutions, batch normalisation folded in, and a shortcut without weights (option A of ResNet)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.stride = stride
        self.missing = channels - channels_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.missing > 0:
            half = self.missing // 2
            shortcut = functional.pad(shortcut, [0, 0, 0, 0, half, self.missing - half])
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + shortcut)


class ResNet20(nn.Module):
    """Inputs [batch, 3, 32, 32], normalised; returns logits [batch, classes]."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, 1, 1)
        blocks, channels_in = [], WIDTHS[0]
        for channels in WIDTHS:
            for position in range(BLOCKS_PER_STAGE):
                stride = 2 if position == 0 and channels != WIDTHS[0] else 1
                blocks.append(Block(channels_in, channels, stride))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(functional.relu(self.stem(x))).mean((2, 3)))


def torch_twin(path: str | os.PathLike[str]) -> ResNet20:
    """Return the ONNX ResNet20 at `path` as a PyTorch module in evaluation mode, for inputs in NCHW."""
    convolutions, head = onnx_weights(path)
    model = ResNet20(classes=len(head[1]))
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    for layer, (weight, bias) in zip([*layers, model.head], [*convolutions, head], strict=True):
        layer.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
    return model.eval()
