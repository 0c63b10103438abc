"""How services of known kinds are asked: KServe (Open Inference, version 2 and 1), TorchServe, and JSON templates.

Sources: the Open Inference Protocol (https://github.com/kserve/open-inference-protocol), version 2.0, "Inference" and "Model
Metadata"; TorchServe's inference API ("Predictions API").
"""

import abc
import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from zest_jax.blackbox.http.encoding import Encoder
from zest_jax.blackbox.http.secrets import Secrets
from zest_jax.blackbox.http.template import AnswerTemplate, RequestTemplate, shown
from zest_jax.blackbox.outputs import Output
from zest_jax.errors import ModelOutputError

ProtocolName = Literal["auto", "kserve", "kserve-v1", "torchserve"]

_KSERVE = re.compile(r"(?P<model>.*/v2/models/(?P<name>[^/]+)(/versions/[^/]+)?)(/infer)?/?")
_KSERVE_V1 = re.compile(r".*/v1/models/(?P<name>[^/:]+)(/versions/[^/:]+)?:predict")
_TORCHSERVE = re.compile(r".*/predictions/(?P<name>[^/]+)(/[^/]+)?/?")

#: Of the numbers that a service can take, as Open Inference calls them.
DATATYPES = {"FP32": "float32", "FP64": "float64", "FP16": "float16", "UINT8": "uint8"}


class Protocol(abc.ABC):
    """Writes requests and reads answers of one kind of service.

    Attributes:
        name: what the settings call it.
        one_by_one: whether a request holds one input only.
    """

    name: ClassVar[str]
    one_by_one: bool = False

    @property
    def secrets(self) -> Secrets:
        """Values in requests that no text may hold."""
        return Secrets()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers in other words than `to_json`, or beyond it."""
        return {}

    @abc.abstractmethod
    def request(self, rounded: Sequence[Any], encoder: Encoder) -> tuple[bytes, str]:
        """Body and content type of a request for these inputs, already `Encoder.rounded`."""

    @abc.abstractmethod
    def outputs(self, answer: Any, label: str) -> list[Any]:
        """What the answer holds for each input, in order.

        Raises:
            ModelOutputError: it does not look like an answer of this kind.
        """

    def told(self, answer: Any) -> dict[str, str]:
        """What the answer tells about the model that gave it."""
        return {}

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """All that decides what is asked and what of the answer is taken, JSON-able."""


class TemplateProtocol(Protocol):
    """Requests and answers after JSON templates.

    >>> protocol = TemplateProtocol(request={"inputs": "$inputs"}, answer="$outputs")
    >>> protocol.request(["good", "bad"], Encoder(kind="text"))
    (b'{"inputs":["good","bad"]}', 'application/json')
    """

    name = "template"

    def __init__(self, *, request: Any, answer: Any) -> None:
        self._request = RequestTemplate(request)
        self.one_by_one = self._request.one_by_one
        self._answer = AnswerTemplate(answer, one_by_one=self.one_by_one)

    @property
    def secrets(self) -> Secrets:
        return self._request.secrets

    @property
    def identity(self) -> dict[str, Any]:
        return {"request": self._request.identity}

    def request(self, rounded: Sequence[Any], encoder: Encoder) -> tuple[bytes, str]:
        return _json(self._request.fill([encoder.json_value(one) for one in rounded])), "application/json"

    def outputs(self, answer: Any, label: str) -> list[Any]:
        return self._answer.outputs(answer, label)

    def to_json(self) -> dict[str, Any]:
        return {"protocol": self.name, "request": self._request.template, "answer": self._answer.template}


class KServeV1(TemplateProtocol):
    """`{"instances": [...]}` to `{"predictions": [...]}`: KServe version 1, TensorFlow Serving, TorchServe's envelope.

    Files go as `{"b64": ...}`, as TensorFlow Serving has them.
    """

    name = "kserve-v1"

    def __init__(self, *, files: bool) -> None:
        super().__init__(
            request={"instances": [{"b64": "$input"}]} if files else {"instances": "$inputs"},
            answer={"predictions": "$outputs"},
        )


class TorchServe(Protocol):
    """One input per request: a file or text as it is, or numbers as JSON; the answer is what the handler returns for it."""

    name = "torchserve"
    one_by_one = True

    def request(self, rounded: Sequence[Any], encoder: Encoder) -> tuple[bytes, str]:
        (only,) = rounded
        if encoder.kind == "numbers":
            return _json(encoder.json_value(only)), encoder.media_type
        return encoder.bytes_value(only), encoder.media_type

    def outputs(self, answer: Any, label: str) -> list[Any]:
        return [answer]

    def to_json(self) -> dict[str, Any]:
        return {"protocol": self.name}


@dataclasses.dataclass(frozen=True, kw_only=True)
class KServe(Protocol):
    """The Open Inference Protocol, version 2: one input tensor, one output tensor, JSON.

    Attributes:
        input_name, datatype: of the input tensor.
        output_name: which output tensor is taken; None for the only one in the answer.
    """

    name: ClassVar[str] = "kserve"
    input_name: str
    datatype: str
    output_name: str | None

    def request(self, rounded: Sequence[Any], encoder: Encoder) -> tuple[bytes, str]:
        if self.datatype == "BYTES":
            shape, data = [len(rounded)], [encoder.json_value(one) for one in rounded]
        else:
            batch = np.stack(list(rounded))
            shape, data = list(batch.shape), batch.ravel().tolist()
        tensor = {"name": self.input_name, "shape": shape, "datatype": self.datatype, "data": data}
        wanted = {} if self.output_name is None else {"outputs": [{"name": self.output_name}]}
        return _json({"inputs": [tensor], **wanted}), "application/json"

    def outputs(self, answer: Any, label: str) -> list[Any]:
        tensors = answer.get("outputs") if isinstance(answer, Mapping) else None
        if not isinstance(tensors, list) or not all(isinstance(tensor, Mapping) for tensor in tensors):
            raise ModelOutputError(
                f"{label} answered {shown(answer)}, no answer of the Open Inference Protocol (`outputs`)"
            )
        names = [str(tensor.get("name")) for tensor in tensors]
        chosen = [t for t, name in zip(tensors, names, strict=True) if self.output_name in (None, name)]
        if len(chosen) != 1:
            raise ModelOutputError(
                f"{label} answered the outputs {', '.join(names) or 'none'}; choose one of them with `output`"
            )
        return _rows(chosen[0], label)

    def told(self, answer: Any) -> dict[str, str]:
        return {name: str(answer[name]) for name in ("model_name", "model_version") if answer.get(name) is not None}

    def to_json(self) -> dict[str, Any]:
        return {"protocol": self.name, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class KServeModel:
    """What a server tells about its model.

    Attributes:
        protocol: how it is asked.
        shape: of its input, None for what is open; the first is the batch.
        parameters: texts that may hold class names.
        n_classes: how many scores its output has, if it tells.
    """

    protocol: KServe
    shape: list[int | None]
    parameters: dict[str, str]
    n_classes: int | None


def protocol_of(url: str, name: str) -> str:
    """Recognise the kind of service by the path of its URL; "" where it does not tell.

    >>> protocol_of("http://host:8000/v2/models/cats", "auto"), protocol_of("http://host/predictions/cats", "auto")
    ('kserve', 'torchserve')
    """
    known = {"kserve": _KSERVE, "kserve-v1": _KSERVE_V1, "torchserve": _TORCHSERVE}
    if name != "auto":
        if name not in known:
            raise ValueError(f"`protocol` is {name!r}; choose 'auto', {', '.join(map(repr, known))}, or give templates")
        return name
    path = urlsplit(url).path
    return next((kind for kind, pattern in known.items() if pattern.fullmatch(path)), "")


def model_name(url: str) -> str:
    """What the URL calls the model, for reports.

    >>> model_name("http://host:8000/v2/models/cats/infer"), model_name("https://api.example/classify?v=2")
    ('cats', 'api.example/classify')
    """
    parts = urlsplit(url)
    for pattern in (_KSERVE, _KSERVE_V1, _TORCHSERVE):
        if (match := pattern.fullmatch(parts.path)) is not None:
            return match["name"]
    return f"{parts.hostname}{parts.path.rstrip('/')}"


def kserve_urls(url: str) -> tuple[str, str]:
    """Where a KServe model tells about itself, and where it is asked.

    >>> kserve_urls("http://host:8000/v2/models/cats")
    ('http://host:8000/v2/models/cats', 'http://host:8000/v2/models/cats/infer')
    """
    parts = urlsplit(url)
    match = _KSERVE.fullmatch(parts.path)
    if match is None:
        raise ValueError(f"{url} is no URL of a KServe model; write https://HOST/v2/models/NAME")
    return urlunsplit(parts._replace(path=match["model"])), urlunsplit(parts._replace(path=match["model"] + "/infer"))


def read_kserve_metadata(metadata: Any, output: Output, label: str) -> KServeModel:
    """Read what a server tells about its model: names, types and shapes of its tensors.

    Raises:
        ModelOutputError: it does not take one tensor of numbers or strings, or no output can be chosen.
        ValueError: `output` names none of the outputs.
    """
    inputs, outputs = (_tensors(metadata, kind, label) for kind in ("inputs", "outputs"))
    if len(inputs) != 1:
        raise ModelOutputError(
            f"{label} takes {len(inputs)} inputs ({', '.join(str(t['name']) for t in inputs)}); a black box takes one: write "
            "the others into a template (`request`)"
        )
    (entry,) = inputs
    datatype = str(entry.get("datatype"))
    if datatype not in (*DATATYPES, "BYTES"):
        raise ModelOutputError(
            f"{label} takes {datatype}; inputs of {', '.join(DATATYPES)} and BYTES are supported: wrap the model in a function "
            "that converts, and pass it to `from_callable`"
        )
    chosen = _chosen(outputs, output, label)
    sources = [metadata.get("parameters"), None if chosen is None else chosen.get("parameters")]
    parameters = {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for source in sources
        if isinstance(source, Mapping)
        for name, value in source.items()
    }
    shape = entry.get("shape")
    return KServeModel(
        protocol=KServe(
            input_name=str(entry["name"]),
            datatype=datatype,
            output_name=None if chosen is None else str(chosen["name"]),
        ),
        shape=[d if isinstance(d, int) and d > 0 else None for d in shape] if isinstance(shape, list) else [],
        parameters=parameters,
        n_classes=_classes(chosen),
    )


def _tensors(metadata: Any, kind: str, label: str) -> list[Mapping[str, Any]]:
    tensors = metadata.get(kind) if isinstance(metadata, Mapping) else None
    if not isinstance(tensors, list) or not all(isinstance(t, Mapping) and "name" in t for t in tensors):
        raise ModelOutputError(
            f"{label} tells {shown(metadata)} about itself, where the metadata of the Open Inference Protocol were expected; "
            "ask it through templates (`request` and `answer`)"
        )
    return tensors


def _chosen(outputs: list[Mapping[str, Any]], output: Output, label: str) -> Mapping[str, Any] | None:
    names = [str(tensor["name"]) for tensor in outputs]
    if isinstance(output, int):
        if not -len(names) <= output < len(names):
            raise ValueError(f"`output` is {output}, but {label} has {len(names)} outputs: {', '.join(names)}")
        return outputs[output]
    if output is not None:
        if output not in names:
            raise ValueError(f"{label} has no output {output!r}; it has {', '.join(names)}")
        return outputs[names.index(output)]
    if len(outputs) == 1:
        return outputs[0]
    fitting = [t for t in outputs if str(t.get("datatype")).startswith("FP") and len(t.get("shape") or []) == 2]
    if len(fitting) != 1:
        raise ModelOutputError(
            f"{label} has the outputs {', '.join(names) or 'none'}, of which {len(fitting)} could be [batch, classes]; "
            "choose one with `output` (an index or a name)"
        )
    return fitting[0]


def _classes(output: Mapping[str, Any] | None) -> int | None:
    shape = None if output is None else output.get("shape")
    return (
        shape[1] if isinstance(shape, list) and len(shape) == 2 and isinstance(shape[1], int) and shape[1] > 1 else None
    )


def _rows(tensor: Mapping[str, Any], label: str) -> list[Any]:
    """Rows of an output tensor: scores [n, classes], or labels [n] or [n, 1] (BYTES and whole numbers)."""
    shape, data, datatype = tensor.get("shape"), tensor.get("data"), str(tensor.get("datatype"))
    whole = isinstance(shape, list) and all(isinstance(d, int) and not isinstance(d, bool) and d >= 0 for d in shape)
    if not whole or not isinstance(data, list):
        raise ModelOutputError(
            f"{label} answered {shown(dict(tensor))}, an output without `shape` and `data`; answers in JSON are read, no "
            "binary ones"
        )
    shape = list(shape or [])
    flat = data
    for _ in shape[1:]:  # "data" may be nested as well as flat
        if flat and all(isinstance(part, list) for part in flat):
            flat = [value for part in flat for value in part]
    if len(flat) != math.prod(shape):
        raise ModelOutputError(
            f"{label} answered {len(flat)} values in an output of shape {shape}: they do not belong together"
        )
    labels = datatype == "BYTES" or datatype.startswith(("INT", "UINT"))
    if labels and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        return flat
    if len(shape) != 2:
        raise ModelOutputError(
            f"{label} answered an output of shape {shape}, not [batch, classes]; choose another with `output`"
        )
    return [flat[start : start + shape[1]] for start in range(0, len(flat), shape[1])] if shape[1] else [[]] * shape[0]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
