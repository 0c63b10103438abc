"""Open a store, or make it where there is none."""

from zest_jax.errors import StoreError
from zest_jax.screening.store import Store
from zest_jax.signature import Signature


def open_or_create(uri: str, like: Signature) -> tuple[Store, bool]:
    """Open a store, or make it for signatures like this one; says whether it was made.

    Raises:
        MissingExtraError: pylance is not installed.
        StoreError: there is something else, or it cannot be written.
        DegenerateSignatureError: it had to be made, and `like` carries no information.
    """
    try:
        return Store.open(uri), False
    except FileNotFoundError:
        pass
    try:
        return Store.create(uri, like=like), True
    except StoreError:
        # Somebody else may have made it just now; any other reason is raised again by `open`, or was the reason.
        try:
            return Store.open(uri), False
        except FileNotFoundError:
            pass
        raise
