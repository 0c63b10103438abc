"""Model extraction: a copy learns the answers of a victim that can only be asked (Tramer et al. 2016; Papernot et al. 2017)."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy.special import softmax

from zest_jax.blackbox.protocol import BlackBox, in_plain_scale
from zest_jax.blackbox.takes import check_takes
from zest_jax.data.datasets import Dataset
from zest_jax.errors import ModelOutputError
from zest_jax.models.registry import ModelConfig
from zest_jax.training.checkpoints import Checkpoint, LineageStep
from zest_jax.training.classes import check_rate
from zest_jax.training.engine import as_pure
from zest_jax.training.loop import fit, start_checkpoint
from zest_jax.training.objectives import CrossEntropy, MatchLogits
from zest_jax.training.recipes import Recipe
from zest_jax.training.run import FitResult

Answers = Literal["labels", "probabilities", "logits"]
Victim = Checkpoint | BlackBox | Callable[[np.ndarray], np.ndarray]
_BATCH = 500


def extract(
    victim: Victim,
    queries: Dataset,
    recipe: Recipe,
    *,
    answers: Answers = "labels",
    config: ModelConfig | None = None,
    adversarial_rounds: int = 0,
    epsilon: float = 8 / 255,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    progress: bool | None = False,
) -> FitResult:
    """Train a copy from random weights on a victim's answers; the queries' own labels are not looked at.

    With `adversarial_rounds`, the queries are moved after a training: `x + epsilon * sign(dL/dx)`, where L is the copy's
    cross-entropy at the victim's label, which leads to where the two disagree (Jacobian-based augmentation, Papernot et al.
    2017, with the step of Goodfellow et al. 2015). The victim is asked about the moved ones too, and the copy trained anew
    on all; each round adds as many queries as there were at first.

    Args:
        victim: a checkpoint; a black box of any framework (`zest_jax.load_model`); or a function from stored inputs to
            scores [N, classes]. Scores are logits, or probabilities where `answers` is not "logits".
        queries: inputs of the kind that the victim takes.
        recipe: how the copy is trained.
        answers: what the victim gives: its highest class, softmax probabilities, or logits.
        config: the copy, with as many classes as the victim; None: the victim's architecture, if it is a checkpoint.
        adversarial_rounds: 0 or more; of images stored as uint8.
        epsilon: step of each pixel, on the scale [0, 1].
        seed: of the copy's weights, and as in `fit`.
        folder: of the copy; trainings of earlier rounds are in `round-0`, `round-1`, ... in it.
        test: as in `fit`.
        save_every: as in `fit`.
        progress: as in `fit`.

    Raises:
        ModelOutputError: the victim's answers are not finite scores [N, classes].
        ValueError: an argument is out of range, `config` is missing, or the victim takes other inputs than the queries.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import start_checkpoint
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = start_checkpoint(config, data, seed=0)
    >>> copy = extract(victim, data, Recipe(batch_size=4), answers="labels", seed=1).checkpoint
    >>> copy.info.lineage[-1].kind, copy.info.lineage[-1].parent == victim.fingerprint
    ('extract', True)
    """
    if answers not in ("labels", "probabilities", "logits"):
        raise ValueError(f"`answers` is {answers!r}; choose labels, probabilities, logits")
    if adversarial_rounds < 0 or not 0 < epsilon < 1:
        raise ValueError(
            f"`adversarial_rounds` is {adversarial_rounds} and `epsilon` {epsilon}; give 0 or more, and a step in (0, 1)"
        )
    if adversarial_rounds and queries.inputs.dtype != np.uint8:
        raise ValueError("adversarial rounds move the pixels of images stored as uint8; give such queries")
    check_victim(victim, queries)
    known = isinstance(victim, Checkpoint)
    if config is None:
        if not known:
            raise ValueError("give `config` of the copy: only a checkpoint tells its architecture")
        config = victim.info.model
    if known and config.num_classes != victim.info.model.num_classes:
        raise ValueError(
            f"the copy has {config.num_classes} classes and the victim {victim.info.model.num_classes}; give as many"
        )
    names = victim.info.class_names if known else ()
    queries = dataclasses.replace(
        queries,
        labels=np.zeros(len(queries), np.int32),
        class_names=names or tuple(map(str, range(config.num_classes))),
    )
    step = LineageStep(
        kind="extract",
        parent=victim.fingerprint if known else None,
        settings={
            "answers": answers,
            "adversarial_rounds": adversarial_rounds,
            **({"epsilon": epsilon} if adversarial_rounds else {}),
            **(
                {} if known else {"victim": getattr(victim, "label", None) or getattr(victim, "__name__", "a function")}
            ),
        },
    )

    def copy_of(pool: Dataset, scores: np.ndarray, **how: Any) -> FitResult:
        objective = MatchLogits() if answers == "logits" else CrossEntropy(label_smoothing=recipe.label_smoothing)
        start = start_checkpoint(config, queries, seed=seed)
        given = {"targets": extraction_targets(scores, answers), "objective": objective, "progress": progress}
        return fit(start, pool, recipe, seed=seed, step=step, **given, **how)

    pool = queries
    scores = _asked(victim, pool.inputs, config.num_classes)
    for i in range(adversarial_rounds):
        copy = copy_of(pool, scores, folder=None if folder is None else Path(folder) / f"round-{i}").checkpoint
        moved = moved_along_the_gradient(
            copy, pool.inputs[-len(queries) :], scores[-len(queries) :].argmax(-1), epsilon
        )
        pool = dataclasses.replace(
            pool,
            inputs=np.concatenate([pool.inputs, moved]),
            labels=np.concatenate([pool.labels, queries.labels]),
        )
        scores = np.concatenate([scores, _asked(victim, moved, config.num_classes)])
    return copy_of(pool, scores, folder=folder, test=test, save_every=save_every)


def check_victim(victim: Victim, queries: Dataset) -> None:
    """Refuse, before anything is asked, queries that the victim does not take.

    Raises:
        ValueError: they are of another modality or rate.
    """
    if isinstance(victim, BlackBox):
        check_takes(victim, queries.modality, queries.rate, what="the queries")
    elif isinstance(victim, Checkpoint):
        check_rate(queries, victim.info)


def answers_to(victim: Victim, inputs: np.ndarray) -> np.ndarray:
    """Scores of a victim on inputs as they are stored in a data set, [N, classes]."""
    if isinstance(victim, Checkpoint):
        return victim.outputs(inputs)
    if isinstance(victim, BlackBox):
        # In the plain scale, without normalisation: that is the black box's own.
        return np.asarray(victim(inputs if inputs.dtype == object else in_plain_scale(inputs)))
    return np.asarray(victim(inputs))


def _asked(victim: Victim, inputs: np.ndarray, num_classes: int) -> np.ndarray:
    """Scores of the victim, float32 [N, classes]."""
    parts = [answers_to(victim, inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    scores = np.concatenate(parts)
    if scores.shape != (len(inputs), num_classes):
        raise ModelOutputError(
            f"the victim answered {scores.shape} to {len(inputs)} queries; needed is [{len(inputs)}, {num_classes}]"
        )
    if not np.isfinite(scores).all():
        raise ModelOutputError(
            f"{np.count_nonzero(~np.isfinite(scores))} of the victim's {scores.size} scores are not finite"
        )
    return scores.astype(np.float32)


def extraction_targets(scores: np.ndarray, answers: Answers) -> np.ndarray:
    """What a copy learns from a victim's scores [N, classes]: labels int32 [N], or probabilities or logits [N, classes].

    Rows that are not below 0 and sum to 1 are probabilities already; others are brought there by softmax.
    """
    if answers == "labels":
        return scores.argmax(-1).astype(np.int32)
    if answers == "logits":
        return scores
    total = scores.sum(-1)
    are_probabilities = scores.min() >= 0 and np.abs(total - 1).max() < 1e-3
    return scores if are_probabilities else softmax(scores, axis=-1).astype(np.float32)


def moved_along_the_gradient(copy: Checkpoint, images: np.ndarray, labels: np.ndarray, epsilon: float) -> np.ndarray:
    """Images moved by `epsilon` to where the copy's loss is higher, uint8."""
    graphdef, state = nnx.split(copy.model)
    state = as_pure(state)

    @jax.jit
    def sign(state: Any, batch: jax.Array, labels: jax.Array) -> jax.Array:
        def loss(x: jax.Array) -> jax.Array:
            model: Any = nnx.merge(graphdef, state)
            logits = model(copy.preparation(x))
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

        return jnp.sign(jax.grad(loss)(batch.astype(jnp.float32) / 255))

    parts = []
    for i in range(0, len(images), _BATCH):
        batch = images[i : i + _BATCH]
        step = 255 * epsilon * np.asarray(sign(state, batch, labels[i : i + _BATCH]))
        parts.append(np.clip(np.rint(batch + step), 0, 255).astype(np.uint8))
    return np.concatenate(parts)
