"""Unlearning: a model forgets some of its training data, exactly or approximately."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.data.subsets import without_rows
from zest_jax.models.registry import ModelConfig
from zest_jax.reuse.derived import derived
from zest_jax.training.checkpoints import Checkpoint, LineageStep, load_checkpoint, load_training, weights_of
from zest_jax.training.loop import fit, start_checkpoint
from zest_jax.training.recipes import Recipe
from zest_jax.training.run import FitResult
from zest_jax.training.stored_state import RECORDED


def unlearn_exact(
    victim: Checkpoint,
    data: Dataset,
    rows: Sequence[int] | np.ndarray,
    recipe: Recipe,
    *,
    config: ModelConfig | None = None,
    seed: int,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    progress: bool | None = False,
) -> FitResult:
    """Train anew, from random weights, without the rows: nothing of them is left.

    Args:
        victim: the model that is to forget.
        data: what the victim was trained on, whole.
        rows: [rows], what is to be forgotten.
        recipe: how, as the victim was trained.
        config: another architecture; None: the victim's.
        seed: as in `fit`; the victim's own gives the model that would have been, without the rows.
        folder: as in `fit`.
        test: as in `fit`.
        save_every: as in `fit`.
        progress: as in `fit`.

    Raises:
        ValueError: a row is out of range or given twice, none or all are given.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import start_checkpoint
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> victim = start_checkpoint(config, data, seed=0)
    >>> result = unlearn_exact(victim, data, [0, 3], Recipe(batch_size=4), seed=0)
    >>> result.checkpoint.info.lineage[-1].settings["rows"]
    [0, 3]
    """
    left = without_rows(data, rows)
    forgotten = np.sort(np.asarray(rows)).tolist()
    step = LineageStep(
        kind="unlearn",
        parent=victim.fingerprint,
        settings={"method": "exact", "rows": forgotten},
    )
    return fit(
        start_checkpoint(config or victim.info.model, left, seed=seed),
        left,
        recipe,
        seed=seed,
        step=step,
        folder=folder,
        test=test,
        save_every=save_every,
        progress=progress,
    )


def unlearn_amnesiac(
    trained: FitResult | str | os.PathLike[str],
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
) -> Checkpoint:
    """Subtract the updates of all batches that held the rows (Graves et al. 2020, "Amnesiac Machine Learning", section 4.2).

    `theta' = theta - sum_b delta_b` over those batches. Statistics of batch normalisation stay as they are: they are no
    updates of the optimiser. Where many batches held a row (see `record_together` of `fit`), the model needs some training
    afterwards.

    Args:
        trained: what `fit` or `train` returned when it was told to `record` the rows, or the folder of that run.
        rows: [rows], what is to be forgotten, to be sure; None: what was recorded. One training records one set of rows.
        folder: where the checkpoint is stored, if anywhere.
        test: where its accuracy is measured.

    Raises:
        ValueError: the training recorded nothing, or other rows.

    >>> from zest_jax.models import ModelConfig
    >>> from zest_jax.training import train
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> trained = train(config, data, Recipe(batch_size=4), seed=0, record=[0, 3])
    >>> unlearn_amnesiac(trained, rows=[0, 3]).info.lineage[-1].settings["method"]
    'amnesiac'
    """
    if isinstance(trained, FitResult):
        victim, recorded = trained.checkpoint, trained.recorded
    else:
        victim = load_checkpoint(Path(trained))
        assert victim.path is not None
        found = load_training(victim.path)
        recorded = {n.removeprefix(RECORDED): a for n, a in found.items() if n.startswith(RECORDED)} or None
    if recorded is None:
        raise ValueError(
            "the training recorded no updates; train with `record=` the rows that are to be forgotten later"
        )
    noted = victim.info.lineage[-1].settings["recorded_rows"]
    if rows is not None and sorted(int(row) for row in rows) != noted:
        raise ValueError(
            f"the training recorded the updates of {len(noted)} rows ({', '.join(map(str, noted[:5]))}"
            f"{', ...' if len(noted) > 5 else ''}), and others are to be forgotten; give the same, or train anew"
        )
    weights = weights_of(victim.model)
    for name, update in recorded.items():
        weights[name] = weights[name] - np.asarray(update)
    step = LineageStep(kind="unlearn", parent=victim.fingerprint, settings={"method": "amnesiac", "rows": noted})
    return derived(victim.info, weights, step, folder=folder, test=test)
