"""Recipes: how long, how fast and with what disturbance a classifier is trained.

| recipe | for | accuracy to expect |
|---|---|---|
| `paper-cifar10` | ResNet20 on CIFAR-10, the paper's 200 epochs | 91.8 +- 0.5% (paper: 91.77%) |
| `paper-cifar100` | ResNet50 on CIFAR-100, 200 epochs | the paper: 76.17% |
| `fast-cifar` | ResNet20 on CIFAR-10 on a few CPU cores, 4 epochs | 78 +- 1% after 3 of them (results/zoo/cifar10-small) |
| `fine-tune` | a trained model that goes on: transfer, pruning | - |
| `text` | LSTM on AG News | the paper: 90.27% |
| `audio` | M5 on Speech Commands | the paper: 87.67% |

The accuracies of the paper are its own (section 4.1); which of them were reached here is in `benchmarks/results`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import optax

from zest_jax.data.augment import Augment

Schedule = Literal["constant", "steps", "one-cycle", "cosine"]
_SCHEDULES = ("constant", "steps", "one-cycle", "cosine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one training; `dataclasses.replace` makes variants.

    Attributes:
        name: what it is called in records.
        epochs: passes over the data; a last batch that is not full is left out of each.
        batch_size: inputs per step.
        optimizer: "sgd" (weight decay is added to the gradient, as in PyTorch) or "adamw" (decoupled weight decay).
        learning_rate: the highest learning rate.
        momentum: of SGD, in [0, 1).
        nesterov: whether it is Nesterov's.
        weight_decay: on all trainable parameters.
        schedule: "constant"; "steps": times `factor` at the start of each epoch of `milestones`; "one-cycle": linearly up
            during the first `warmup` of all steps, then linearly to 0; "cosine": from the top to 0.
        milestones: of the schedule "steps": epochs.
        factor: of the schedule "steps", above 0.
        warmup: of the schedule "one-cycle", a share in (0, 1).
        label_smoothing: share of the target that is spread over all classes, in [0, 1).
        augment: random changes of images.
        progressive: pairs (until, scale), ascending: up to that share of the steps images are shrunk to that share of
            their size, which is faster; () for full size throughout. What comes after the last pair has the full size, and
            so has a training of a single epoch.
        dtype: of the computation, "float32" or "bfloat16"; parameters are float32 always.

    Raises:
        ValueError: a setting is out of its range.

    >>> short = dataclasses.replace(recipe("paper-cifar10"), epochs=2, milestones=(1,))
    >>> [round(float(short.learning_rates(steps_per_epoch=3)(step)), 3) for step in range(6)]
    [0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    """

    name: str = "custom"
    epochs: int = 1
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup: float = 0.25
    label_smoothing: float = 0.0
    augment: Augment = dataclasses.field(default_factory=Augment)
    progressive: tuple[tuple[float, float], ...] = ()
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        for field, low in (("epochs", 1), ("batch_size", 1)):
            if getattr(self, field) < low:
                raise ValueError(f"`{field}` is {getattr(self, field)}; give at least {low}")
        for field in ("learning_rate", "factor"):
            if not getattr(self, field) > 0:
                raise ValueError(f"`{field}` is {getattr(self, field)}; give a number above 0")
        for field in ("momentum", "label_smoothing"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"`{field}` is {getattr(self, field)}; give a number in [0, 1)")
        if not self.weight_decay >= 0:
            raise ValueError(f"`weight_decay` is {self.weight_decay}; give 0 or more")
        if not 0 < self.warmup < 1:
            raise ValueError(f"`warmup` is {self.warmup}; give a share of the steps in (0, 1)")
        for field, known in (
            ("optimizer", ("sgd", "adamw")),
            ("schedule", _SCHEDULES),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, field) not in known:
                raise ValueError(f"`{field}` is {getattr(self, field)!r}; choose {', '.join(known)}")
        untils = [until for until, _ in self.progressive]
        if untils != sorted(set(untils)) or not all(0 < u < 1 and 0 < s <= 1 for u, s in self.progressive):
            raise ValueError(
                f"`progressive` is {self.progressive}; give pairs (until, scale), `until` ascending and below 1, so that the "
                "last steps show images as they will be asked, `scale` in (0, 1]"
            )

    def lasting(self, epochs: int) -> "Recipe":
        """The same recipe over another number of epochs: what happens at an epoch happens at that share of them.

        >>> recipe("paper-cifar10").lasting(20).milestones
        (10, 15)
        """
        milestones = tuple(round(milestone * epochs / self.epochs) for milestone in self.milestones)
        return dataclasses.replace(self, epochs=epochs, milestones=milestones)

    def stretches(self, epoch: int, steps_per_epoch: int) -> list[tuple[int, int, float]]:
        """Parts of an epoch, counted from 0, in which images have one scale: (first step, step after the last, scale).

        >>> how = recipe("fast-cifar").lasting(2)
        >>> how.stretches(0, 100), how.stretches(1, 100)
        ([(0, 100, 0.5)], [(0, 50, 0.75), (50, 100, 1.0)])
        """
        begins, ends, found = epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch, []
        pairs = self.progressive if self.epochs > 1 else ()
        for until, scale in (*pairs, (1.0, 1.0)):
            stop = min(int(until * self.epochs * steps_per_epoch), ends) - begins
            start = found[-1][1] if found else 0
            if stop > start:
                found.append((start, stop, scale))
        return found

    def learning_rates(self, steps_per_epoch: int) -> optax.Schedule:
        """Learning rate as a function of the step, counted from 0."""
        steps = steps_per_epoch * self.epochs
        if self.schedule == "constant":
            return optax.constant_schedule(self.learning_rate)
        if self.schedule == "steps":
            return optax.piecewise_constant_schedule(
                self.learning_rate, {epoch * steps_per_epoch: self.factor for epoch in self.milestones}
            )
        if self.schedule == "cosine":
            return optax.cosine_decay_schedule(self.learning_rate, steps)
        top = max(1, round(self.warmup * steps))
        return optax.join_schedules(
            [
                # The first step has a rate above 0 already.
                optax.linear_schedule(self.learning_rate / top, self.learning_rate, top),
                optax.linear_schedule(self.learning_rate, 0.0, max(1, steps - top)),
            ],
            [top],
        )

    def transform(self, steps_per_epoch: int) -> optax.GradientTransformation:
        """Build the optimiser."""
        rates = self.learning_rates(steps_per_epoch)
        if self.optimizer == "adamw":
            return optax.adamw(rates, weight_decay=self.weight_decay)
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay),
            optax.sgd(rates, momentum=self.momentum or None, nesterov=self.nesterov),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Recipe":
        """Read what `to_json` made.

        Raises:
            KeyError, TypeError, ValueError: a field is missing, unknown or out of its range.
        """
        settings = dict(settings)
        settings["augment"] = Augment(**settings["augment"])
        settings["milestones"] = tuple(settings["milestones"])
        settings["progressive"] = tuple((float(u), float(s)) for u, s in settings["progressive"])
        return cls(**settings)


_CIFAR = Augment(crop_padding=4, flip=True)

_RECIPES = {
    r.name: r
    for r in (
        Recipe(
            name="paper-cifar10",
            epochs=200,
            weight_decay=1e-4,
            schedule="steps",
            milestones=(100, 150),
            augment=_CIFAR,
        ),
        Recipe(
            name="paper-cifar100",
            epochs=200,
            weight_decay=5e-4,
            schedule="steps",
            milestones=(60, 120, 160),
            factor=0.2,
            augment=Augment(crop_padding=4, flip=True, rotation_degrees=15.0),
        ),
        Recipe(
            name="fast-cifar",
            epochs=4,
            batch_size=64,
            nesterov=True,
            weight_decay=5e-4,
            schedule="one-cycle",
            label_smoothing=0.1,
            augment=Augment(crop_padding=3, flip=True),
            progressive=((0.5, 0.5), (0.75, 0.75)),
        ),
        Recipe(
            name="fine-tune",
            epochs=2,
            batch_size=64,
            learning_rate=0.01,
            weight_decay=5e-4,
            schedule="cosine",
            augment=_CIFAR,
        ),
        Recipe(name="text", epochs=10, batch_size=64, optimizer="adamw", learning_rate=1e-3, weight_decay=1e-4),
        Recipe(
            name="audio",
            epochs=40,
            batch_size=256,
            optimizer="adamw",
            learning_rate=1e-2,
            weight_decay=1e-4,
            schedule="steps",
            milestones=(20,),
        ),
    )
}


def recipe_names() -> tuple[str, ...]:
    """Names that `recipe` knows.

    Returns:
        the names, sorted.

    >>> recipe_names()
    ('audio', 'fast-cifar', 'fine-tune', 'paper-cifar10', 'paper-cifar100', 'text')
    """
    return tuple(sorted(_RECIPES))


def recipe(name: str) -> Recipe:
    """Look a recipe up by name; `dataclasses.replace` changes parts of it.

    Args:
        name: one of `recipe_names()`.

    Raises:
        ValueError: the name is unknown.

    >>> recipe("paper-cifar10").milestones
    (100, 150)
    """
    if name not in _RECIPES:
        raise ValueError(f"there is no recipe {name!r}; choose {', '.join(recipe_names())}")
    return _RECIPES[name]
