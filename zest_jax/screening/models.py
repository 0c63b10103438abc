"""Models that are compared: a store, or a few signatures that are at hand."""

from collections.abc import Sequence

from zest_jax.screening.entries import ANY, Entry, Filter
from zest_jax.screening.layout import entry_of
from zest_jax.screening.store import Store
from zest_jax.signature import Signature
from zest_jax.wording import listed

Models = Store | Sequence[Signature]


def entries_among(models: Models, where: Filter = ANY) -> list[Entry]:
    """What is known of the models that are meant.

    Raises:
        ValueError: a filter is given for signatures, of which nothing is noted, or two of them have the same name.
    """
    if isinstance(models, Store):
        return models.entries(where)
    if where != ANY:
        raise ValueError(f"signatures at hand are not filtered ({where}); leave out those that are not meant")
    names = [each.label for each in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two of the signatures are called {name!r}; give each its own label")
    return [entry_of(each) for each in models]


def load_models(models: Models, names: Sequence[str]) -> list[Signature]:
    """The signatures of some of the models, in the order given.

    Args:
        models: a store, or signatures.
        names: of the wanted ones.

    Returns:
        a signature for each name.

    Raises:
        ValueError: there is no model of a name.

    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> [each.label for each in load_models([a, b], ["b", "a"])]
    ['b', 'a']
    """
    if isinstance(models, Store):
        return models.load(names)
    by_name = {each.label: each for each in models}
    if unknown := [name for name in names if name not in by_name]:
        raise ValueError(f"none of the signatures is called {unknown[0]!r}; there are {listed(list(by_name), 10)}")
    return [by_name[name] for name in names]
