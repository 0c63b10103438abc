"""Leave out of a search what is not to be compared: the suspect's very own signature, and models named by hand."""

import dataclasses

from zest_jax.screening.entries import Entry, Filter, named, quoted
from zest_jax.screening.layout import entry_of
from zest_jax.screening.models import Models
from zest_jax.screening.store import Store
from zest_jax.wording import listed


def without_itself(suspect: Entry, models: Models, where: Filter) -> tuple[Models, Filter, tuple[str, ...]]:
    """Leave out the models whose signature is the suspect's own: at distance 0 it hides the one that is to be found.

    Returns:
        the models and the filter without them, and their names; all as it was where no other model would be left.
    """
    if isinstance(models, Store):
        own = f"digest = {quoted(suspect.digest)}"
        condition = own if (meant := where.sql()) is None else f"{meant} AND {own}"
        batches = models.scan(["name"], where=condition, rows=8192)
        names = tuple(name for batch in batches for name in batch["name"].to_pylist())
        if not names or models.count(where) == len(names):
            return models, where, ()
        return models, dataclasses.replace(where, exclude=(*where.exclude, *names)), names
    same = [entry_of(each).digest == suspect.digest for each in models]
    if not any(same) or all(same):
        return models, where, ()
    others = [each for each, own in zip(models, same, strict=True) if not own]
    return others, where, tuple(each.label for each, own in zip(models, same, strict=True) if own)


def check_excluded(models: Models, where: Filter) -> None:
    """Refuse names to be left out that are not there: a slip of the pen would leave in what should be out.

    Raises:
        ValueError: a store has no model of a name in `where.exclude`.
    """
    if not where.exclude or not isinstance(models, Store):
        return
    batches = models.scan(["name"], where=named(where.exclude), rows=8192)
    found = {name for batch in batches for name in batch["name"].to_pylist()}
    if missing := [name for name in where.exclude if name not in found]:
        raise ValueError(
            f"`exclude` names {listed(missing, 5)}, and {models.uri} has no such model in version {models.version}; "
            "`zest store list` shows all"
        )
