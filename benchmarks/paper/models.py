"""The models that several figures compare, and their signatures: trained and signed once, whichever figure comes first."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import zest_jax as zest
from benchmarks.paper.experiment import Pieces, Preset
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.cli.console import note
from zest_jax.data import Dataset, known_dataset, load_dataset
from zest_jax.models import ModelConfig
from zest_jax.training import Recipe, recipe, train
from zest_jax.training.checkpoints import epoch_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """The same model trained from several seeds, every epoch kept.

    Attributes:
        name: of its folder.
        data: TFDS name.
        rate: of sounds, in Hz.
        limit: of training data, the first ones; None for all.
        test_limit: of the test data.
        model: name in the registry.
        options: of the model.
        recipe: how it is trained.
        seeds: two models of different seeds are unrelated.
    """

    name: str = "base"
    data: str = "cifar10"
    rate: int | None = None
    limit: int | None = None
    test_limit: int | None = None
    model: str = "resnet20"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recipe: Recipe
    seeds: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """How many are trained."""
        return self.recipe.epochs

    def read(self, split: str = "train") -> Dataset:
        """Its data."""
        if split == "train":
            return load_dataset(self.data, limit=self.limit, rate=self.rate)
        return load_dataset(self.data, split=known_dataset(self.data).test, limit=self.test_limit, rate=self.rate)

    def folder(self, pieces: Pieces, seed: int) -> pathlib.Path:
        """Where the run of a seed lies."""
        return (pieces.models / self.name / f"seed-{seed}").absolute()

    def checkpoint(self, pieces: Pieces, seed: int, epoch: int) -> pathlib.Path:
        """Where an epoch of it lies."""
        return epoch_folder(self.folder(pieces, seed), epoch)

    def train(self, pieces: Pieces, data: Dataset) -> list[float]:
        """Train the seeds that are not trained yet, or go on with them; returns the accuracy of each on the test data."""
        config = ModelConfig(name=self.model, num_classes=data.num_classes, options=dict(self.options))
        test = self.read("test")
        found = []
        for seed in self.seeds:
            pieces.check_time()
            made = train(
                config,
                data,
                self.recipe,
                seed=seed,
                folder=self.folder(pieces, seed),
                test=test,
                save_every=1,
                progress=True,
            )
            assert made.checkpoint.info.accuracy is not None
            found.append(made.checkpoint.info.accuracy)
            note(f"{self.name}, seed {seed}: accuracy {found[-1]:.2%}")
        return found


def base(preset: Preset) -> Training:
    """The models of Figures 2, 3, 5, 7, 8, 9 and of section 4.3: ResNet20 on CIFAR-10 in `paper`."""
    paper = recipe("paper-cifar10")
    if preset == "paper":
        return Training(recipe=paper, seeds=(0, 1, 2, 3, 4))
    narrow = dataclasses.replace(paper, batch_size=64)
    if preset == "small":
        return Training(
            limit=1500,
            test_limit=1000,
            model="resnet8",
            options={"width": 0.5},
            recipe=narrow.lasting(60),
            seeds=(0, 1, 2),
        )
    return Training(
        limit=128, test_limit=64, model="resnet8", options={"width": 0.25}, recipe=narrow.lasting(8), seeds=(0, 1)
    )


def signatures(
    pieces: Pieces, probes: zest.ProbeSet, models: Mapping[str, pathlib.Path | BlackBox], *, at_once: int = 32
) -> dict[str, zest.Signature]:
    """Signatures of models by name, from files where they were signed before.

    Args:
        pieces: names the folder, and tells when time is over.
        probes: what they are asked.
        models: checkpoints or black boxes, by names that are unique in the folder of models.
        at_once: models signed in one pass.
    """
    folder = pieces.models / "signatures" / probes.hash[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.sig" for name in models}
    missing = [name for name in models if not files[name].exists()]
    for start in range(0, len(missing), at_once):
        pieces.check_time()
        names = missing[start : start + at_once]
        boxes = [_box(models[name], name) for name in names]
        for name, signature in zip(names, zest.sign_many(boxes, probes, progress=True), strict=True):
            signature.save(files[name])
    return {name: zest.Signature.load(file) for name, file in files.items()}


def _box(model: pathlib.Path | BlackBox, name: str) -> BlackBox:
    return model if isinstance(model, BlackBox) else zest.from_checkpoint(model, label=name)


def pairs(values: Sequence[Any]) -> list[tuple[Any, Any]]:
    """All unordered pairs of different ones.

    >>> pairs("abc")
    [('a', 'b'), ('a', 'c'), ('b', 'c')]
    """
    return [(a, b) for i, a in enumerate(values) for b in values[i + 1 :]]
