"""Which folders Python code may be imported from, and while what."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def importable_from(folder: str | None) -> Iterator[None]:
    """Let MODULE:FUNCTION name a module in a folder, as `python -m` does; None changes nothing.

    What lies in a folder of strangers' models may be called as a library that is about to be imported, so that this is for
    models that somebody named as Python, and for nothing else.
    """
    if folder is None or folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
