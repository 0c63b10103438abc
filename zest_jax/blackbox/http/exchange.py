"""One request and its answer: sent within the budget, repeated when it may help, and explained when it does not."""

import contextlib
import dataclasses
import json
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zest_jax.blackbox.http.headers import Headers
from zest_jax.blackbox.http.journal import Ledger
from zest_jax.blackbox.http.pacing import Pace, backoff, retry_after
from zest_jax.blackbox.http.secrets import Secrets
from zest_jax.errors import ModelOutputError, RemoteError, missing_extra

# Characters of what a server said that a message holds.
QUOTED = 300
# Waits that are told of (seconds): a progress bar that stands still should be explained.
TOLD_WAIT = 2.0
# Statuses below 500 after which another try may help: time-out, too early, too many requests.
_TRY_AGAIN = (408, 425, 429)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """How a service is asked.

    Attributes:
        inputs_per_request: inputs in one request, at most.
        in_flight: requests that wait for their answer at the same time, at most.
        rate_limit: requests per second, at most; None for no limit.
        timeout: seconds without a sign of the server before a request is given up.
        attempts: how often a request is sent before the run fails.
        backoff: seconds to wait before the second attempt, doubled before each further one, with jitter.
        longest_wait: seconds; a server that asks for a longer pause (`Retry-After`) ends the run.
        budget: inputs sent, at most, over all runs with the same journal, whatever its address, headers or templates were;
            repeated requests count. None for no limit.

    >>> Traffic(rate_limit=0)
    Traceback (most recent call last):
    ValueError: `rate_limit` is 0; give requests per second, above 0
    """

    inputs_per_request: int = 16
    in_flight: int = 4
    rate_limit: float | None = None
    timeout: float = 60.0
    attempts: int = 6
    backoff: float = 0.5
    longest_wait: float = 300.0
    budget: int | None = None

    def __post_init__(self) -> None:
        for name in ("inputs_per_request", "in_flight", "attempts"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise ValueError(f"`{name}` is {value}; give a whole number, at least 1")
        for name, unit in (("rate_limit", "requests per second"), ("timeout", "seconds"), ("backoff", "seconds")):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"`{name}` is {value}; give {unit}, above 0")
        if not self.longest_wait >= 0:
            raise ValueError(f"`longest_wait` is {self.longest_wait}; give seconds, 0 or more")
        if self.budget is not None and (self.budget != int(self.budget) or self.budget < 0):
            raise ValueError(f"`budget` is {self.budget}; give a number of inputs, 0 or more")


class _Failed(Exception):
    """One attempt failed; another may help, after `wait` seconds if the server said so."""

    def __init__(self, what: str, *, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class Exchange:
    """Sends requests to one server. Safe to use from several threads.

    Args:
        label: the model, for the error messages.
        headers: with their secrets.
        traffic: how fast, how often, how long.
        ca: a file with the certificates of the authorities to trust, instead of the usual ones.

    Raises:
        MissingExtraError: httpx is not installed.
        FileNotFoundError, ValueError: there is no such file, or no certificate in it.
    """

    def __init__(self, *, label: str, headers: Headers, traffic: Traffic, ca: Path | None = None) -> None:
        try:
            import httpx
        except ImportError as error:
            raise missing_extra("httpx", "remote") from error
        self._httpx = httpx
        self.label, self.headers, self.traffic = label, headers, traffic
        self.secrets = Secrets()
        self.secrets.update(headers.secrets)
        self.pace = Pace(traffic.rate_limit)
        self._client = httpx.Client(
            headers={**headers.values, "Accept": "application/json"},
            timeout=traffic.timeout,
            verify=_trusted(ca),
            limits=httpx.Limits(max_connections=traffic.in_flight, max_keepalive_connections=traffic.in_flight),
            # A redirected POST may become a GET, and another host must not get the headers.
            follow_redirects=False,
        )

    def get(self, url: str) -> Any:
        """What the server tells about its model, parsed from JSON; asks nothing, so costs nothing.

        Raises:
            RemoteError: as for `post`.
        """
        return self._repeated(self._client.build_request("GET", url), 0, None)

    def post(self, url: str, body: bytes, content_type: str, *, inputs: int, ledger: Ledger) -> Any:
        """Send a request for so many inputs and return the answer, parsed from JSON.

        Raises:
            RemoteError: the server cannot be reached, refuses the request, or failed at every attempt.
            BudgetError: another attempt would exceed the budget.
            Stopped: `pace.stop` was called meanwhile.
        """
        headers = {"Content-Type": content_type}
        return self._repeated(self._client.build_request("POST", url, content=body, headers=headers), inputs, ledger)

    @contextlib.contextmanager
    def redacting(self) -> Iterator[None]:
        """Cut secrets out of errors that quote what the server answered."""
        try:
            yield
        except ModelOutputError as error:
            raise ModelOutputError(self.secrets.redacted(str(error))) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _repeated(self, request: Any, inputs: int, ledger: Ledger | None) -> Any:
        for attempt in range(1, self.traffic.attempts + 1):
            self.pace.turn()
            try:
                return self._once(request, inputs, ledger, retry=attempt > 1)
            except _Failed as failed:
                if attempt == self.traffic.attempts:
                    raise RemoteError(
                        f"{self.label}: {failed}, at the last of {attempt} attempts; what was answered is kept in the journal. "
                        "Try again later, or raise `attempts` or `timeout`"
                    ) from failed.__cause__
                wait = self._patience(failed, attempt)
                if wait > TOLD_WAIT:
                    _log.warning("%s: %s; waiting %.0f s before attempt %d", self.label, failed, wait, attempt + 1)
                self.pace.sleep(wait)
        raise AssertionError("at least one attempt is made")

    def _patience(self, failed: _Failed, attempt: int) -> float:
        wait = backoff(attempt, self.traffic.backoff)
        if failed.wait is None:
            return wait
        if failed.wait > self.traffic.longest_wait:
            raise RemoteError(
                f"{self.label}: {failed}, and asks to wait {failed.wait:,.0f} s, longer than "
                f"`longest_wait` ({self.traffic.longest_wait:,.0f} s); what was answered is kept in the journal: go on then, or "
                "send more slowly (`rate_limit`)"
            )
        # All workers share what the server asks for, and come back one after another where there is a rate.
        self.pace.hold(failed.wait)
        return max(failed.wait, wait)

    def _once(self, request: Any, inputs: int, ledger: Ledger | None, *, retry: bool) -> Any:
        httpx, host = self._httpx, request.url.netloc.decode("ascii")
        if ledger is not None:
            # Noted before it leaves: a process that dies now must not spend it twice.
            ledger.spend(inputs, retry=retry, budget=self.traffic.budget)
        try:
            response = self._client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if ledger is not None:  # nothing left this machine
                ledger.take_back(inputs, retry=retry)
            if (problem := _certificate_problem(error)) is not None:
                raise RemoteError(
                    f"{self.label}: the certificate of {host} cannot be trusted ({problem}). If an authority of your own signed "
                    "it, give that one's certificate with `ca`"
                ) from error
            raise _Failed(f"{host} cannot be reached ({self._said(error)})") from error
        except httpx.TimeoutException as error:
            raise _Failed(f"no answer within {self.traffic.timeout:g} s") from error
        except httpx.TransportError as error:
            raise _Failed(f"the connection broke ({self._said(error)})") from error
        except httpx.DecodingError as error:
            raise _Failed(f"the answer cannot be unpacked ({self._said(error)})") from error
        return self._read(response)

    def _read(self, response: Any) -> Any:
        status, text = response.status_code, response.text
        if 200 <= status < 300:
            try:
                # Infinity and NaN are no JSON, but many servers write them; they are refused with the scores.
                return json.loads(text)
            except (ValueError, RecursionError) as error:
                raise _Failed(f"the answer is no JSON ({error}); it begins {self._cut(text)}") from error
        said = f"status {status} {response.reason_phrase}".rstrip() + (f", {self._cut(text)}" if text.strip() else "")
        if status in _TRY_AGAIN or status >= 500:
            raise _Failed(f"the server answered with {said}", wait=retry_after(response.headers.get("Retry-After")))
        if 300 <= status < 400:
            raise RemoteError(
                f"{self.label}: {response.url} leads elsewhere (status {status}, to "
                f"{self._cut(response.headers.get('Location', 'nowhere'))}); give that address if you trust it"
            )
        advice = {
            401: "give the key that it wants as a header, from an environment variable",
            403: "give the key that it wants as a header, from an environment variable",
            404: "check the URL",
            405: "check the URL: it must take POST",
            413: "lower `inputs_per_request`",
        }.get(status, "check how it wants its inputs (`protocol`, `request`, `encoding`, `layout`)")
        raise RemoteError(f"{self.label}: the server refused the request with {said}; {advice}")

    def _cut(self, text: str) -> str:
        text = " ".join(self.secrets.redacted(text).split())
        return repr(text if len(text) <= QUOTED else f"{text[:QUOTED]}...")

    def _said(self, error: Exception) -> str:
        return self.secrets.redacted(str(error)) or type(error).__name__


def _trusted(ca: Path | None) -> Any:
    if ca is None:
        return True
    if not ca.exists():
        raise FileNotFoundError(f"there is no file {ca}; `ca` names the certificates of the authorities to trust (PEM)")
    try:
        return ssl.create_default_context(cafile=str(ca))
    except ssl.SSLError as error:
        raise ValueError(
            f"{ca} holds no certificate in PEM form ({error}); `ca` names the authorities to trust"
        ) from error


def _certificate_problem(error: BaseException | None) -> str | None:
    """What TLS did not like about a certificate, if that is why a connection failed."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None
