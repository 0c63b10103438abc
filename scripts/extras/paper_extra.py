"""`zest_jax[paper]`: the digits of the paper's stand-ins are read, and a model is trained on some of them."""

import dataclasses
import sys

sys.path.insert(0, sys.argv[1])
from benchmarks.paper.reuse_zoo import digits

data = digits("test")

from zest_jax.models import ModelConfig
from zest_jax.training import recipe, train

few = dataclasses.replace(data, inputs=data.inputs[:64], labels=data.labels[:64])
brief = dataclasses.replace(recipe("fast-cifar"), epochs=1, batch_size=32)
assert train(ModelConfig(name="resnet8", num_classes=10), few, brief, seed=0).checkpoint.info.epoch == 1
