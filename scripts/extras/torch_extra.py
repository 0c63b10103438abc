"""`zest_jax[torch]`: a PyTorch model in a file is signed."""

import contextlib
import sys
import zipfile

from zest_jax.cli.main import main

with zipfile.ZipFile("model.pt2", "w") as file:
    file.writestr("archive/data.pkl", b"")
with contextlib.suppress(ImportError):  # where it is missing there is nothing to make the file with
    import torch
    from torch import nn

    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    inputs = (torch.zeros(2, 3, 32, 32),)
    torch.export.save(
        torch.export.export(network, inputs, dynamic_shapes=({0: torch.export.Dim("batch")},)), "model.pt2"
    )

sys.exit(main(["sign", "model.pt2", "--trust", "--probes", "probes.npz", "-o", "model.sig"]))
