"""Imported before the rest of this package: what is missing is told by the extra that brings it, and not by a module's name."""

import importlib.util

from zest_jax.errors import missing_extra

for _module, _package in (("filelock", "filelock"), ("optax", "optax"), ("orbax", "orbax-checkpoint")):
    if importlib.util.find_spec(_module) is None:
        raise missing_extra(_package, "train")
