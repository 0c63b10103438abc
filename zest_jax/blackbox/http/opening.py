"""Open a model behind an HTTP address: what was given, and what the server tells, made into a black box."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from zest_jax.blackbox.class_names import names_in_metadata
from zest_jax.blackbox.http.box import HttpBlackBox
from zest_jax.blackbox.http.encoding import Encoding, encoder_of
from zest_jax.blackbox.http.exchange import Exchange, Traffic
from zest_jax.blackbox.http.headers import Headers, check_url
from zest_jax.blackbox.http.protocols import (
    DATATYPES,
    KServeModel,
    KServeV1,
    Protocol,
    ProtocolName,
    TemplateProtocol,
    TorchServe,
    kserve_urls,
    model_name,
    protocol_of,
    read_kserve_metadata,
)
from zest_jax.blackbox.http.scores import Answers
from zest_jax.blackbox.outputs import Output
from zest_jax.blackbox.protocol import Layout, Returns, TextSpec
from zest_jax.blackbox.settings import CommonSettings, layout_of, spec_of
from zest_jax.data.known import Modality


class HttpSettings(CommonSettings, total=False):
    """The keyword arguments of `from_http`.

    >>> settings: HttpSettings = {"journal": None, "budget": 50_000, "request": {"x": "$inputs"}, "answer": {"y": "$outputs"}}
    >>> from_http("https://models.example/classify", **settings).traffic.budget
    50000
    """

    journal: str | os.PathLike[str] | None
    protocol: ProtocolName
    request: Any
    answer: Any
    encoding: Encoding
    modality: Modality
    layout: Layout | Literal["auto"]
    answers: Answers
    n_classes: int | None
    headers: Mapping[str, str] | None
    ca: str | os.PathLike[str] | None
    budget: int | None
    inputs_per_request: int
    in_flight: int
    rate_limit: float | None
    timeout: float
    attempts: int
    backoff: float
    longest_wait: float
    verify: int


def from_http(
    url: str,
    *,
    journal: str | os.PathLike[str] | None,
    protocol: ProtocolName = "auto",
    request: Any = None,
    answer: Any = None,
    encoding: Encoding = "auto",
    modality: Modality = "image",
    answers: Answers = "auto",
    n_classes: int | None = None,
    headers: Mapping[str, str] | None = None,
    ca: str | os.PathLike[str] | None = None,
    budget: int | None = None,
    inputs_per_request: int = 16,
    in_flight: int = 4,
    rate_limit: float | None = None,
    timeout: float = 60.0,
    attempts: int = 6,
    backoff: float = 0.5,
    longest_wait: float = 300.0,
    verify: int = 0,
    output: Output = None,
    layout: Layout | Literal["auto"] = "auto",
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] | None = None,
    rate: int | None = None,
    returns: Returns = "auto",
) -> HttpBlackBox:
    """Make a black box of a model behind an HTTP address; docs/remote.md tells more.

    Args:
        url: where it is asked. KServe (`.../v2/models/NAME`, `.../v1/models/NAME:predict`) and TorchServe
            (`.../predictions/NAME`) are recognised by it; others need `request` and `answer`.
        journal: a file to which every answer goes at once (SQLite). Answered questions are not asked again by any run that
            names the same journal. None keeps the answers in memory: what dies with the process must be paid for again.
        protocol: "kserve" (Open Inference, version 2), "kserve-v1" or "torchserve", where the URL does not tell.
        request: JSON template of a request, as text or Python values: {"inputs": "$inputs"}; secrets in it are names of
            environment variables, "${NAME}". See `zest_jax.blackbox.http.template`.
        answer: JSON template of its answer: {"scores": "$outputs"}.
        encoding: how an input is written. Images: "numbers" (nested lists, the default) or "png"; sounds: "numbers" or "wav";
            texts are strings. Files go as base64 inside JSON, and hold 8 and 16 bits: inputs are rounded to that.
        modality: what it is asked about: "image", "text" or "audio".
        answers: "auto" for scores of all classes; "top-k" for those of the best alone, the others are filled in
            (`spread_top_k`); "labels" for no scores, the label becomes 1 and all else 0. Both tell much less: see docs/remote.md.
        n_classes: how many classes there are, where answers are numbered, not named, and not all show in each.
        headers: {"Authorization": "Bearer $SERVICE_KEY"}: secrets are names of environment variables here; their values go
            nowhere but to the server.
        ca: a file with the certificates (PEM) of the authorities to trust instead of the usual ones.
        budget: inputs sent, at most, over all runs with the same journal, whatever they asked; those of repeated requests
            count. None: no limit.
        inputs_per_request: at most; services that take one input per request get one.
        in_flight: requests that wait for their answer at the same time, at most.
        rate_limit: requests per second, at most.
        timeout: seconds without a sign of the server before a request is given up and repeated.
        attempts: how often a request is sent. Repeated are broken connections, time-outs, statuses 408, 425, 429 and 5xx,
            and answers that are no JSON.
        backoff: seconds before the second time, doubled before each further one.
        longest_wait: seconds; a server that asks for a longer pause (`Retry-After`) ends the run.
        verify: how many answered questions are asked once more when a journal is gone on with, to see that it is still the
            same model that answers: the first that come up again, over as many batches as it takes.
        output: of KServe, index or name of the output to take; None for the only one, or the only [batch, classes] one.
        layout: of images; "auto" reads it from what a KServe server tells, else takes "NHWC" (sounds: "NT").
        class_names: one per class, in order; by default those that the server tells, or that come with the scores, sorted.

    The other arguments are those of `from_jax`; `label` is the model's name in the URL by default.

    Raises:
        MissingExtraError: httpx is not installed.
        ValueError: a setting is out of range or does not fit, the URL tells no protocol, or it, a header or `request` holds a
            secret in the open.
        RemoteError: a KServe server does not tell about its model.
        ModelOutputError: a KServe model does not take one tensor; when asked, if its answers cannot be used.
        FileFormatError: `journal` is something else.

    >>> suspect = from_http(
    ...     "https://models.example/classify",
    ...     journal=None,
    ...     request={"inputs": "$inputs"},
    ...     answer={"scores": "$outputs"},
    ...     budget=50_000,
    ... )
    >>> suspect.label, suspect.settings["protocol"], suspect.sent.inputs
    ('models.example/classify', 'template', 0)
    """
    check_url(url)
    traffic = Traffic(
        inputs_per_request=inputs_per_request,
        in_flight=in_flight,
        rate_limit=rate_limit,
        timeout=timeout,
        attempts=attempts,
        backoff=backoff,
        longest_wait=longest_wait,
        budget=budget,
    )
    if verify < 0:
        raise ValueError(f"`verify` is {verify}; give a number of questions, 0 or more")
    if answers not in ("auto", "top-k", "labels"):
        raise ValueError(f"`answers` is {answers!r}; choose 'auto', 'top-k' or 'labels'")
    if answers != "auto" and returns == "auto":
        returns = "probabilities"
    if answers == "labels" and returns == "logits":
        raise ValueError("`returns` is 'logits', and labels become scores of 0 and 1; leave it out")
    label = label or model_name(url)
    if modality == "text" and (mean, std, value_range, rate, layout) != (None, None, None, None, "auto"):
        raise ValueError(
            f"{label} takes texts; mean, std, value_range, layout and rate belong to images and sounds: leave them out"
        )
    kind = _kind(url, protocol, request, answer)
    if output is not None and kind != "kserve":
        raise ValueError("`output` chooses among the outputs of KServe; say with `answer` where the scores are")
    exchange = Exchange(label=label, headers=Headers(headers), traffic=traffic, ca=None if ca is None else Path(ca))
    told: KServeModel | None = None
    if kind == "kserve":
        about, url = kserve_urls(url)
        with exchange.redacting():
            told = read_kserve_metadata(exchange.get(about), output, label)
    dtype = "float32" if told is None else DATATYPES.get(told.protocol.datatype, "float32")
    if dtype == "uint8" and (mean is not None or std is not None):
        raise ValueError(f"{label} takes uint8 pixels, so it normalises them itself; leave out `mean` and `std`")
    found_layout, layout_from = _layout(told, layout, label, modality)
    spec = spec_of(mean, std, value_range or ((0.0, 255.0) if dtype == "uint8" else (0.0, 1.0)), found_layout, rate)
    encoder = encoder_of(_encoding(encoding, told, modality, label), modality, spec, dtype)
    chosen: Protocol = (
        told.protocol
        if told is not None
        else KServeV1(files=encoder.kind in ("png", "wav"))
        if kind == "kserve-v1"
        else TorchServe()
        if kind == "torchserve"
        else TemplateProtocol(request=request, answer=answer)
    )
    names, ignored = class_names, None
    if names is None and told is not None:
        names, ignored = names_in_metadata(told.parameters, told.n_classes or n_classes)
    return HttpBlackBox(
        url,
        exchange=exchange,
        journal=journal,
        protocol=chosen,
        encoder=encoder,
        # Of files and texts the server sees no shape.
        input_shape=told.shape if told is not None and encoder.kind == "numbers" else [],
        answers=answers,
        n_classes=n_classes,
        verify=verify,
        headers=exchange.headers,
        label=label,
        class_names=names,
        spec=TextSpec() if modality == "text" else spec,
        returns=returns,
        settings={
            "adapter": "http",
            "modality": modality,
            **({} if layout_from is None else {"layout_from": layout_from}),
            **({"class_names_ignored": ignored} if ignored else {}),
        },
    )


def _kind(url: str, protocol: ProtocolName, request: Any, answer: Any) -> str:
    if (request is None) != (answer is None):
        missing = (
            "`answer`: where its answers hold the scores" if answer is None else "`request`: how inputs are written"
        )
        raise ValueError(f"templates go in pairs; give {missing}")
    if request is not None:
        if protocol != "auto":
            raise ValueError(f"`protocol` is {protocol!r}, and templates are given; leave out one of them")
        return "template"
    kind = protocol_of(url, protocol)
    if not kind:
        raise ValueError(
            f"{url} does not tell how it is asked: it ends neither like KServe (/v2/models/NAME, /v1/models/NAME:predict) nor "
            'like TorchServe (/predictions/NAME). Give `protocol`, or templates such as `request` {"inputs": "$inputs"} and '
            '`answer` {"scores": "$outputs"}'
        )
    return kind


def _layout(told: KServeModel | None, layout: Any, label: str, modality: Modality) -> tuple[Layout, str | None]:
    if modality == "text":
        return "NHWC", None
    if told is not None and told.protocol.datatype != "BYTES":
        return layout_of(told.shape, layout, label)
    if layout != "auto":
        return layout, "given"
    return ("NHWC", "assumed") if modality == "image" else ("NT", "assumed")


def _encoding(encoding: Encoding, told: KServeModel | None, modality: Modality, label: str) -> Encoding:
    """Fit the encoding to what a KServe server says that it takes."""
    if told is None:
        return encoding
    strings = told.protocol.datatype == "BYTES"
    if encoding == "auto" and strings:
        files: dict[str, Encoding] = {"image": "png", "audio": "wav", "text": "text"}
        return files[modality]
    if strings != (encoding in ("png", "wav") or modality == "text"):
        takes = "strings (BYTES): texts, or files in base64" if strings else f"numbers ({told.protocol.datatype})"
        raise ValueError(f"{label} takes {takes}; set `encoding` and `modality` to what it takes")
    return encoding
