"""Texts and sounds that no model can be asked about: named, counted, and refused or left out."""

from collections.abc import Mapping, Sequence

import numpy as np

from zest_jax.data.reading import ReadOptions
from zest_jax.errors import FileFormatError

# An error names so many, and counts the rest.
_SHOWN = 3


def usable_rows(
    names: Sequence[str], faults: Mapping[int, str], *, what: str, source: str, options: ReadOptions
) -> np.ndarray:
    """Rows without a fault, int64 [K], once `options` are found to allow leaving out the others.

    Args:
        names: of all rows, for messages.
        faults: row to what is wrong with it.
        what: the rows are, plural.
        source: they come from.
        options: `skip_bad` allows faults, and `on_skip` is told of each.

    Raises:
        FileFormatError: there are faults and they are not to be skipped, or there is nothing else.

    >>> usable_rows(["line 1", "line 2"], {0: "it is empty"}, what="texts", source="a.txt", options=ReadOptions())
    Traceback (most recent call last):
    zest_jax.errors.FileFormatError: 1 of 2 texts of a.txt cannot be used: line 1: it is empty. Correct or remove ...
    """
    if faults and len(faults) == len(names):
        raise FileFormatError(
            f"none of the {len(names):,} {what} of {source} can be used: {_listed(names, faults)}. Give others, or "
            "correct these"
        )
    if faults and not options.skip_bad:
        raise FileFormatError(
            f"{len(faults):,} of {len(names):,} {what} of {source} cannot be used: {_listed(names, faults)}. Correct or "
            "remove what is bad, or pass `skip_bad` (`--skip-bad`) to leave it out"
        )
    for row in sorted(faults):
        options.skip(names[row], faults[row])
    return np.setdiff1d(np.arange(len(names)), list(faults))


def _listed(names: Sequence[str], faults: Mapping[int, str]) -> str:
    first = sorted(faults)[:_SHOWN]
    more = f"; and {len(faults) - len(first):,} more" if len(faults) > len(first) else ""
    return "; ".join(f"{names[row]}: {faults[row]}" for row in first) + more
