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
    """One model of a zoo: a frozen dataclass with a name."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

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
    """New classes on the last `share` percent of the parameters; `keep_head` trains on the same classes."""

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
    """A share of the weights at 0, the others trained further."""

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
    """Weights of 8 bits or fewer."""

    kind: ClassVar[str] = "quantize"
    bits: int = 8

    def make(self, bench: Workbench) -> Made:
        """Round its weights."""
        return _made(bench, self.name, reuse.quantize(bench.model(self.of), bits=self.bits, **self._common(bench)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeOnnx(_Of):
    """An ONNX file whose weights are int8 and whose activations become so as it runs."""

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
    """A student that learns the labels and the features of its teacher's four stages."""

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
    """A copy trained on the victim's answers."""

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
    """An ensemble of models trained on disjoint shards, which can forget a row cheaply (Bourtoule et al. 2021)."""

    kind: ClassVar[str] = "train"
    name: str
    model: ModelConfig
    data: Data = dataclasses.field(default_factory=Data)
    recipe: Recipe
    seed: int
    shards: int = 2

    @property
    def parents(self) -> tuple[str, ...]:
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
    """An ensemble of shards of which those that held the rows are trained anew."""

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
    """The same model with its classes in another order."""

    kind: ClassVar[str] = "permute"

    def make(self, bench: Workbench) -> Made:
        """Reorder its outputs."""
        made = reuse.permute_labels(bench.model(self.of), seed=self.seed, folder=bench.folder(self.name))
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(_Of):
    """The same model with noise on its weights."""

    kind: ClassVar[str] = "noise"
    scale: float

    def make(self, bench: Workbench) -> Made:
        """Add the noise."""
        made = reuse.add_noise(bench.model(self.of), scale=self.scale, seed=self.seed, **self._common(bench))
        return _made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Average(_Of):
    """The average of the weights of two models."""

    kind: ClassVar[str] = "average"
    other: str
    weight: float = 0.5

    @property
    def parents(self) -> tuple[str, ...]:
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
