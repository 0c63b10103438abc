"""Models made from others without training: quantised, permuted, disturbed, averaged."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np

from zest_jax import reuse
from zest_jax.blackbox.files import load_model
from zest_jax.blackbox.recognise import file_identity
from zest_jax.data.datasets import Dataset
from zest_jax.export import export_onnx
from zest_jax.training.checkpoints import LineageStep
from zest_jax.zoo.entries.base import Made, Of, as_made
from zest_jax.zoo.workbench import Workbench


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantize(Of):
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
        return as_made(bench, self.name, reuse.quantize(bench.model(self.of), bits=self.bits, **self.common(bench)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeOnnx(Of):
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
class Permute(Of):
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
        return as_made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Of):
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
        made = reuse.add_noise(bench.model(self.of), scale=self.scale, seed=self.seed, **self.common(bench))
        return as_made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Average(Of):
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
        made = reuse.average(bench.model(self.of), bench.model(self.other), weight=self.weight, **self.common(bench))
        return as_made(bench, self.name, made)


def _accuracy_of_file(path: Path, test: Dataset | None) -> float | None:
    if test is None:
        return None
    box = load_model(path)
    images = test.inputs.astype(np.float32) / 255
    answers = np.concatenate([np.asarray(box(images[i : i + 500])) for i in range(0, len(images), 500)])
    return float((answers.argmax(-1) == test.labels).mean())
