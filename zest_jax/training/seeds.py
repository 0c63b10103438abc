"""Several models of one kind that differ in their seed alone, trained one after the other or all at once."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.models.registry import ModelConfig
from zest_jax.progress import progress_bar
from zest_jax.training.checkpoints import LineageStep, epochs_in
from zest_jax.training.engine import StepMetrics, train_steps_together
from zest_jax.training.loop import finish, start_checkpoint
from zest_jax.training.recipes import Recipe
from zest_jax.training.run import FitResult, Run

Together = Literal["auto", "vmap", "sequential"]


def train_seeds(
    config: ModelConfig,
    data: Dataset,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    folder: str | os.PathLike[str] | None = None,
    test: Dataset | None = None,
    save_every: int = 0,
    together: Together = "auto",
    progress: bool | None = False,
) -> list[FitResult]:
    """Train one model for each seed; each equals what `train` makes of that seed (up to rounding under "vmap").

    Args:
        config: as for `train`.
        data: as for `train`.
        recipe: as for `train`.
        test: as for `train`.
        save_every: as for `train`.
        progress: as for `train`.
        seeds: all different.
        folder: gets a run `seed-S` for each seed S.
        together: "vmap" does a step of all models at once; "sequential" trains one after the other, which is faster on CPUs
            and was so on an H100: convolutions with a kernel per model become slow grouped ones. "auto" is "sequential" on
            CPUs and GPUs. Under "vmap", what is not finished goes on from the last epoch of which every such
            run has a checkpoint, so that an interruption changes nothing.

    Returns:
        what came of each seed, in order.

    Raises:
        ValueError: no seed or one given twice, and whatever `fit` refuses.

    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> a, b = train_seeds(config, data, Recipe(batch_size=4), seeds=[0, 1])
    >>> a.checkpoint.info.seed, b.checkpoint.info.seed, a.checkpoint.fingerprint == b.checkpoint.fingerprint
    (0, 1, False)
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"`seeds` is {list(seeds)}; give at least one, each once")
    if together not in ("auto", "vmap", "sequential"):
        raise ValueError(f"`together` is {together!r}; choose auto, vmap, sequential")
    vmapped = together == "vmap" or (together == "auto" and jax.default_backend() not in ("cpu", "gpu"))
    folders = [None if folder is None else Path(folder).expanduser().absolute() / f"seed-{seed}" for seed in seeds]
    at_most = _common_epoch([path for path in folders if path is not None], recipe.epochs) if vmapped else None
    runs: list[Run] = []
    try:
        for seed, path in zip(seeds, folders, strict=True):
            finished = path is not None and recipe.epochs in epochs_in(path)
            runs.append(
                Run(
                    start_checkpoint(config, data, seed=seed),
                    data,
                    recipe,
                    seed=seed,
                    step=LineageStep(kind="train"),
                    folder=path,
                    test=test,
                    save_every=save_every,
                    devices=jax.local_devices()[:1] if vmapped else None,
                    at_most=None if finished else at_most,
                )
            )
        if vmapped:
            _finish_together([run for run in runs if run.epoch < recipe.epochs], progress=progress)
        else:
            finish(runs, progress=progress)
        return [run.result() for run in runs]
    finally:
        for run in runs:
            run.close()


def _common_epoch(folders: Sequence[Path], epochs: int) -> int:
    """The last epoch of which all runs that are not finished have a checkpoint; 0 where there is none."""
    kept = [{0, *found} for path in folders if epochs not in (found := epochs_in(path))]
    return max(set.intersection(*kept)) if kept else 0


def _finish_together(runs: Sequence[Run], *, progress: bool | None) -> None:
    if not runs:
        return
    # A damaged checkpoint may have set one further back.
    furthest, epochs = max(run.epoch for run in runs), runs[0].recipe.epochs
    finish([run for run in runs if run.epoch < furthest], progress=progress, until=furthest)
    total, done = sum(run.total_inputs for run in runs), sum(run.inputs_done for run in runs)
    name = f"train {len(runs)} x {runs[0].start.info.model.name}"
    keys = jax.random.wrap_key_data(jnp.stack([jax.random.key_data(run.key) for run in runs]))
    with progress_bar(name, total, unit=runs[0].unit, show=progress, done=done) as update:
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run.state for run in runs))
        while runs[0].epoch < epochs:
            began, steps = time.monotonic(), 0
            parts: list[StepMetrics] = []
            for chunks in zip(*(run.feed.chunks(run.epoch) for run in runs), strict=True):
                rows = np.stack([rows for _, rows in chunks])
                for plan, start, stop in runs[0].cut(steps, rows.shape[1]):
                    states, metrics = train_steps_together(plan, states, chunks[0][0], rows[:, start:stop], keys)
                    parts.append(metrics)
                steps += rows.shape[1]
            jax.block_until_ready(parts)
            seconds = time.monotonic() - began
            # All are saved after the same epochs, so that all can go on from one; in between their states stay together.
            due = any(run.due for run in runs)
            for i, run in enumerate(runs):
                if due:
                    run.state = jax.tree.map(lambda leaf, i=i: leaf[i], states)
                own = StepMetrics(
                    *(np.concatenate([np.asarray(p[i]) for p in part]) for part in zip(*parts, strict=True))
                )
                run.check(own, first=0)
                run.finish_epoch(own, seconds, due=due)
            update(sum(run.inputs_done for run in runs))
