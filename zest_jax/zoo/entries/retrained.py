"""Models made from another one by training: transferred, pruned, distilled, extracted."""

import dataclasses
from typing import ClassVar, Literal

from zest_jax import reuse
from zest_jax.models.registry import ModelConfig
from zest_jax.training.recipes import Recipe, recipe
from zest_jax.zoo.entries.base import Made, Of, as_made
from zest_jax.zoo.workbench import Workbench


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer(Of):
    """New classes on the last `share` percent of the parameters; `keep_head` trains on the same classes.

    Attributes:
        name: of the new model, a file name.
        of: name of the model that it is made from.
        data: what it is trained and measured on.
        seed: of everything random.
        share: percentage of the parameter tensors that are trained, counted from the output.
        keep_head: train on the same classes, as `zest_jax.reuse.fine_tune` does.
        recipe: how it is trained.

    >>> from zest_jax.zoo import Data
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
        result = how(victim, data, self.recipe, share=self.share, **self.trained(bench))
        return as_made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(Of):
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
            **self.trained(bench),
        )
        return as_made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(Of):
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
            bench.model(self.of), self.data.load(), self.recipe, weight=self.weight, **self.trained(bench)
        )
        return as_made(bench, self.name, result.checkpoint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extract(Of):
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
            **self.trained(bench),
        )
        return as_made(bench, self.name, result.checkpoint)
