"""The models of the race: victims, every kind of reuse of each, and models that have nothing to do with them."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.paper.experiment import Pieces
from benchmarks.paper.reuse_zoo import Task
from zest_jax import zoo as z
from zest_jax.models import ModelConfig


class Case(NamedTuple):
    """A victim and a suspect.

    Attributes:
        kind: how the suspect was made, or how it differs.
        related: whether it was made from the victim.
        victim, suspect: names in the zoo.
    """

    kind: str
    related: bool
    victim: str
    suspect: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RaceZoo:
    """Settings of the zoo.

    Attributes:
        name: of its folder.
        model, options: architecture of the victims, and of their copies.
        others: other architectures, by name, with their options.
        task: what victims are trained on: the first half of it.
        second: the same task, its second half.
        target: what they are transferred to.
        victims: seeds.
        shares: of the parameter tensors that a transfer trains, in percent.
        sparsities: of pruned models, in percent.
        pruned: epochs of the task's recipe `tune` after pruning, and of fine-tuning.
        unrelated: how many models of each unrelated kind.
    """

    name: str = "race"
    model: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    others: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    task: Task
    second: Task
    target: Task
    victims: tuple[int, ...] = (0, 1, 2)
    shares: tuple[int, ...] = (10, 100)
    sparsities: tuple[int, ...] = (50, 80)
    pruned: int = 2
    unrelated: int = 2

    def folder(self, pieces: Pieces) -> pathlib.Path:
        """Where it lies."""
        return pieces.home(self.name, self)

    def zoo(self, folder: pathlib.Path) -> z.Zoo:
        """All models; the data are stored in the folder."""
        first, second, target = (
            z.Data(source=str(task.store(folder))) for task in (self.task, self.second, self.target)
        )

        def config(task: Task, model: str = self.model, options: Mapping[str, Any] = self.options) -> ModelConfig:
            return ModelConfig(name=model, num_classes=len(task.classes), options=dict(options))

        def train(name: str, seed: int, data: z.Data, task: Task, **more: Any) -> z.Entry:
            return z.Train(name=name, model=config(task, **more), data=data, recipe=task.scratch, seed=seed)

        models = [train(f"victim-{seed}", seed, first, self.task) for seed in self.victims]
        for i in range(self.unrelated):
            models += [
                train(f"seed-{i}", 100 + i, first, self.task),
                train(f"half-{i}", 200 + i, second, self.second),
                train(f"task-{i}", 300 + i, target, self.target),
            ]
        models += [
            train(f"architecture-{name}", 400, first, self.task, model=name, options=options)
            for name, options in self.others.items()
        ]
        for seed in self.victims:
            models += self._copies(f"victim-{seed}", 1000 * (seed + 1), first, second, target)
        return z.Zoo(name=self.name, models=models)

    def _copies(self, victim: str, seed: int, first: z.Data, second: z.Data, target: z.Data) -> list[z.Entry]:
        further = self.task.tune.lasting(self.pruned)
        scratch = self.task.scratch

        def named(kind: str) -> dict[str, Any]:
            return {"name": f"{victim}-{kind.replace(' ', '-')}", "of": victim}

        return [
            *(
                z.Transfer(
                    **named(f"transfer {share}"), data=target, share=share, recipe=self.target.tune, seed=seed + share
                )
                for share in self.shares
            ),
            z.Transfer(**named("fine-tune"), data=second, keep_head=True, recipe=further, seed=seed + 1),
            *(
                z.Prune(
                    **named(f"prune {percent}"),
                    data=second,
                    sparsity=percent / 100,
                    recipe=further,
                    seed=seed + percent,
                )
                for percent in self.sparsities
            ),
            z.Quantize(**named("quantize"), data=first),
            z.Distill(**named("distill"), data=first, recipe=scratch, seed=seed + 2),
            z.Extract(**named("extract labels"), data=second, recipe=scratch, answers="labels", seed=seed + 3),
            z.Extract(
                **named("extract probabilities"), data=second, recipe=scratch, answers="probabilities", seed=seed + 4
            ),
            z.Extract(
                **named("extract adversarial"),
                data=second,
                recipe=scratch,
                answers="labels",
                adversarial_rounds=1,
                seed=seed + 5,
            ),
            z.Permute(**named("permute"), seed=seed + 6),
            z.Noise(**named("noise"), data=first, scale=0.1, seed=seed + 7),
            z.Average(**named("average"), other=f"{victim}-fine-tune", data=first),
        ]

    def cases(self) -> list[Case]:
        """All pairs: every victim with its copies, and with every model that is not made from it but copies of others."""
        kinds = [
            *(f"transfer {share}" for share in self.shares),
            "fine-tune",
            *(f"prune {percent}" for percent in self.sparsities),
            *("quantize", "distill", "extract labels", "extract probabilities", "extract adversarial"),
            *("permute", "noise", "average"),
        ]
        names = [f"victim-{seed}" for seed in self.victims]
        apart = {"seed": "other seed", "half": "other half of the data", "task": "other classes"}
        found = []
        for victim in names:
            found += [Case(kind, True, victim, f"{victim}-{kind.replace(' ', '-')}") for kind in kinds]
            found += [Case("other seed", False, victim, other) for other in names if other != victim]
            found += [
                Case(words, False, victim, f"{name}-{i}")
                for name, words in apart.items()
                for i in range(self.unrelated)
            ]
            found += [Case("other architecture", False, victim, f"architecture-{name}") for name in self.others]
        return found
