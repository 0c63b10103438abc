"""Training classifiers: recipes, checkpoints, and runs that can be interrupted."""

import zest_jax.training.installed  # noqa: F401
from zest_jax.training.checkpoints import (
    Checkpoint,
    CheckpointInfo,
    DamagedCheckpointError,
    LineageStep,
    load_checkpoint,
)
from zest_jax.training.engine import Preparation
from zest_jax.training.evaluation import accuracy, outputs
from zest_jax.training.loop import fit, start_checkpoint, train
from zest_jax.training.objectives import CrossEntropy, MatchLogits, Objective
from zest_jax.training.recipes import Recipe, recipe, recipe_names
from zest_jax.training.run import FitResult
from zest_jax.training.run_folder import FolderInUseError, save_checkpoint
from zest_jax.training.seeds import train_seeds

__all__ = [
    "Recipe",
    "recipe",
    "recipe_names",
    "train",
    "train_seeds",
    "fit",
    "start_checkpoint",
    "FitResult",
    "Objective",
    "CrossEntropy",
    "MatchLogits",
    "Checkpoint",
    "CheckpointInfo",
    "LineageStep",
    "DamagedCheckpointError",
    "FolderInUseError",
    "load_checkpoint",
    "save_checkpoint",
    "Preparation",
    "accuracy",
    "outputs",
]
