"""Open a store, or make it where there is none."""

from collections.abc import Sequence

from zest_jax.errors import StoreError
from zest_jax.names import check_text
from zest_jax.screening.layout import Header
from zest_jax.screening.sketch import DEFAULT
from zest_jax.screening.store import Store
from zest_jax.signature import Signature


def open_or_create(uri: str, signatures: Sequence[Signature]) -> tuple[Store, bool]:
    """Open a store, or make it for signatures like these, which are added next; says whether it was made.

    It is not made where these could not be added: an empty store would be bound to their probe set.

    Raises:
        MissingExtraError: pylance is not installed.
        StoreError: there is something else, or it cannot be written.
        ValueError, ProbeMismatchError, DegenerateSignatureError, FileFormatError: it had to be made, and one of them could not
            be added.
    """
    try:
        return Store.open(uri), False
    except FileNotFoundError:
        pass
    header = Header.of(signatures[0], DEFAULT)
    for signature in signatures:
        check_text("label", signature.label)
        header.check(signature, uri)
    try:
        return Store.create(uri, like=signatures[0]), True
    except StoreError:
        # Somebody else may have made it just now; any other reason is raised again by `open`, or was the reason.
        try:
            return Store.open(uri), False
        except FileNotFoundError:
            pass
        raise
