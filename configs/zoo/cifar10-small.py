"""A small zoo on CIFAR-10, for two CPU cores: one victim, three models that have nothing to do with it, every kind of reuse.

Command:   zest zoo build configs/zoo/cifar10-small.py --out zoo/
Data:      CIFAR-10 by its TFDS name
Models:    ResNet20, 3 epochs of the recipe `fast-cifar` (the first four fifths of the steps on images of half the size)
Hardware:  2 CPU cores; the time it took, and on which, is in the result
Expected:  victim 76 +- 1%; copies within 6 points of it and nearer to it than the independent models (paper, Table 1)
Result:    benchmarks/results/zoo/cifar10-small
"""

import dataclasses

from zest_jax import zoo as z
from zest_jax.models import ModelConfig
from zest_jax.training import recipe

RESNET20 = ModelConfig(name="resnet20", num_classes=10)
SHORT = dataclasses.replace(recipe("fast-cifar"), epochs=3, progressive=((0.8, 0.5),))
CIFAR10 = z.Data(source="cifar10")
# Whoever reuses a model has less data than its owner.
TENTH = z.Data(source="cifar10", share=0.1, seed=1)
ANIMALS = z.Data(source="cifar10", classes=("bird", "cat", "deer", "dog", "frog"), share=0.2, seed=2)
ONE_MORE_EPOCH = dataclasses.replace(recipe("fine-tune"), epochs=1)
FORGOTTEN = tuple(range(16))

zoo = z.Zoo(
    name="cifar10-small",
    models=(
        z.Train(name="victim", model=RESNET20, data=CIFAR10, recipe=SHORT, seed=0, save_every=1, record=FORGOTTEN),
        *(z.Train(name=f"unrelated-{i}", model=RESNET20, data=CIFAR10, recipe=SHORT, seed=i) for i in (1, 2, 3)),
        z.Extract(name="extracted-labels", of="victim", data=CIFAR10, recipe=SHORT, seed=10),
        z.Distill(name="distilled", of="victim", data=CIFAR10, recipe=SHORT, seed=11),
        z.Unlearn(
            name="unlearned-exact",
            of="victim",
            data=CIFAR10,
            recipe=SHORT,
            seed=12,
            method="exact",
            rows=FORGOTTEN,
        ),
        z.Sisa(name="sisa", model=RESNET20, data=z.Data(source="cifar10", share=0.3), recipe=SHORT, seed=13, shards=2),
        z.UnlearnSisa(
            name="unlearned-sisa",
            of="sisa",
            data=z.Data(source="cifar10", share=0.3),
            rows=(0,),
        ),
        *(
            z.Transfer(
                name=f"transferred-{share}", of="victim", data=ANIMALS, share=share, recipe=ONE_MORE_EPOCH, seed=14
            )
            for share in (10, 50, 100)
        ),
        z.Transfer(
            name="fine-tuned", of="victim", data=TENTH, share=100, keep_head=True, recipe=ONE_MORE_EPOCH, seed=15
        ),
        *(
            z.Prune(
                name=f"pruned-{percent}",
                of="victim",
                data=TENTH,
                sparsity=percent / 100,
                recipe=ONE_MORE_EPOCH,
                seed=16,
            )
            for percent in (20, 50, 80)
        ),
        z.Quantize(name="quantized-int8", of="victim", data=CIFAR10),
        z.QuantizeOnnx(name="quantized-onnx", of="victim", data=CIFAR10),
        z.Unlearn(name="unlearned-amnesiac", of="victim", data=CIFAR10, method="amnesiac"),
        z.Permute(name="permuted", of="victim", seed=17),
        z.Noise(name="noisy", of="victim", data=CIFAR10, scale=0.1, seed=18),
        z.Average(name="averaged", of="victim", other="fine-tuned", data=CIFAR10),
    ),
)
