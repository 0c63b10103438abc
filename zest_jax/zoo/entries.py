"""Kinds of models in a zoo: each entry says from which others it is made, and makes it."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from zest_jax import reuse
from zest_jax.blackbox.files import load_model
from zest_jax.blackbox.recognise import file_identity
from zest_jax.data.datasets import Dataset
from zest_jax.export import export_onnx
from zest_jax.models.registry import ModelConfig
from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo, LineageStep
from zest_jax.training.loop import train
from zest_jax.training.recipes import Recipe, recipe
from zest_jax.zoo.workbench import Data, Workbench


class Made(NamedTuple):
    """A model of a zoo.

    Attributes:
        path: its run folder, or a file.
        info: what is known about it.
        fingerprint: of its weights.
    """

    path: Path
    info: CheckpointInfo
    fingerprint: str


@runtime_checkable
class Entry(Protocol):
    """One model of a zoo: a frozen dataclass with a name.

    Attributes:
        kind: how it is made: "train", "prune", ...
        name: a file name.
        parents: names of the models it is made from.

    >>> isinstance(Noise(name="noisy", of="victim", scale=0.1), Entry)
    True
    """

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """Of the model, a file name."""
        ...

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the models it is made from."""
        ...

    def make(self, bench: Workbench) -> Made:
        """Make it in `bench.folder(name)`, or go on where that was left."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Of:
    """A model made from the one called `of`.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is trained or measured on.
        seed: of everything random.
    """

    name: str
    of: str
    data: Data = dataclasses.field(default_factory=Data)
    seed: int = 0

    @property
    def parents(self) -> tuple[str, ...]:
        return (self.of,)

    def _common(self, bench: Workbench) -> dict[str, Any]:
        return {"folder": bench.folder(self.name), "test": self.data.load_test()}

    def _trained(self, bench: Workbench) -> dict[str, Any]:
        return {**self._common(bench), "seed": self.seed, "progress": bench.progress}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """A model from random weights.

    Attributes:
        name: a file name.
        model: which.
        data: to train on.
        recipe: how.
        seed: of weights, order and augmentation.
        save_every: epochs between checkpoints that stay; 0: only the last.
        record: rows that `Unlearn(method="amnesiac")` is to forget later.

    >>> Train(name="victim", model=ModelConfig(name="resnet20", num_classes=10), recipe=recipe("fast-cifar"), seed=0).parents
    ()
    """

    kind: ClassVar[str] = "train"
    name: str
    model: ModelConfig
    data: Data = dataclasses.field(default_factory=Data)
    recipe: Recipe
    seed: int
    save_every: int = 0
    record: tuple[int, ...] | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """None: its weights are random at first."""
        return ()

    def make(self, bench: Workbench) -> Made:
        """Train it."""
        result = train(
            self.model,
            self.data.load(),
            self.recipe,
            seed=self.seed,
            folder=bench.folder(self.name),
            test=self.data.load_test(),
            record=self.record,
            save_every=self.save_every,
            progress=bench.progress,
        )
        return _made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer(_Of):
    """New classes on the last `share` percent of the parameters; `keep_head` trains on the same classes.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is trained and measured on.
        seed: of everything random.
        share: percentage of the parameter tensors that are trained, counted from the output.
        keep_head: train on the same classes, as `zest_jax.reuse.fine_tune` does.
        recipe: how it is trained.

    >>> Transfer(name="transferred-50", of="victim", data=Data(source="cifar100"), share=50).parents
    ('victim',)
    """

    kind: ClassVar[str] = "transfer"
    share: float = 100.0
    keep_head: bool = False
    recipe: Recipe = dataclasses.field(default_factory=lambda: recipe("fine-tune"))

    def make(self, bench: Workbench) -> Made:
        """Train it further."""
        how = reuse.fine_tune if self.keep_head else reuse.transfer
        victim, data = bench.model(self.of), self.data.load()
        result = how(victim, data, self.recipe, share=self.share, **self._trained(bench))
        return _made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(_Of):
    """A share of the weights at 0, the others trained further.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is trained and measured on.
        seed: of everything random.
        sparsity: share of the convolutions' weights that become 0, in (0, 1).
        recipe: how it is trained.

    >>> Prune(name="pruned-50", of="victim", sparsity=0.5).recipe.name
    'fine-tune'
    """

    kind: ClassVar[str] = "prune"
    sparsity: float
    recipe: Recipe = dataclasses.field(default_factory=lambda: recipe("fine-tune"))

    def make(self, bench: Workbench) -> Made:
        """Prune and train it."""
        made = reuse.prune(
            bench.model(self.of),
            sparsity=self.sparsity,
            data=self.data.load(),
            recipe=self.recipe,
            **self._trained(bench),
        )
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantize(_Of):
    """Weights of 8 bits or fewer.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is measured on.
        seed: decides nothing here.
        bits: of each weight, from 2 to 8.

    >>> [Quantize(name=f"quantized-{bits}", of="victim", bits=bits).name for bits in (8, 4)]
    ['quantized-8', 'quantized-4']
    """

    kind: ClassVar[str] = "quantize"
    bits: int = 8

    def make(self, bench: Workbench) -> Made:
        """Round its weights."""
        return _made(bench, self.name, reuse.quantize(bench.model(self.of), bits=self.bits, **self._common(bench)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeOnnx(_Of):
    """An ONNX file whose weights are int8 and whose activations become so as it runs.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is measured on.
        seed: decides nothing here.

    >>> QuantizeOnnx(name="quantized-onnx", of="victim").kind
    'quantize'
    """

    kind: ClassVar[str] = "quantize"

    def make(self, bench: Workbench) -> Made:
        """Export and quantise it."""
        victim = bench.model(self.of)
        bench.folder(self.name).mkdir(parents=True, exist_ok=True)
        exported, target = bench.folder(self.name) / "float32.onnx", bench.folder(self.name) / "int8.onnx"
        export_onnx(victim, exported)
        reuse.quantize_onnx(exported, target)
        exported.unlink()
        step = LineageStep(kind="quantize", parent=victim.fingerprint, settings={"format": "onnx", "dynamic": True})
        info = dataclasses.replace(
            victim.info,
            accuracy=_accuracy_of_file(target, self.data.load_test()),
            lineage=(*victim.info.lineage, step),
        )
        return Made(target, info, file_identity(target))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(_Of):
    """A student that learns the labels and the features of its teacher's four stages.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is trained and measured on.
        seed: of everything random.
        recipe: how it is trained.
        weight: of the features' distance beside the cross-entropy, above 0.

    >>> Distill(name="distilled", of="victim", recipe=recipe("fast-cifar")).weight
    5.0
    """

    kind: ClassVar[str] = "distill"
    recipe: Recipe
    weight: float = 5.0

    def make(self, bench: Workbench) -> Made:
        """Train the student."""
        result = reuse.distill(
            bench.model(self.of), self.data.load(), self.recipe, weight=self.weight, **self._trained(bench)
        )
        return _made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extract(_Of):
    """A copy trained on the victim's answers.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: the queries, and what it is measured on.
        seed: of everything random.
        recipe: how it is trained.
        answers: what the victim gives: its highest class, softmax probabilities, or logits.
        model: the copy; None: the victim's architecture.
        adversarial_rounds: of moved queries, see `zest_jax.reuse.extract`.

    >>> Extract(name="stolen", of="victim", recipe=recipe("fast-cifar"), answers="probabilities").parents
    ('victim',)
    """

    kind: ClassVar[str] = "extract"
    recipe: Recipe
    answers: Literal["labels", "probabilities", "logits"] = "labels"
    model: ModelConfig | None = None
    adversarial_rounds: int = 0

    def make(self, bench: Workbench) -> Made:
        """Ask the victim, and train the copy."""
        result = reuse.extract(
            bench.model(self.of),
            self.data.load(),
            self.recipe,
            answers=self.answers,
            config=self.model,
            adversarial_rounds=self.adversarial_rounds,
            **self._trained(bench),
        )
        return _made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unlearn(_Of):
    """A model that forgets rows of its training data.

    "exact" trains anew without them; "amnesiac" subtracts the updates that the victim recorded, of these rows if any are given.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is trained and measured on.
        seed: of everything random.
        method: "exact" or "amnesiac".
        rows: what is forgotten.
        recipe: how it is trained, if it is.

    Raises:
        ValueError: when made, if a `recipe` is needed and missing.

    >>> Unlearn(name="unlearned", of="victim", method="exact", rows=(0, 1, 2), recipe=recipe("fast-cifar")).rows
    (0, 1, 2)
    """

    kind: ClassVar[str] = "unlearn"
    method: Literal["exact", "amnesiac"]
    rows: tuple[int, ...] = ()
    recipe: Recipe | None = None

    def make(self, bench: Workbench) -> Made:
        """Forget the rows."""
        if self.method == "amnesiac":
            bench.model(self.of)
            rows = self.rows or None
            made = reuse.unlearn_amnesiac(bench.folder(self.of), rows=rows, **self._common(bench))
            return _made(bench, self.name, made)
        if self.recipe is None:
            raise ValueError(f"{self.name} unlearns by training anew, which needs a `recipe`")
        result = reuse.unlearn_exact(
            bench.model(self.of), self.data.load(), self.rows, self.recipe, **self._trained(bench)
        )
        return _made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sisa:
    """An ensemble of models trained on disjoint shards, which can forget a row cheaply (Bourtoule et al. 2021).

    Attributes:
        name: a file name.
        model: which, of each member.
        data: to train on.
        recipe: how, of each member.
        seed: of the shards and members.
        shards: how many members there are, at least 2.

    >>> model = ModelConfig(name="resnet20", num_classes=10)
    >>> Sisa(name="sisa", model=model, recipe=recipe("fast-cifar"), seed=0, shards=4).shards
    4
    """

    kind: ClassVar[str] = "train"
    name: str
    model: ModelConfig
    data: Data = dataclasses.field(default_factory=Data)
    recipe: Recipe
    seed: int
    shards: int = 2

    @property
    def parents(self) -> tuple[str, ...]:
        """None: the weights of its members are random at first."""
        return ()

    def make(self, bench: Workbench) -> Made:
        """Train its members."""
        made = reuse.train_sisa(
            self.model,
            self.data.load(),
            self.recipe,
            shards=self.shards,
            seed=self.seed,
            folder=bench.folder(self.name),
            test=self.data.load_test(),
            progress=bench.progress,
        )
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlearnSisa(_Of):
    """An ensemble of shards of which those that held the rows are trained anew.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: as the ensemble was trained on.
        seed: decides nothing here.
        rows: what is forgotten.

    >>> UnlearnSisa(name="unlearned-sisa", of="sisa", rows=(0, 1, 2)).parents
    ('sisa',)
    """

    kind: ClassVar[str] = "unlearn"
    rows: tuple[int, ...]

    def make(self, bench: Workbench) -> Made:
        """Train the shards that held the rows anew."""
        made = reuse.unlearn_sisa(
            bench.folder(self.of),
            self.data.load(),
            self.rows,
            folder=bench.folder(self.name),
            test=self.data.load_test(),
            progress=bench.progress,
        )
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Permute(_Of):
    """The same model with its classes in another order.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: decides nothing here.
        seed: of the order of the classes.

    >>> Permute(name="permuted", of="victim", seed=3).kind
    'permute'
    """

    kind: ClassVar[str] = "permute"

    def make(self, bench: Workbench) -> Made:
        """Reorder its outputs."""
        made = reuse.permute_labels(bench.model(self.of), seed=self.seed, folder=bench.folder(self.name))
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(_Of):
    """The same model with noise on its weights.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is measured on.
        seed: of the noise.
        scale: of the noise, in standard deviations of each kernel, above 0.

    >>> Noise(name="noisy", of="victim", scale=0.1).kind
    'noise'
    """

    kind: ClassVar[str] = "noise"
    scale: float

    def make(self, bench: Workbench) -> Made:
        """Add the noise."""
        made = reuse.add_noise(bench.model(self.of), scale=self.scale, seed=self.seed, **self._common(bench))
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Average(_Of):
    """The average of the weights of two models.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is measured on.
        seed: decides nothing here.
        other: name of the second model.
        weight: of the second model, in (0, 1).

    >>> Average(name="averaged", of="victim", other="pruned-20").parents
    ('victim', 'pruned-20')
    """

    kind: ClassVar[str] = "average"
    other: str
    weight: float = 0.5

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the two models."""
        return (self.of, self.other)

    def make(self, bench: Workbench) -> Made:
        """Average the weights."""
        made = reuse.average(bench.model(self.of), bench.model(self.other), weight=self.weight, **self._common(bench))
        return _made(bench, self.name, made)


def _made(bench: Workbench, name: str, checkpoint: Checkpoint) -> Made:
    return Made(bench.folder(name), checkpoint.info, checkpoint.fingerprint)


def _accuracy_of_file(path: Path, test: Dataset | None) -> float | None:
    if test is None:
        return None
    box = load_model(path)
    images = test.inputs.astype(np.float32) / 255
    answers = np.concatenate([np.asarray(box(images[i : i + 500])) for i in range(0, len(images), 500)])
    return float((answers.argmax(-1) == test.labels).mean())
