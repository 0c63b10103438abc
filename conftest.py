"""Set up JAX before anything imports it, and have every annotated shape of `zest_jax` checked as the tests call it.

It lies beside the package, not in `tests/`, so that `pytest zest_jax/solve.py` (doctests alone) gets the same set-up.
"""

import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_flags = os.environ.get("XLA_FLAGS", "")
if "--xla_force_host_platform_device_count" not in _flags:
    # Eight devices on one CPU: sharded code runs as it would on eight accelerators.
    os.environ["XLA_FLAGS"] = f"{_flags} --xla_force_host_platform_device_count=8".strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), "zest-jax-tests-matplotlib"))
# Several Rays come and go in one process, which remembers the token of the first; the command line's own is tested by itself.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")

# Programs that the tests start find the checkout also where the package is not installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

sys.path.insert(0, str(ROOT / "tests"))
install_import_hook("zest_jax", "shapes_only.check_shapes")


@pytest.fixture(autouse=True)
def _names_in_doctests(doctest_namespace):
    """Examples may say `np` and `jnp` without importing them, as everyone's do."""
    import jax.numpy as jnp
    import numpy as np

    doctest_namespace.update(np=np, jnp=jnp)
