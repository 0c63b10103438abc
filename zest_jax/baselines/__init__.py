"""Other ways to tell whether a model was made from another, and Zest, on the same black boxes under one interface.

>>> from zest_jax import from_jax
>>> from zest_jax.data import Dataset
>>> noise = Dataset(
...     inputs=np.random.default_rng(0).random((40, 8, 8, 3), np.float32), labels=np.arange(40, dtype=np.int32) % 3,
...     class_names=("red", "green", "blue"), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
>>> victim = from_jax(lambda x: x.mean((1, 2)), label="victim")
>>> for method in (PredictionAgreement(), AKH(), SACw()):
...     prepared = method.prepare(victim, noise, budget=16)
...     print(f"{method.name} ({method.access}): {prepared.score(victim):.2f} after {prepared.n_queries} questions")
prediction agreement (labels): 1.00 after 16 questions
AKH (labels): 1.00 after 16 questions
SAC-w (black box): 0.00 after 16 questions
"""

from zest_jax.baselines.agreement import AKH, PredictionAgreement
from zest_jax.baselines.fbi import FBI
from zest_jax.baselines.ipguard import IPGuard
from zest_jax.baselines.modeldiff import ModelDiff
from zest_jax.baselines.protocol import Access, Method, Prepared, UninformativeVictimError
from zest_jax.baselines.sac import SACm, SACw
from zest_jax.baselines.weights import WeightCosine
from zest_jax.baselines.zest import Zest

METHODS: tuple[type[Method], ...] = (PredictionAgreement, AKH, FBI, SACw, SACm, IPGuard, ModelDiff, WeightCosine, Zest)
"""All of them; each can be made without settings."""

__all__ = [
    "Access",
    "Method",
    "Prepared",
    "METHODS",
    "PredictionAgreement",
    "AKH",
    "FBI",
    "SACw",
    "SACm",
    "IPGuard",
    "ModelDiff",
    "WeightCosine",
    "Zest",
    "UninformativeVictimError",
]
