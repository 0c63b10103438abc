"""Feature distillation: a student learns the labels and its teacher's features, stage by stage (Romero et al. 2015)."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from zest_jax.data.datasets import Dataset
from zest_jax.models.registry import ModelConfig
from zest_jax.training.checkpoints import Checkpoint, LineageStep, set_weights, weights_of
from zest_jax.training.engine import as_pure
from zest_jax.training.loop import fit
from zest_jax.training.objectives import labels_loss
from zest_jax.training.recipes import Recipe
from zest_jax.training.run import FitResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureDistillation:
    """Cross-entropy with the labels, and the distance to the teacher's features.

    `CE(labels, f(x)) + weight * sum_k mean((s_k(x) - t_k(x))^2)` over the four stages k, with s_k and t_k the features of
    student and teacher (in evaluation mode). `extras` is the teacher's state.
    """

    teacher: nnx.GraphDef
    weight: float = 5.0
    label_smoothing: float = 0.0

    def __call__(self, model: Any, inputs: Array, targets: Array, extras: Any) -> tuple[Array, Array]:
        """Loss and logits; one pass through student and teacher each."""
        teacher: Any = nnx.merge(self.teacher, extras)
        wanted = jax.lax.stop_gradient(teacher.features(inputs))
        features = model.features(inputs)
        logits = model.classify(features).astype(jnp.float32)
        apart = sum(
            jnp.square(s.astype(jnp.float32) - t.astype(jnp.float32)).mean()
            for s, t in zip(features, wanted, strict=True)
        )
        return labels_loss(logits, targets, self.label_smoothing) + self.weight * apart, logits


def distill(
    victim: Checkpoint,
    data: Dataset,
    recipe: Recipe,
    *,
    config: ModelConfig | None = None,
    weight: float = 5.0,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    progress: bool | None = False,
) -> FitResult:
    """Train a student from random weights on labels and on the victim's features; see `FeatureDistillation`.

    Inputs are normalised as the victim's were.

    Args:
        victim: the teacher; stays as it is.
        data: inputs and labels, of the victim's classes.
        recipe: how.
        config: the student; None: the victim's architecture. Its four stages must have the shapes of the victim's.
        weight: of the features' distance beside the cross-entropy, above 0.
        seed: of the student's weights, and as in `fit`.
        folder: as in `fit`.
        test: as in `fit`.
        save_every: as in `fit`.
        progress: as in `fit`.

    Raises:
        ValueError: the stages have different shapes (they are listed), the classes differ, or `weight` is out of range.

    >>> import numpy as np
    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import start_checkpoint
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = start_checkpoint(config, data, seed=0)
    >>> distill(victim, data, Recipe(batch_size=4), weight=2.0, seed=1).checkpoint.info.lineage[-1].settings["weight"]
    2.0
    """
    if not 0 < weight < float("inf"):
        raise ValueError(f"`weight` is {weight}; give a number above 0")
    config = config or victim.info.model
    if config.num_classes != victim.info.model.num_classes:
        raise ValueError(
            f"the student has {config.num_classes} classes and the teacher {victim.info.model.num_classes}; give as many"
        )
    student: Any = config.build(seed)
    _check_stages(student, victim)
    teacher: Any = victim.info.model.build(dtype=recipe.dtype)
    set_weights(teacher, weights_of(victim.model), origin="the teacher")
    graphdef, state = nnx.split(teacher)
    start = Checkpoint(student, dataclasses.replace(victim.info, model=config, lineage=(), accuracy=None))
    return fit(
        start,
        data,
        recipe,
        seed=seed,
        step=LineageStep(
            kind="distill",
            parent=victim.fingerprint,
            settings={"weight": weight},
        ),
        folder=folder,
        test=test,
        objective=FeatureDistillation(teacher=graphdef, weight=weight, label_smoothing=recipe.label_smoothing),
        extras=as_pure(state),
        save_every=save_every,
        progress=progress,
    )


def _check_stages(student: Any, victim: Checkpoint) -> None:
    tokens = victim.info.tokenizer is not None
    x = jnp.zeros((1, *victim.info.input_shape), jnp.int32 if tokens else jnp.float32)
    models: list[Any] = [student, victim.model]
    both = [[stage.shape[1:] for stage in nnx.eval_shape(lambda m, x: m.features(x), model, x)] for model in models]
    if both[0] != both[1]:
        raise ValueError(
            f"features of student and teacher have different shapes: {both[0]} and {both[1]}; choose a student whose four "
            "stages have the teacher's shapes, such as one of the same family"
        )
