"""Many models signed into a store, in this process or by the machines of a Ray cluster."""

from zest_jax.many.driver import Done, SignedAll, sign_all
from zest_jax.many.job import Failed, Job, Signed, Signer
from zest_jax.many.loop import PlainLoop
from zest_jax.many.models import Model, find_models
from zest_jax.many.ray_tasks import RayTasks

__all__ = [
    "Done",
    "Failed",
    "Job",
    "Model",
    "PlainLoop",
    "RayTasks",
    "Signed",
    "SignedAll",
    "Signer",
    "find_models",
    "sign_all",
]
