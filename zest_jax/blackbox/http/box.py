"""A black box behind an HTTP address: questions in, answers from the journal or the server, in order."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zest_jax.blackbox.http.encoding import Encoder
from zest_jax.blackbox.http.exchange import Exchange
from zest_jax.blackbox.http.headers import Headers
from zest_jax.blackbox.http.journal import Journal, Ledger, Sent
from zest_jax.blackbox.http.pacing import Stopped
from zest_jax.blackbox.http.protocols import Protocol
from zest_jax.blackbox.http.scores import Answer, Answers, Columns, normal_form
from zest_jax.blackbox.outputs import change
from zest_jax.blackbox.protocol import HostBlackBox
from zest_jax.blackbox.settings import check_shape
from zest_jax.errors import ModelOutputError

# Answers of two runs belong to the same model when they differ by less than this share of their spread.
VERIFY_TOLERANCE = 1e-2


class HttpBlackBox(HostBlackBox):
    """A model behind an HTTP address. Made by `from_http`.

    Attributes:
        url: where it is asked.
        endpoint: SHA-256 of all that decides what it is asked: URL, protocol, encoding, headers, without their secrets.
        journal: every answer, and what was sent.
        traffic: how fast, how often, how long.

    Args:
        url: where it is asked.
        exchange: sends a request, again where that fails.
        journal: file of the journal, or None.
        protocol: how questions are written and answers read.
        encoder: how an input is written.
        input_shape: shape that the server tells of its input, None for what is open; [] where it tells nothing.
        answers: "auto", "top-k" or "labels", see `from_http`.
        n_classes: how many classes there are, or None.
        verify: answered questions that are asked once more.
        headers: of every request.
        settings: further entries for the black box's `settings`.
        **kwargs: `label`, `spec`, `class_names` and `returns`, see `BlackBox`.

    Raises:
        FileNotFoundError, FileFormatError: the journal cannot be opened, see `Journal`.
        RemoteError: when asked, if the service cannot be reached, refuses, or fails again and again.
        BudgetError: when asked, if the budget does not reach.
        ModelOutputError: when asked, if an answer cannot be used, or is another model's.

    >>> from zest_jax import from_http
    >>> box = from_http("https://models.example/classify", journal=None, request={"x": "$inputs"}, answer={"y": "$outputs"})
    >>> box.sent.inputs, box.inputs_per_request, len(box.questions(np.zeros((2, 8, 8, 3), np.float32))[0])
    (0, 16, 32)
    """

    in_callbacks = False

    def __init__(
        self,
        url: str,
        *,
        exchange: Exchange,
        journal: str | os.PathLike[str] | None,
        protocol: Protocol,
        encoder: Encoder,
        input_shape: Sequence[int | None],
        answers: Answers,
        n_classes: int | None,
        verify: int,
        headers: Headers,
        settings: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        identity = {
            "url": url,
            "encoder": encoder.to_json(),
            "headers": headers.identity,
            **protocol.to_json(),
            **protocol.identity,
        }
        self.endpoint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        shown = {
            "url": url,
            "endpoint": self.endpoint,
            **protocol.to_json(),
            "encoding": encoder.kind,
            "answers": answers,
        }
        exchange.secrets.update(protocol.secrets)
        super().__init__(settings={**settings, **shown}, **kwargs)
        self.url, self.traffic = url, exchange.traffic
        self._exchange, self._protocol, self._encoder, self._shape = exchange, protocol, encoder, input_shape
        # Enough for all requests that may be in flight, and no more: checks ask a batch twice again.
        self.wanted_batch = self.traffic.in_flight * self.inputs_per_request
        self._columns = Columns(
            self.label, answers=answers, class_names=self.class_names, n_classes=n_classes, returns=self.returns
        )
        self.journal = Journal(journal)
        self._ledger = Ledger(self.journal, self.endpoint)
        self.journal.describe(self.endpoint, json.dumps(identity, sort_keys=True, ensure_ascii=False))
        self._to_verify = verify if self.sent.answered else 0
        # What was verified, or answered by this very run.
        self._sure: set[bytes] = set()
        self._again = 0
        self._told: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def inputs_per_request(self) -> int:
        """Inputs that one request holds, at most."""
        return 1 if self._protocol.one_by_one else self.traffic.inputs_per_request

    @property
    def sent(self) -> Sent:
        """What was ever sent to this endpoint, by all runs that share the journal."""
        return self.journal.sent(self.endpoint)

    @property
    def to_verify(self) -> int:
        """Answered questions that are still to be asked once more, to see that it is the same model."""
        return self._to_verify

    @contextlib.contextmanager
    def asked_again(self, nth: int) -> Iterator[None]:
        before, self._again = self._again, nth
        try:
            yield
        finally:
            self._again = before

    def questions(self, prepared: np.ndarray) -> list[bytes]:
        """The hash of each of these inputs [n, ...], already prepared by `spec`, by which the journal knows its answer.

        Raises:
            ValueError: they are of another shape than the server tells that it takes.
        """
        check_shape(prepared, self._shape, self.label, self.spec)
        return self._questions(self._encoder.rounded(prepared))

    def _questions(self, rounded: np.ndarray) -> list[bytes]:
        keys = []
        for position, one in enumerate(rounded):
            digest = hashlib.sha256(f"{self.endpoint} ".encode() + self._encoder.key(one))
            if self._again:  # another question each time, and at each place
                digest.update(f" again {self._again} {position}".encode())
            keys.append(digest.digest())
        return keys

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        check_shape(prepared, self._shape, self.label, self.spec)
        rounded = self._encoder.rounded(prepared)
        keys = self._questions(rounded)
        # Equal inputs are asked once.
        inputs = dict(zip(keys, rounded, strict=True))
        found = self.journal.get(list(inputs))
        # Before anything is paid for: what is known must go with these settings.
        try:
            self._columns.check(list(found.values()))
        except ModelOutputError as error:
            raise ModelOutputError(
                f"{error} (so says the journal {self.journal.path}; if these are not the settings to mend, name another)"
            ) from None
        if self._to_verify and not self._again and (old := [key for key in found if key not in self._sure]):
            self._verify({key: inputs[key] for key in old[: self._to_verify]}, found)
        new = self._ask({key: one for key, one in inputs.items() if key not in found}, keep=True)
        if self._to_verify:
            self._sure.update(new)
        found |= new
        rows = self._columns.rows([found[key] for key in keys])
        self.class_names = self._columns.names
        return rows

    def _ask(self, inputs: Mapping[bytes, Any], *, keep: bool) -> dict[bytes, Answer]:
        """Ask about inputs, several requests at a time."""
        keys, size = list(inputs), self.inputs_per_request
        parts = [keys[start : start + size] for start in range(0, len(keys), size)]
        answers: dict[bytes, Answer] = {}
        if not parts:
            return answers
        self._exchange.pace.go()
        with concurrent.futures.ThreadPoolExecutor(min(self.traffic.in_flight, len(parts)), "zest-http") as pool:
            running = [pool.submit(self._ask_part, {key: inputs[key] for key in part}, keep) for part in parts]
            try:
                concurrent.futures.wait(running)
                errors = [error for future in running if (error := future.exception()) is not None]
                if errors:
                    raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
                for future in running:
                    answers |= future.result()
            except BaseException:
                # Nothing more leaves. What is on its way has its price: the pool waits for it, and its answers are kept.
                self._exchange.pace.stop()
                raise
        return answers

    def _ask_part(self, inputs: Mapping[bytes, Any], keep: bool) -> dict[bytes, Answer]:
        try:
            with self._exchange.redacting():
                return self._ask_once(inputs, keep)
        except BaseException:
            # At once, and not when the loop wakes up: until then this worker would send the next request.
            self._exchange.pace.stop()
            raise

    def _ask_once(self, inputs: Mapping[bytes, Any], keep: bool) -> dict[bytes, Answer]:
        body, content_type = self._protocol.request(list(inputs.values()), self._encoder)
        answer = self._exchange.post(self.url, body, content_type, inputs=len(inputs), ledger=self._ledger)
        outputs = self._protocol.outputs(answer, self.label)
        if len(outputs) != len(inputs):
            raise ModelOutputError(
                f"{self.label} answered {len(outputs)} outputs to a request of {len(inputs)} inputs; which belongs to which "
                "cannot be told, so none is kept. Set `inputs_per_request` to what it takes at once"
            )
        answers = {
            key: normal_form(one, self.label, named=self._columns.named)
            for key, one in zip(inputs, outputs, strict=True)
        }
        with self._lock:
            # What no row can be made of must not be kept: every later run would stumble over it.
            self._columns.check(list(answers.values()))
            if (told := self._protocol.told(answer)) != self._told:
                self.journal.check_told(self.endpoint, told)
                self._told = told
        if keep:
            self.journal.put(self.endpoint, answers)
        return answers

    def _verify(self, inputs: Mapping[bytes, Any], known: Mapping[bytes, Answer]) -> None:
        now = self._ask(inputs, keep=False)
        self._to_verify -= len(inputs)
        self._sure.update(inputs)
        before, after = (self._columns.rows([answers[key] for key in inputs]) for answers in (known, now))
        moved = change(before, after)
        if moved > VERIFY_TOLERANCE:
            raise ModelOutputError(
                f"{self.label} answers {len(inputs)} questions of the journal differently now (by {moved:.1%} of their spread): "
                "another model is behind its address, and answers of two models cannot make one signature. Name another journal"
            )

    def close(self) -> None:
        """Close connections and journal; the answers are on disk at any time."""
        self._exchange.close()
        self.journal.close()
