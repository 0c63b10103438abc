"""Is everything here that is needed, and does this machine compute what it should?

`environment` does without JAX, so that it can tell that JAX is missing; `self_check` is imported where it is run.
"""

from zest_jax.doctor.environment import Extra, Requirement, devices, extras

__all__ = ["Extra", "Requirement", "devices", "extras"]
