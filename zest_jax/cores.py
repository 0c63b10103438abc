"""How many processor cores this process may use."""

import os

_LIMIT = "ZEST_CORES"
# What libraries read when they are loaded: XLA; OpenMP, and with it PyTorch; OpenBLAS and MKL, which NumPy computes with.
_OTHERS = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Count the cores this process may run on; macOS and Windows cannot tell, so there all of the machine's.

    `limit_cores`, or the environment variable ZEST_CORES, makes it fewer.

    >>> usable_cores() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = os.environ.get(_LIMIT, "")
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores


def limit_cores(cores: int) -> None:
    """Keep this process to so many threads at a time: JAX, NumPy, ONNX Runtime and PyTorch, if they are not loaded yet.

    Where several processes share a machine and nobody tells them which cores are theirs.
    """
    for name in (_LIMIT, *_OTHERS):
        os.environ[name] = str(cores)
