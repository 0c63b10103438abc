"""A model from random weights."""

import dataclasses
from typing import ClassVar

from zest_jax.models.registry import ModelConfig
from zest_jax.training.loop import train
from zest_jax.training.recipes import Recipe
from zest_jax.zoo.entries.base import Made, as_made
from zest_jax.zoo.workbench import Data, Workbench


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

    >>> from zest_jax.training import recipe
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
        return as_made(bench, self.name, result.checkpoint)
