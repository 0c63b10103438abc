"""`zest_jax[export]`: a checkpoint is written as an ONNX file, and signed from there."""

import contextlib
import sys
from pathlib import Path

from zest_jax.cli.main import main

Path("victim").mkdir()
with contextlib.suppress(ImportError):  # where it is missing there is nothing to make the checkpoint with
    from zest_jax.models.registry import ModelConfig
    from zest_jax.training import Checkpoint, CheckpointInfo, save_checkpoint

    config = ModelConfig(name="resnet8", num_classes=4)
    info = CheckpointInfo(model=config, input_shape=(32, 32, 3), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), epoch=1)
    save_checkpoint(Path("victim"), Checkpoint(config.build(seed=1), info))

sys.exit(
    main(["export", "victim", "--to", "onnx", "-o", "exported.onnx"])
    or main(["sign", "exported.onnx", "--probes", "probes.npz", "-o", "exported.sig"])
)
