"""The journal of a remote model: every answer, and all that was sent, in one SQLite file.

What is in it survives the death of the process at any moment: an answer is committed before the next question of the same
worker is sent, and what a request may cost is committed before it leaves.
"""

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zest_jax.blackbox.http.scores import Answer
from zest_jax.errors import BudgetError, FileFormatError, ModelOutputError, WrongFileError

# What tells a journal from other SQLite files: "ZEST", in the place that SQLite keeps for it.
APPLICATION_ID = 0x5A455354
VERSION = 1
# Seconds to wait for another process that writes into the same journal.
BUSY = 60.0
# SQLite takes at least this many parameters in one statement, whatever its version.
_AT_ONCE = 900

_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (question BLOB PRIMARY KEY, kind TEXT NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS endpoints (
        endpoint TEXT PRIMARY KEY, description TEXT NOT NULL,
        inputs INTEGER NOT NULL DEFAULT 0, requests INTEGER NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0,
        answered INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE TABLE IF NOT EXISTS told (endpoint TEXT, name TEXT, value TEXT NOT NULL, PRIMARY KEY (endpoint, name))",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


class Sent(NamedTuple):
    """What was ever sent, by all runs that share the journal.

    Attributes:
        inputs: inputs sent, those of repeated requests included.
        requests: requests sent, repeated ones included.
        retries: how many of the requests repeated one that had failed.
        answered: inputs whose answers are kept.
    """

    inputs: int = 0
    requests: int = 0
    retries: int = 0
    answered: int = 0


class Journal:
    """Answers by the hash of their question, and a ledger of what was sent. Safe to use from several threads and processes.

    Args:
        path: the file, made when it is not there; None keeps everything in memory.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        FileFormatError: the file is something else, damaged, or of a later version.
        OSError: it cannot be written.

    >>> journal = Journal(None)
    >>> journal.put("endpoint", {b"a question": np.array([0.25, 0.75], np.float32), b"another": "cat"})
    >>> found = journal.get([b"a question", b"another", b"a third"])
    >>> found[b"a question"].tolist(), found[b"another"], len(found)
    ([0.25, 0.75], 'cat', 2)
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        if self.path is not None and not self.path.absolute().parent.is_dir():
            raise FileNotFoundError(
                f"cannot write the journal {self.path}: the folder {self.path.parent} does not exist; create it first"
            )
        if self.path is not None and self.path.is_dir():
            raise WrongFileError(f"{self.path} is a folder, not a journal; name a file")
        with self._errors_named():
            # Transactions are begun and ended here by hand.
            self._db = sqlite3.connect(
                ":memory:" if self.path is None else self.path,
                timeout=BUSY,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with self._errors_named():
                self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        # Answers cost money: they shall survive a power cut, too.
        self._db.execute("PRAGMA synchronous = FULL")
        # Looked at and written in one: another process may be making the same journal.
        self._patiently("BEGIN IMMEDIATE")
        try:
            self._check_kind()
            for statement in _TABLES:
                self._db.execute(statement)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self._patiently("PRAGMA journal_mode = WAL")

    def _patiently(self, statement: str) -> None:
        """Execute what SQLite refuses at once, without the time-out, while another process changes the kind of the journal."""
        end = time.monotonic() + BUSY
        while True:
            try:
                self._db.execute(statement).fetchall()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(0.02)

    def _check_kind(self) -> None:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION_ID and tables:
            raise WrongFileError(f"{self.path} is another SQLite database, not a journal of answers; name another file")
        if version > VERSION:
            raise FileFormatError(
                f"{self.path} is a journal of version {version}, and this zest_jax reads version {VERSION}; update it"
            )

    def describe(self, endpoint: str, description: str) -> None:
        """Note in words what an endpoint is, for whoever opens the file."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO endpoints (endpoint, description) VALUES (?, ?) "
                "ON CONFLICT (endpoint) DO UPDATE SET description = excluded.description",
                (endpoint, description),
            )

    def get(self, questions: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers that are known, by question: scores float32 [classes], scores by label, or a label."""
        found: dict[bytes, Answer] = {}
        with self._lock, self._errors_named():
            for start in range(0, len(questions), _AT_ONCE):
                part = questions[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(part))
                rows = self._db.execute(f"SELECT question, kind, value FROM answers WHERE question IN ({marks})", part)
                found.update((question, _read(kind, value)) for question, kind, value in rows)
        return found

    def put(self, endpoint: str, answers: Mapping[bytes, Answer]) -> None:
        """Keep answers, float32 [classes] or as `get` tells, all or none; they are on disk when this returns."""
        with self._transaction() as db:
            before = db.total_changes
            db.executemany(
                "INSERT OR IGNORE INTO answers (question, kind, value) VALUES (?, ?, ?)",
                [(question, *_written(answer)) for question, answer in answers.items()],
            )
            kept = db.total_changes - before
            self._add(db, endpoint, answered=kept)

    def spend(self, endpoint: str, inputs: int, *, retry: bool, budget: int | None) -> None:
        """Note, before a request is sent, how many inputs it holds.

        Raises:
            BudgetError: it would exceed `budget`, counted over all that this journal notes, since the same service asked with
                another header or template is another endpoint; nothing is noted.
        """
        with self._transaction() as db:
            spent = self._total().inputs
            if budget is not None and spent + inputs > budget:
                raise BudgetError(
                    f"the budget of {budget:,} inputs is spent: {spent:,} were sent (repeated requests count), and a request "
                    f"of {inputs:,} does not fit; what was answered is kept. Raise `budget` to go on"
                )
            self._add(db, endpoint, inputs=inputs, requests=1, retries=int(retry))

    def take_back(self, endpoint: str, inputs: int, *, retry: bool) -> None:
        """Undo `spend` for a request that never left this machine."""
        with self._transaction() as db:
            self._add(db, endpoint, inputs=-inputs, requests=-1, retries=-int(retry))

    def sent(self, endpoint: str) -> Sent:
        """All that was ever sent to an endpoint."""
        with self._lock, self._errors_named():
            return self._sent(endpoint)

    def total(self) -> Sent:
        """All that was ever sent by all runs that share this journal, to whatever endpoint."""
        with self._lock, self._errors_named():
            return self._total()

    def check_told(self, endpoint: str, told: Mapping[str, str]) -> None:
        """Keep what a server tells about its model, such as its version.

        Raises:
            ModelOutputError: it told something else before, so that these are answers of another model.
        """
        with self._transaction() as db:
            for name, value in told.items():
                db.execute(
                    "INSERT OR IGNORE INTO told (endpoint, name, value) VALUES (?, ?, ?)", (endpoint, name, value)
                )
                row = db.execute("SELECT value FROM told WHERE endpoint = ? AND name = ?", (endpoint, name)).fetchone()
                if row[0] != value:
                    raise ModelOutputError(
                        f"the server now answers with {name} {value!r}, earlier with {row[0]!r}: answers of two models "
                        "cannot make one signature; name another journal, or a URL with the version in it"
                    )

    def close(self) -> None:
        """Close the file; what is in it is complete at any time."""
        with self._lock:
            self._db.close()

    def _sent(self, endpoint: str) -> Sent:
        row = self._db.execute(
            "SELECT inputs, requests, retries, answered FROM endpoints WHERE endpoint = ?", (endpoint,)
        ).fetchone()
        return Sent() if row is None else Sent(*row)

    def _total(self) -> Sent:
        columns = ", ".join(f"COALESCE(SUM({name}), 0)" for name in Sent._fields)
        return Sent(*self._db.execute(f"SELECT {columns} FROM endpoints").fetchone())

    def _add(
        self,
        db: sqlite3.Connection,
        endpoint: str,
        *,
        inputs: int = 0,
        requests: int = 0,
        retries: int = 0,
        answered: int = 0,
    ) -> None:
        db.execute("INSERT OR IGNORE INTO endpoints (endpoint, description) VALUES (?, '')", (endpoint,))
        db.execute(
            "UPDATE endpoints SET inputs = inputs + ?, requests = requests + ?, retries = retries + ?, "
            "answered = answered + ? WHERE endpoint = ?",
            (inputs, requests, retries, answered, endpoint),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors_named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, no right to write, a lock that is never given back
            raise OSError(f"the journal {self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise FileFormatError(
                f"{self.path} is no journal, or damaged ({error}); name another file, or restore it"
            ) from error


class Ledger(NamedTuple):
    """A journal, and the endpoint that is asked."""

    journal: Journal
    endpoint: str

    def spend(self, inputs: int, *, retry: bool, budget: int | None) -> None:
        """See `Journal.spend`."""
        self.journal.spend(self.endpoint, inputs, retry=retry, budget=budget)

    def take_back(self, inputs: int, *, retry: bool) -> None:
        """See `Journal.take_back`."""
        self.journal.take_back(self.endpoint, inputs, retry=retry)


def _written(answer: Answer) -> tuple[str, bytes]:
    if isinstance(answer, np.ndarray):
        return "float32", answer.astype("<f4", copy=False).tobytes()
    return "json", json.dumps(answer, ensure_ascii=False).encode()


def _read(kind: str, value: bytes) -> Answer:
    if kind == "float32":
        return np.frombuffer(value, "<f4").astype(np.float32)
    return json.loads(value)
