"""Add signatures to a store in small groups; one that is refused does not keep the others out."""

import time
from typing import NamedTuple

from zest_jax.errors import DegenerateSignatureError, FileFormatError, ProbeMismatchError, StoreError, ZestError
from zest_jax.many.job import Failed, Signed
from zest_jax.many.present import in_the_way
from zest_jax.screening.entries import Metadata
from zest_jax.screening.lance_files import check_room
from zest_jax.screening.opening import open_or_create
from zest_jax.screening.store import Store

# Seconds that a finished signature waits for others, so that not every one makes a version of the store; a killed run has lost
# no more than what these took.
EVERY = 3.0
# Signatures, or bytes of them, that do not wait.
GROUP, GROUP_BYTES = 64, 64 * 2**20


class Added(NamedTuple):
    """What became of a group of signatures.

    Attributes:
        added: those that are new in the store.
        present: those of models that another writer has added meanwhile, signed from the same file with the same options.
        refused: those that are not in the store.
    """

    added: list[Signed]
    present: list[Signed]
    refused: list[Failed]


class Additions:
    """Signatures on their way into a store, which is made for the first of them.

    Attributes:
        uri: of the store.
        store: the store, or None while there is none.
        n_added: how many were added.
    """

    def __init__(self, uri: str, metadata: Metadata) -> None:
        self.uri, self.metadata = uri, metadata
        try:
            self.store: Store | None = Store.open(uri)
        except FileNotFoundError:
            # Said before any question, and not by the first addition.
            check_room(uri)
            self.store = None
        self.n_added = 0
        self._waiting: list[Signed] = []
        self._last = time.monotonic() - EVERY

    def take(self, signed: Signed) -> None:
        """Keep a signature until it is due."""
        self._waiting.append(signed)

    def add_what_is_due(self, *, now: bool = False) -> Added:
        """Add what has waited long enough, or with `now` all.

        Raises:
            StoreError: the store cannot be written; nothing of this group is in it, and the next call tries again.
        """
        size = sum(signed.signature.weights.nbytes for signed in self._waiting)
        due = now or time.monotonic() - self._last >= EVERY or len(self._waiting) >= GROUP or size >= GROUP_BYTES
        if not self._waiting or not due:
            return Added([], [], [])
        good, refused = [], []
        for signed in self._waiting:
            error = self._refusal(signed)
            if error is None:
                good.append(signed)
            else:
                refused.append(Failed(signed.job, str(error), signed.where, signed.tries))
        found = self._added(good)
        self._waiting = []
        self._last = time.monotonic()
        self.n_added += len(found.added)
        return found._replace(refused=refused + found.refused)

    def _refusal(self, signed: Signed) -> ZestError | None:
        """Why the store cannot take a signature, or None; makes the store where there is none."""
        try:
            if self.store is None:
                signed.signature.check_informative()
            else:
                self.store.header.check(signed.signature, self.uri)
        except (DegenerateSignatureError, ProbeMismatchError, FileFormatError) as error:
            return error
        if self.store is None:
            self.store, _ = open_or_create(self.uri, [signed.signature])
        return None

    def _added(self, group: list[Signed]) -> Added:
        """Add a group; where another writer took some of the names meanwhile, the others."""
        if not group:
            return Added([], [], [])
        assert self.store is not None
        try:
            self.store.add([signed.signature for signed in group], metadata=self.metadata)
            return Added(group, [], [])
        except StoreError:
            store = self.store.latest()
            there = {entry.name for entry in store.entries()}
            if not any(signed.job.name in there for signed in group):
                raise
        found = self._added([signed for signed in group if signed.job.name not in there])
        for signed in group:
            if signed.job.name in there:
                (stored,) = store.load([signed.job.name])
                if error := in_the_way(signed.job, stored, self.uri):
                    found.refused.append(Failed(signed.job, error, signed.where, signed.tries, conflict=True))
                else:
                    found.present.append(signed)
        return found
