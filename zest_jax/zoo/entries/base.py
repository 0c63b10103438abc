"""What every kind of model in a zoo has: a name, its parents, and how it is made."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo
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

    >>> from zest_jax.zoo import Noise
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
class Of:
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

    def common(self, bench: Workbench) -> dict[str, Any]:
        """Arguments of every function of `zest_jax.reuse`."""
        return {"folder": bench.folder(self.name), "test": self.data.load_test()}

    def trained(self, bench: Workbench) -> dict[str, Any]:
        """Arguments of those that train."""
        return {**self.common(bench), "seed": self.seed, "progress": bench.progress}


def as_made(bench: Workbench, name: str, checkpoint: Checkpoint) -> Made:
    """What a checkpoint of the model's folder tells of it."""
    return Made(bench.folder(name), checkpoint.info, checkpoint.fingerprint)
