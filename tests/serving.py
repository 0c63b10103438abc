"""A real HTTP server with a real model in it, which fails as it is told to and remembers all that it saw."""

import base64
import collections
import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import socket
import ssl
import threading
import wave
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image
from worlds import pixel_weights

WEIGHTS = pixel_weights()


def linear(values: Any) -> list:
    """The logits of a model that is linear in the pixels."""
    return (np.asarray(values, np.float32).reshape(len(values), -1) @ WEIGHTS).tolist()


@dataclasses.dataclass
class Seen:
    """One request, as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    inputs: list[str]  # a hash of each
    content_type: str = ""
    fault: Any = None
    answered: bool = False
    at: float = 0.0


class Server:
    """Answers KServe, its version 1, TorchServe and `{"inputs": [...]}`, by the path.

    `model` gets what arrived, as an array [n, ...] or a list of strings, and returns a list with one output per input.
    `fault(n)` says what goes wrong with POST number n (from 1): None, or
        "drop": the connection is closed without an answer; "cut": in the middle of one; "garbage": an answer that is no JSON;
        "nan", "fewer", "more", "null": a wrong one; a status; (status, headers) or (status, headers, body).
    """

    def __init__(
        self, model: Callable[[Any], list], *, metadata: dict | None = None, tls: tuple[str, str] | None = None
    ):
        self.model, self.metadata = model, metadata
        self.fault: Callable[[int], Any] = lambda n: None
        self.before_answer: Callable[[int], None] = lambda n: None
        self.clock: Callable[[], float] = lambda: 0.0
        self.seen: list[Seen] = []
        self.inside = self.most_inside = 0
        self.version = "1"
        self.binary = False
        self.lock = threading.Lock()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.handle(self, b"")

            def do_POST(self):
                server.handle(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):  # clients that were killed, refused certificates
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, path: str = "/classify") -> str:
        return f"{self.scheme}://localhost:{self._http.server_port}{path}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def posts(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "POST"]

    @property
    def answered(self) -> collections.Counter[str]:
        """How often each input was answered."""
        return collections.Counter(one for seen in self.posts if seen.answered for one in seen.inputs)

    @property
    def asked(self) -> int:
        return sum(len(seen.inputs) for seen in self.posts)

    def handle(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        seen = Seen(handler.command, handler.path, dict(handler.headers.items()), [], at=self.clock())
        with self.lock:
            self.seen.append(seen)
            number = len(self.posts)
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        try:
            if handler.command == "GET":
                found = self.metadata if self.metadata is not None and "/infer" not in handler.path else None
                return _send(
                    handler, 404 if found is None else 200, found if found is not None else {"error": "not here"}
                )
            self._post(handler, body, seen, number)
        finally:
            with self.lock:
                self.inside -= 1

    def _post(self, handler: http.server.BaseHTTPRequestHandler, body: bytes, seen: Seen, number: int) -> None:
        seen.content_type = handler.headers.get("Content-Type", "")
        values, pack = self._read(handler.path, seen.content_type, body)
        seen.inputs = [hash_of(one) for one in values]
        seen.fault = self.fault(number)
        self.before_answer(number)
        fault = seen.fault
        if fault == "drop":
            with contextlib.suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return None
        if isinstance(fault, int):
            fault = (fault, {})
        if isinstance(fault, tuple):
            status, headers, said = fault if len(fault) == 3 else (*fault, "not now")
            return _send(handler, status, said, headers)
        outputs = self.model(values)
        if fault == "fewer":
            outputs = outputs[:-1]
        elif fault == "more":
            outputs = [*outputs, outputs[0]]
        elif fault in ("nan", "null"):
            outputs = [*outputs[:-1], [float("nan") if fault == "nan" else None, *outputs[-1][1:]]]
        answer = pack(outputs)
        if fault == "garbage":
            return _send(handler, 200, "<html>the proxy says hello</html>")
        _send(handler, 200, answer, cut=fault == "cut")
        seen.answered = fault is None
        return None

    def _read(self, path: str, content_type: str, body: bytes) -> tuple[Any, Callable[[list], Any]]:
        if path.startswith("/predictions/"):
            if content_type.startswith("application/json"):
                return np.asarray([json.loads(body)]), lambda outputs: outputs[0]
            text = content_type.startswith("text/plain")
            return [body.decode() if text else file_content(body)], lambda outputs: outputs[0]
        sent = json.loads(body)
        if "/v2/models/" in path:
            (tensor,) = sent["inputs"]
            values = tensor["data"] if tensor["datatype"] == "BYTES" else np.reshape(tensor["data"], tensor["shape"])
            return values, self._kserve
        values = sent["instances"] if path.startswith("/v1/models/") else sent["inputs"]
        values = [file_content(base64.b64decode(one["b64"])) if isinstance(one, dict) else one for one in values]
        if not isinstance(values[0], str):
            values = np.asarray(values)
        name = "predictions" if path.startswith("/v1/models/") else "scores"
        return values, lambda outputs: {name: outputs}

    def _kserve(self, outputs: list) -> dict:
        flat = [value for row in outputs for value in (row if isinstance(row, list) else [row])]
        shape = [len(outputs), len(outputs[0])] if outputs and isinstance(outputs[0], list) else [len(outputs)]
        kind = "BYTES" if isinstance(flat[0], str) else "FP32"
        tensor: dict[str, Any] = {"name": "scores", "shape": shape, "datatype": kind, "data": flat}
        if self.binary:
            del tensor["data"]
        return {"model_name": "m", "model_version": self.version, "outputs": [tensor]}


@contextlib.contextmanager
def serving(model: Callable[[Any], list], **settings: Any) -> Iterator[Server]:
    server = Server(model, **settings)
    try:
        yield server
    finally:
        server.close()


def hash_of(value: Any) -> str:
    """By which an input is known, as lists of numbers or a string."""
    return hashlib.sha256(json.dumps(_plain(value)).encode()).hexdigest()


def file_content(data: bytes) -> Any:
    """Pixels of a PNG file in [0, 1], or samples of a WAV file in [-1, 1]."""
    if data.startswith(b"RIFF"):
        with wave.open(io.BytesIO(data)) as sound:
            assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
            return (np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768).tolist()
    return (np.asarray(Image.open(io.BytesIO(data)), np.float32) / 255).tolist()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _send(
    handler: http.server.BaseHTTPRequestHandler, status: int, answer: Any, headers: Any = None, *, cut: bool = False
) -> None:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2] if cut else body)
    if cut:
        handler.wfile.flush()
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
