"""The models that several figures compare, and their signatures: trained and signed once, whichever figure comes first."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

import zest_jax as zest
from benchmarks.paper.experiment import Line, Pieces, Preset
from zest_jax.data import Dataset, known_dataset, load_dataset
from zest_jax.models import ModelConfig
from zest_jax.reuse import extract
from zest_jax.training import Checkpoint, Recipe, load_checkpoint, recipe, train
from zest_jax.training.checkpoints import epoch_folder

Answers = Literal["labels", "probabilities"]


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

    def sizes(self) -> dict[str, str]:
        """What a reader must know of it, by what it is the size of."""
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        kind = "" if self.recipe.dtype == "float32" else f", {self.recipe.dtype}"
        rows = "all" if self.limit is None else f"the first {self.limit:,}"
        return {
            "models": self.model + options,
            "data": f"`{self.data}`, {rows} training data",
            "epochs": f"{self.epochs} (recipe `{self.recipe.name}`, batches of {self.recipe.batch_size}{kind})",
            "seeds": str(len(self.seeds)),
        }

    def read(self, split: str = "train") -> Dataset:
        """Its data."""
        if split == "train":
            return load_dataset(self.data, limit=self.limit, rate=self.rate)
        return load_dataset(self.data, split=known_dataset(self.data).test, limit=self.test_limit, rate=self.rate)

    def folder(self, pieces: Pieces, seed: int) -> pathlib.Path:
        """Where the run of a seed lies."""
        return self.home(pieces, self.name) / f"seed-{seed}"

    def home(self, pieces: Pieces, name: str) -> pathlib.Path:
        """Folder of its models, or of others made by its settings; more seeds change none."""
        return pieces.home(name, dataclasses.replace(self, seeds=()))

    def checkpoint(self, pieces: Pieces, seed: int, epoch: int) -> pathlib.Path:
        """Where an epoch of it lies."""
        return epoch_folder(self.folder(pieces, seed), epoch)

    def folder_of_copy(self, pieces: Pieces, answers: Answers, seed: int) -> pathlib.Path:
        """Where the copy of a seed's last model lies."""
        kind = "copies" if answers == "labels" else f"copies-{answers}"
        return self.home(pieces, f"{self.name}-{kind}") / f"of-seed-{seed}"

    def recorded(self, data: Dataset, seed: int) -> list[int] | None:
        """Rows whose updates are recorded while a seed is trained."""
        return None

    def train(self, pieces: Pieces, data: Dataset) -> None:
        """Train the seeds that are not trained yet, or go on with them; their accuracies become a piece.

        What was measured on other models is forgotten.
        """
        test = self.read("test")
        pieces.train_ahead(
            {
                self.checkpoint(pieces, seed, self.epochs): functools.partial(trained, self, pieces, data, test, seed)
                for seed in self.seeds
            }
        )
        made = [trained(self, pieces, data, test, seed) for seed in self.seeds]
        pieces.measured_on([checkpoint.fingerprint for checkpoint in made], of=self.name)
        pieces.do(
            lambda: {"accuracy": [float((c.outputs(test.inputs).argmax(1) == test.labels).mean()) for c in made]},
            what="accuracy",
            of=self.name,
        )

    def signatures(
        self, pieces: Pieces, probes: zest.ProbeSet, models: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], zest.Signature]:
        """Signatures by (seed, epoch)."""
        found = signatures(pieces, probes, [self.checkpoint(pieces, *model) for model in models])
        return dict(zip(models, found, strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forgetful(Training):
    """Models each of which could forget some of its training data, so that unlearning needs no trainings of its own.

    Those fill batches of their own in every epoch, whose updates are recorded beside the training.

    Attributes:
        forgets: how many each seed could forget.
    """

    forgets: int

    def sizes(self) -> dict[str, str]:
        return super().sizes() | {
            "points whose updates are recorded, for Figure 6": f"{self.forgets} for each seed, in batches of their own"
        }

    def recorded(self, data: Dataset, seed: int) -> list[int]:
        return to_forget(data, self.seeds, self.forgets)[seed]


def to_forget(data: Dataset, seeds: Sequence[int], count: int) -> dict[int, list[int]]:
    """Rows that the model of each seed is to forget; no row twice."""
    order = np.random.default_rng(0).permutation(len(data))
    return {seed: order[i * count : (i + 1) * count].tolist() for i, seed in enumerate(seeds)}


def trained(
    training: Training,
    pieces: Pieces,
    data: Dataset,
    test: Dataset,
    seed: int,
    *,
    record: Sequence[int] | None = None,
    save_every: int = 1,
) -> Checkpoint:
    """The last model of a seed, which is trained unless it is there.

    Args:
        record: rows whose updates are recorded, in batches of their own; None: what the training says.
        save_every: epochs between those that are kept.
    """
    pieces.check_time()
    recorded = training.recorded(data, seed) if record is None else record
    return train(
        ModelConfig(name=training.model, num_classes=data.num_classes, options=dict(training.options)),
        data,
        training.recipe,
        seed=seed,
        folder=training.folder(pieces, seed),
        test=test,
        record=recorded,
        record_together=recorded is not None,
        save_every=save_every,
        progress=True,
    ).checkpoint


def base(preset: Preset) -> Training:
    """The models of Figures 2, 3, 5, 7, 8, 9 and of section 4.3: in `paper` ResNet20 on CIFAR-10, for Figure 6, too."""
    paper = recipe("paper-cifar10")
    if preset == "paper":
        # bfloat16 is faster on a GPU; weights are float32, and models are asked in float32.
        quick = dataclasses.replace(paper, dtype="bfloat16")
        return Forgetful(name="shared", recipe=quick, seeds=(0, 1, 2, 3, 4), forgets=128)
    narrow = dataclasses.replace(paper, batch_size=64)
    if preset == "small":
        return Training(
            limit=1500,
            test_limit=4000,
            model="resnet8",
            options={"width": 0.5},
            recipe=narrow.lasting(80),
            seeds=(0, 1, 2),
        )
    return Forgetful(
        name="shared",
        limit=128,
        test_limit=64,
        model="resnet8",
        options={"width": 0.25},
        recipe=narrow.lasting(8),
        seeds=(0, 1),
        forgets=4,
    )


def copy_of(training: Training, pieces: Pieces, data: Dataset, answers: Answers, seed: int) -> Line:
    """Train a copy of a seed's last model on its answers to the training inputs, every epoch kept, unless it is there."""
    victim = load_checkpoint(training.checkpoint(pieces, seed, training.epochs))
    made = extract(
        victim,
        data,
        training.recipe,
        answers=answers,
        seed=1000 + seed,
        folder=training.folder_of_copy(pieces, answers, seed),
        test=training.read("test"),
        save_every=1,
        progress=True,
    )
    return {"accuracy": made.checkpoint.info.accuracy}


def signatures(
    pieces: Pieces, probes: zest.ProbeSet, models: Sequence[pathlib.Path], *, at_once: int = 32
) -> list[zest.Signature]:
    """Signatures of checkpoints, from files where the same weights were signed before.

    Args:
        pieces: names the folder, and tells when time is over.
        probes: what they are asked.
        models: checkpoints, or runs for their last one.
        at_once: models signed in one pass.
    """
    folder = pieces.models / "signatures" / probes.hash[:16]
    folder.mkdir(parents=True, exist_ok=True)
    boxes = [zest.from_checkpoint(model) for model in models]
    files = [folder / f"{box.settings['file_sha256']}.sig" for box in boxes]
    missing = {file: box for file, box in zip(files, boxes, strict=True) if not file.exists()}
    for start in range(0, len(missing), at_once):
        pieces.check_time()
        part = list(missing.items())[start : start + at_once]
        made = zest.sign_many([box for _, box in part], probes, progress=True)
        for (file, _), signature in zip(part, made, strict=True):
            signature.save(file)
    return [zest.Signature.load(file) for file in files]
