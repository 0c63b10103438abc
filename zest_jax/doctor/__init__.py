"""Is everything here that is needed, and does this machine compute what it should?"""

from zest_jax.doctor.environment import Extra, Requirement, devices, extras
from zest_jax.doctor.self_check import Check, self_check

__all__ = ["Check", "Extra", "Requirement", "devices", "extras", "self_check"]
