"""Small CIFAR-10 models and their signatures, from which `benchmarks/speed/screen.py` fills a store.

    python -m benchmarks.speed.screen_models --folder signatures/

Six ResNet8 of half width, each from its own seed, trained for 12 epochs on the first 1,500 training images, and six made from
the first two of them: fine-tuned, pruned, noisy, permuted, extracted from labels. They are signed with N = 128 references,
Quickshift's segments and 64 masks (the authors have 1,000), which is enough for the size of a signature and for families to be
families, not for accurate distances: where a reference has more segments than masks the smallest weights are taken. Files that
are there are kept.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import tyro

import zest_jax as zest
from zest_jax.data import load_dataset
from zest_jax.models import ModelConfig
from zest_jax.reuse import add_noise, extract, fine_tune, permute_labels, prune
from zest_jax.training import Checkpoint, recipe, train

CONFIG = ModelConfig(name="resnet8", num_classes=10, options={"width": 0.5})
SEEDS = tuple(range(6))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Where the signatures go, and what they rest on."""

    folder: pathlib.Path
    """Folder of the .sig files."""
    n_references: int = 128
    """References, random training images."""
    n_samples: int = 64
    """Masks of each."""
    limit: int = 1500
    """Training images."""
    epochs: int = 12
    """Of each victim."""


def main(options: Options) -> list[zest.Signature]:
    options.folder.mkdir(parents=True, exist_ok=True)
    data = load_dataset("cifar10", limit=options.limit)
    probes = zest.image_probes(data.inputs, options.n_references, options.n_samples, seed=0)
    long = dataclasses.replace(recipe("paper-cifar10"), batch_size=64).lasting(options.epochs)
    short = dataclasses.replace(recipe("fine-tune"), epochs=1, batch_size=64)
    victims: dict[int, Checkpoint] = {}

    def victim(seed: int) -> Checkpoint:
        if seed not in victims:
            victims[seed] = train(CONFIG, data, long, seed=seed).checkpoint
        return victims[seed]

    makers: dict[str, Callable[[], Checkpoint]] = {
        **{f"seed-{seed}": (lambda seed=seed: victim(seed)) for seed in SEEDS},
        "seed-0-fine-tuned": lambda: fine_tune(victim(0), data, short, seed=10).checkpoint,
        "seed-0-pruned": lambda: prune(victim(0), sparsity=0.3, data=data, recipe=short, seed=11),
        "seed-0-extracted": lambda: extract(victim(0), data, long, answers="labels", seed=12).checkpoint,
        "seed-1-noisy": lambda: add_noise(victim(1), scale=0.1, seed=13),
        "seed-1-permuted": lambda: permute_labels(victim(1), seed=14),
        "seed-1-fine-tuned": lambda: fine_tune(victim(1), data, short, seed=15).checkpoint,
    }
    signatures = []
    for name, make in makers.items():
        path = options.folder / f"{name}.sig"
        if not path.exists():
            box = zest.from_checkpoint(make(), label=name)
            zest.sign(box, probes, underdetermined="minimum-norm", progress=True).save(path)
            print(path, flush=True)
        signatures.append(zest.Signature.load(path))
    return signatures


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
