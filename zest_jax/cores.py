"""How many processor cores this process may use."""

import os


def usable_cores() -> int:
    """Count the cores this process may run on; macOS and Windows cannot tell, so there all of the machine's.

    >>> usable_cores() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
