"""Options of models behind an HTTP address, and what the commands say about their cost."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from zest_jax.cli.console import note
from zest_jax.cli.files import UsageError, check_exists
from zest_jax.cli.options import SolveOptions

if TYPE_CHECKING:
    from zest_jax.blackbox import BlackBox
    from zest_jax.probes import ProbeSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteOptions:
    """Models behind an HTTP address (https://...); docs/remote.md tells more."""

    journal: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default of sign: the output's name with .journal)")
    ] = None
    """File to which every answer goes at once; what it holds is never asked again."""

    budget: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: no limit)")] = None
    """Inputs sent, at most, over all runs with the same journal, whatever they asked; those of repeated requests count."""

    protocol: Annotated[
        Literal["kserve", "kserve-v1", "torchserve"] | None,
        arg(metavar="{kserve,kserve-v1,torchserve}", help_behavior_hint="(default: told by the URL)"),
    ] = None
    """How the service is asked: KServe (Open Inference, version 2), its version 1 (TensorFlow Serving), or TorchServe."""

    request: Annotated[str | None, arg(metavar="JSON|@FILE", help_behavior_hint="(default: the protocol's)")] = None
    """Template of a request to any other service, with "$inputs" where the list of inputs belongs, or "$input" where one does:
    '{"inputs": "$inputs"}'; secrets as names of environment variables, "${KEY}"."""

    answer: Annotated[str | None, arg(metavar="JSON|@FILE", help_behavior_hint="(default: the protocol's)")] = None
    """Template of its answers, with "$outputs" where the list of scores is: '{"scores": "$outputs"}'; or "$output", "$label",
    "$score"."""

    header: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="NAME: VALUE", help_behavior_hint="(default: none; repeatable)")
    ] = ()
    """Header of every request; secrets as names of environment variables, in single quotes: 'Authorization: Bearer $KEY'."""

    encoding: Annotated[
        Literal["numbers", "png", "wav", "text"] | None,
        arg(metavar="{numbers,png,wav,text}", help_behavior_hint="(default: numbers; text for texts)"),
    ] = None
    """How an input is written: nested lists of numbers, or files in base64, which hold 8 (PNG) or 16 bits (WAV)."""

    answers: Annotated[
        Literal["top-k", "labels"] | None,
        arg(metavar="{top-k,labels}", help_behavior_hint="(default: scores of all classes)"),
    ] = None
    """What a service answers that tells less than the scores of all classes: those of the best, or a label alone."""

    n_classes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: told by the answers or names)")] = (
        None
    )
    """How many classes there are, where answers are numbered, not named, and not all show in each."""

    inputs_per_request: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 16)")] = None
    """Inputs in one request, at most."""

    in_flight: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 4)")] = None
    """Requests that wait for their answer at the same time, at most."""

    rate_limit: Annotated[float | None, arg(metavar="PER_SECOND", help_behavior_hint="(default: no limit)")] = None
    """Requests per second, at most."""

    timeout: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: 60)")] = None
    """Without a sign of the server for so long a request is given up and repeated."""

    attempts: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 6)")] = None
    """How often a request is sent before the run fails; waits between attempts are doubled each time."""

    longest_wait: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: 300)")] = None
    """A server that asks for a longer pause ends the run."""

    ca: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the usual authorities)")] = None
    """Certificates (PEM) of the authorities that vouch for the server."""

    verify: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """Answered questions that are asked once more when a journal is gone on with, to see that it is still the same model."""

    def settings(self, *, journal: Path | None = None, modality: str | None = None) -> dict[str, Any]:
        """Keyword arguments of `from_http` that were given; a default for `journal`, and what is asked about."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        given["headers"] = _headers(given.pop("header")) or None
        for name in ("request", "answer"):
            given[name] = _template(given[name], name)
        given["journal"] = given["journal"] or journal
        given["modality"] = modality
        return {name: value for name, value in given.items() if value is not None}


def is_url(model: str) -> bool:
    """Whether a model is asked over the network."""
    return model.lower().startswith(("http://", "https://"))


@contextlib.contextmanager
def closed_in_the_end(boxes: "Sequence[BlackBox]") -> Iterator[None]:
    """Close connections and journals, which are single files again then."""
    from zest_jax.blackbox import HttpBlackBox

    with contextlib.ExitStack() as stack:
        for box in boxes:
            if isinstance(box, HttpBlackBox):
                stack.callback(box.close)
        yield


def answers_in(box: "BlackBox") -> Path | None:
    """The journal of a remote model, where it holds answers."""
    from zest_jax.blackbox import HttpBlackBox

    return box.journal.path if isinstance(box, HttpBlackBox) and box.sent.answered else None


def tell_costs(boxes: "Sequence[BlackBox]", probes: "ProbeSet", solve: SolveOptions) -> None:
    """Say what asking remote models costs."""
    from zest_jax.cost import costs_of

    for cost in costs_of(boxes, probes, batch_size=solve.batch_size, check=solve.check):
        note(str(cost))


def tell_sent(boxes: "Sequence[BlackBox]") -> None:
    """Say what was sent to remote models, and where their answers are."""
    from zest_jax.blackbox import HttpBlackBox

    for box in boxes:
        if isinstance(box, HttpBlackBox):
            sent = box.sent
            note(
                f"{box.label}: {sent.inputs:,} inputs sent so far in {sent.requests:,} requests, {sent.retries:,} of them "
                f"repeated; {sent.answered:,} answers are kept in {box.journal.path}"
            )


def _headers(lines: Sequence[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            # The line may hold a secret: it is not shown.
            raise UsageError("a --header has no NAME: VALUE form; write 'X-Api-Key: $KEY', in single quotes")
        headers[name.strip()] = value.strip()
    return headers


def _template(given: str | None, name: str) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    path = Path(given[1:])
    check_exists(path, f"--{name} @FILE names a file with a JSON template")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file in UTF-8 ({error}); --{name} names a JSON template") from error
