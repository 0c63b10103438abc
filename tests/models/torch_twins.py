"""The models once more, in PyTorch: written from the papers and from torchvision's layout, not from our code.

Images are [N, C, H, W]. Names of parameters and their order are torchvision's where torchvision has the model.
"""

import torch
from torch import nn
from torch.nn import functional as F


class TwinOptionABlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.grows = stride, outputs != inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grows:
            quarter = y.shape[1] // 4
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, quarter, quarter))
        return F.relu(x + y)


class TwinCifarResNet(nn.Module):
    def __init__(self, depth, classes, channels=3):
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[TwinOptionABlock(16, 16, 1) for _ in range(n)])
        self.layer2 = nn.Sequential(TwinOptionABlock(16, 32, 2), *[TwinOptionABlock(32, 32, 1) for _ in range(n - 1)])
        self.layer3 = nn.Sequential(TwinOptionABlock(32, 64, 2), *[TwinOptionABlock(64, 64, 1) for _ in range(n - 1)])
        self.fc = nn.Linear(64, classes)

    def stages(self, x):
        stem = F.relu(self.bn1(self.conv1(x)))
        first = self.layer1(stem)
        second = self.layer2(first)
        return stem, first, second, self.layer3(second)

    def forward(self, x):
        return self.fc(self.stages(x)[-1].mean((2, 3)))


class TwinBasicBlock(nn.Module):
    growth = 1

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample(inputs, width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TwinBottleneck(nn.Module):
    growth = 4

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = downsample(inputs, 4 * width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def downsample(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class TwinResNet(nn.Module):
    def __init__(self, depth, classes, stem, channels=3):
        super().__init__()
        block, counts = {18: (TwinBasicBlock, (2, 2, 2, 2)), 50: (TwinBottleneck, (3, 4, 6, 3))}[depth]
        self.conv1 = nn.Conv2d(channels, 64, *((7, 2, 3) if stem == "imagenet" else (3, 1, 1)), bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        inputs = 64
        for i, (width, count) in enumerate(zip((64, 128, 256, 512), counts), start=1):
            blocks = []
            for j in range(count):
                blocks.append(block(inputs, width, 2 if i > 1 and j == 0 else 1))
                inputs = width * block.growth
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def stages(self, x):
        first = self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x)))))
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)

    def forward(self, x):
        return self.fc(self.stages(x)[-1].mean((2, 3)))


def conv_norm_relu6(inputs, outputs, kernel, stride, groups=1):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class TwinInvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv_norm_relu6(inputs, hidden, 1, 1)] if expansion > 1 else []
        layers += [conv_norm_relu6(hidden, hidden, 3, stride, groups=hidden)]
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class TwinMobileNetV2(nn.Module):
    """At width 1; blocks are written out one by one: expansion, channels, stride with either stem."""

    BLOCKS = """1 16 1 1   6 24 2 1   6 24 1 1   6 32 2 2   6 32 1 1   6 32 1 1   6 64 2 2   6 64 1 1   6 64 1 1   6 64 1 1
                6 96 1 1   6 96 1 1   6 96 1 1   6 160 2 2   6 160 1 1   6 160 1 1   6 320 1 1"""

    def __init__(self, classes, stem, channels=3):
        super().__init__()
        imagenet = stem == "imagenet"
        layers, inputs = [conv_norm_relu6(channels, 32, 3, 2 if imagenet else 1)], 32
        numbers = iter(map(int, self.BLOCKS.split()))
        for expansion, outputs, strided, cifar_stride in zip(numbers, numbers, numbers, numbers):
            layers.append(TwinInvertedResidual(inputs, outputs, strided if imagenet else cifar_stride, expansion))
            inputs = outputs
        self.features = nn.Sequential(*layers, conv_norm_relu6(320, 1280, 1, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(1280, classes))

    def stages(self, x):
        outputs = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in (3, 6, 13, 18):
                outputs.append(x)
        return tuple(outputs)

    def forward(self, x):
        return self.classifier(self.stages(x)[-1].mean((2, 3)))


class TwinLSTM(nn.Module):
    """Every text is cut at its padding and goes through PyTorch's LSTM alone."""

    def __init__(self, classes, vocabulary, embedding, hidden):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, tokens):
        pooled = []
        for text in tokens:
            states, _ = self.lstm(self.embed(text[text != 0])[None])
            pooled.append(torch.cat([states[0].mean(0), states[0].amax(0)]))
        return self.fc(torch.stack(pooled))


class TwinM5(nn.Module):
    def __init__(self, classes, widths=(128, 128, 256, 512)):
        super().__init__()
        a, b, c, d = widths
        self.conv1, self.bn1 = nn.Conv1d(1, a, 80, 4, 38, bias=False), nn.BatchNorm1d(a)
        self.conv2, self.bn2 = nn.Conv1d(a, b, 3, 1, 1, bias=False), nn.BatchNorm1d(b)
        self.conv3, self.bn3 = nn.Conv1d(b, c, 3, 1, 1, bias=False), nn.BatchNorm1d(c)
        self.conv4, self.bn4 = nn.Conv1d(c, d, 3, 1, 1, bias=False), nn.BatchNorm1d(d)
        self.pool = nn.MaxPool1d(4, ceil_mode=True)
        self.fc = nn.Linear(d, classes)

    def stages(self, x):
        x = x[:, None]
        outputs = []
        for conv, norm in (
            (self.conv1, self.bn1),
            (self.conv2, self.bn2),
            (self.conv3, self.bn3),
            (self.conv4, self.bn4),
        ):
            x = self.pool(F.relu(norm(conv(x))))
            outputs.append(x)
        return tuple(outputs)

    def forward(self, x):
        return self.fc(self.stages(x)[-1].mean(-1))


def with_random_statistics(twin, seed=0):
    """Give BatchNorm scales, shifts and running statistics that are not those of a fresh layer, so that all of them count."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in twin.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.weight.uniform_(0.5, 1.0, generator=generator)
                layer.bias.normal_(0, 0.2, generator=generator)
                layer.running_mean.normal_(0, 0.2, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return twin
