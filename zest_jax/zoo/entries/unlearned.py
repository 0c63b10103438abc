"""Models that forget rows of their training data, and ensembles that make that cheap."""

import dataclasses
from typing import ClassVar, Literal

from zest_jax import reuse
from zest_jax.models.registry import ModelConfig
from zest_jax.training.recipes import Recipe
from zest_jax.zoo.entries.base import Made, Of, as_made
from zest_jax.zoo.workbench import Data, Workbench


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unlearn(Of):
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

    >>> from zest_jax.training import recipe
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
            made = reuse.unlearn_amnesiac(bench.folder(self.of), rows=rows, **self.common(bench))
            return as_made(bench, self.name, made)
        if self.recipe is None:
            raise ValueError(f"{self.name} unlearns by training anew, which needs a `recipe`")
        result = reuse.unlearn_exact(
            bench.model(self.of), self.data.load(), self.rows, self.recipe, **self.trained(bench)
        )
        return as_made(bench, self.name, result.checkpoint)


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

    >>> from zest_jax.training import recipe
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
        return as_made(bench, self.name, made)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlearnSisa(Of):
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
        return as_made(bench, self.name, made)
