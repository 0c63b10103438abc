"""SISA training: models of disjoint shards, so that forgetting a row costs one shard (Bourtoule et al. 2021)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zest_jax.data.datasets import Dataset
from zest_jax.data.subsets import checked_rows
from zest_jax.models.registry import ModelConfig
from zest_jax.reuse.derived import derived
from zest_jax.training.checkpoints import Checkpoint, CheckpointInfo, LineageStep, load_checkpoint, weights_of
from zest_jax.training.classes import labels_for
from zest_jax.training.loop import fit, start_checkpoint
from zest_jax.training.recipes import Recipe
from zest_jax.training.run_folder import save_checkpoint


def train_sisa(
    config: ModelConfig,
    data: Dataset,
    recipe: Recipe,
    *,
    shards: int,
    seed: int,
    folder: str | os.PathLike[str],
    test: Dataset | None = None,
    progress: bool | None = False,
) -> Checkpoint:
    """Train one model on each shard of the data, and let them vote (`zest_jax.models.ensemble.Ensemble`).

    Args:
        config: of each member.
        data: is cut into shards at random.
        recipe: of each member.
        shards: at least 2.
        seed: of the shards; member k has the seed `seed + k`.
        folder: of the ensemble; member k is in `shard-k`.
        test: as in `fit`.
        progress: as in `fit`.

    Raises:
        ValueError: there are fewer than 2 shards, or more than inputs; the data are texts; the test data have other classes.

    >>> import tempfile
    >>> from zest_jax.models import ModelConfig
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trained = train_sisa(config, data, Recipe(batch_size=2), shards=2, seed=0, folder=f"{folder}/all")
    >>> trained.info.model.name, trained.info.model.options["members"]
    ('ensemble', 2)
    """
    if data.modality == "text":
        raise ValueError(
            "shards of texts would each number the words anew, and their models could not vote; give images or sounds"
        )
    info = _ensemble_info(config, data, shards)
    if test is not None:
        labels_for(test, info)
    members = [
        _member(config, data, rows, recipe, LineageStep(kind="train"), seed + k, Path(folder) / f"shard-{k}", progress)
        for k, rows in enumerate(shard_rows(len(data), shards, seed))
    ]
    settings = {"method": "sisa", "shards": shards, "seed": seed, "recipe": recipe.to_json(), "forgotten": []}
    return _voting(info, members, LineageStep(kind="train", settings=settings), folder, test)


def unlearn_sisa(
    trained: str | os.PathLike[str],
    data: Dataset,
    rows: Sequence[int] | np.ndarray,
    *,
    folder: str | os.PathLike[str],
    test: Dataset | None = None,
    progress: bool | None = False,
) -> Checkpoint:
    """Train the shards that held the rows anew without them; the others stay.

    Args:
        trained: folder of `train_sisa`, or of this function.
        data: the same as then, whole.
        rows: [rows], what is to be forgotten, besides what was before.
        folder: of the new ensemble.
        test: as in `fit`.
        progress: as in `fit`.

    Raises:
        ValueError: the folder holds no such ensemble, the data are others, or a row is out of range.

    >>> import tempfile
    >>> from zest_jax.models import ModelConfig
    >>> data = Dataset(
    ...     inputs=np.random.default_rng(0).integers(-999, 999, (8, 512), np.int16), labels=np.arange(8, dtype=np.int32) % 2,
    ...     class_names=("yes", "no"), mean=(0.0,), std=(1.0,), modality="audio", name="noise")
    >>> config = ModelConfig(name="m5", num_classes=2, options={"widths": (4, 4, 4, 4)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trained = train_sisa(config, data, Recipe(batch_size=2), shards=2, seed=0, folder=f"{folder}/all")
    ...     left = unlearn_sisa(f"{folder}/all", data, [0], folder=f"{folder}/without")
    >>> left.info.lineage[-1].settings["forgotten"], left.fingerprint == trained.fingerprint
    ([0], False)
    """
    trained, folder = Path(trained), Path(folder)
    victim = load_checkpoint(trained)
    settings = victim.info.lineage[-1].settings if victim.info.lineage else {}
    if settings.get("method") != "sisa":
        raise ValueError(f"{trained} was not trained by `train_sisa`; use `unlearn_exact`")
    if victim.info.data_hash != data.content_hash:
        raise ValueError(f"{trained} was trained on other data than {data.name}; give the same, whole")
    forgotten = np.union1d(np.asarray(settings["forgotten"], int), checked_rows(data, rows))
    config = _member_config(victim.info.model)
    recipe = Recipe.from_json(settings["recipe"])
    members = []
    for k, shard in enumerate(shard_rows(len(data), settings["shards"], settings["seed"])):
        if not np.isin(shard, rows).any():
            # Stored again, so that the new folder is whole by itself.
            members.append(save_checkpoint(folder / f"shard-{k}", load_checkpoint(trained / f"shard-{k}")))
            continue
        before = load_checkpoint(trained / f"shard-{k}")
        step = LineageStep(kind="unlearn", parent=before.fingerprint, settings={"method": "exact"})
        left = np.setdiff1d(shard, forgotten)
        if not left.size:
            raise ValueError(f"all rows of shard {k} are to be forgotten; leave at least a batch in each")
        place = folder / f"shard-{k}"
        members.append(_member(config, data, left, recipe, step, settings["seed"] + k, place, progress))
    step = LineageStep(
        kind="unlearn", parent=victim.fingerprint, settings={**settings, "forgotten": forgotten.tolist()}
    )
    return _voting(victim.info, members, step, folder, test)


def shard_rows(n: int, shards: int, seed: int) -> list[np.ndarray]:
    """Rows of each shard, ascending; sizes differ by at most one.

    >>> [rows.tolist() for rows in shard_rows(5, 2, seed=0)]
    [[2, 3, 4], [0, 1]]
    """
    if not 2 <= shards <= n:
        raise ValueError(f"`shards` is {shards}; give 2 to {n}, the number of inputs")
    return [np.sort(rows) for rows in np.array_split(np.random.default_rng(seed).permutation(n), shards)]


def _member(
    config: ModelConfig,
    data: Dataset,
    rows: np.ndarray,
    recipe: Recipe,
    step: LineageStep,
    seed: int,
    folder: Path,
    progress: bool | None,
) -> Checkpoint:
    own = data.take(rows)
    start = start_checkpoint(config, own, seed=seed)
    return fit(start, own, recipe, seed=seed, step=step, folder=folder, progress=progress).checkpoint


def _ensemble_info(config: ModelConfig, data: Dataset, shards: int) -> CheckpointInfo:
    options: dict[str, Any] = {**config.options, "of": config.name, "members": shards}
    return CheckpointInfo(
        model=ModelConfig(name="ensemble", num_classes=config.num_classes, options=options),
        input_shape=data.input_shape,
        mean=data.mean,
        std=data.std,
        class_names=data.class_names,
        rate=data.rate,
        dataset=data.name,
        data_hash=data.content_hash,
    )


def _member_config(ensemble: ModelConfig) -> ModelConfig:
    options = dict(ensemble.options)
    name = options.pop("of")
    del options["members"]
    return ModelConfig(name=name, num_classes=ensemble.num_classes, options=options)


def _voting(
    info: CheckpointInfo,
    members: Sequence[Checkpoint],
    step: LineageStep,
    folder: str | os.PathLike[str],
    test: Dataset | None,
) -> Checkpoint:
    weights = {f"members.{k}.{name}": a for k, m in enumerate(members) for name, a in weights_of(m.model).items()}
    return derived(info, weights, step, folder=folder, test=test)
