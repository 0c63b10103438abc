"""`zest_jax[train]`: a model is trained for an epoch, and its checkpoint signed."""

import sys

import numpy as np

from zest_jax.cli.main import main

rng = np.random.default_rng(0)
labels = np.arange(32) % 2
images = (rng.integers(0, 100, (32, 8, 8, 3)) + 100 * labels[:, None, None, None]).astype(np.uint8)
np.savez("pets.npz", images=images, labels=labels, class_names=np.array(["cat", "dog"]))

train = ["train", "--model", "resnet8", "--recipe", "fast-cifar", "--epochs", "1", "--batch-size", "16"]
grid = ["--segmenter", "grid", "--segmenter-settings", "rows=2,columns=2", "--n-references", "4", "--n-samples", "16"]
sys.exit(
    main([*train, "--data", "pets.npz", "--test", "pets.npz", "-o", "victim"])
    or main(["probes", "pets.npz", "-o", "pets-probes.npz", *grid])
    or main(["sign", "victim", "--probes", "pets-probes.npz", "-o", "victim.sig"])
)
