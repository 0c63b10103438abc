"""How one input is written for a service, and the bytes by which the journal knows it."""

import base64
import dataclasses
import io
import wave
from typing import Any, Literal

import numpy as np
from PIL import Image

from zest_jax.blackbox.protocol import InputSpec
from zest_jax.data.known import PLURAL, Modality

Encoding = Literal["auto", "numbers", "png", "wav", "text"]
_OF: dict[str, tuple[str, ...]] = {"image": ("numbers", "png"), "audio": ("numbers", "wav"), "text": ("text",)}
_MEDIA = {"png": "image/png", "wav": "audio/wav", "text": "text/plain; charset=utf-8"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoder:
    """Writes inputs.

    Attributes:
        kind: "numbers": nested lists; "png": images as PNG files, which hold 8 bits per channel, so that values are rounded;
            "wav": sounds as WAV files of 16 bits, likewise; "text": strings.
        dtype: of numbers: "float32", "float64", "float16", or "uint8", to which they are rounded.
        rate: samples per second that WAV files tell.

    >>> Encoder(kind="numbers").json_value(np.zeros((1, 2), np.float32))
    [[0.0, 0.0]]
    >>> Encoder(kind="png").bytes_value(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """

    kind: Literal["numbers", "png", "wav", "text"]
    dtype: Literal["float32", "float64", "float16", "uint8"] = "float32"
    rate: int | None = None

    @property
    def media_type(self) -> str:
        """What `Content-Type` calls a file of this kind; numbers travel as JSON."""
        return _MEDIA.get(self.kind, "application/json")

    def rounded(self, prepared: np.ndarray) -> np.ndarray:
        """Inputs [n, ...] as they will be written: what differs only beyond that is the same question."""
        if self.kind == "text":
            return prepared
        if self.kind == "wav":
            return np.clip(np.rint(prepared * 32768), -32768, 32767).astype("<i2")
        if self.kind == "png" or self.dtype == "uint8":
            return np.clip(np.rint(prepared * (255 if self.kind == "png" else 1)), 0, 255).astype(np.uint8)
        return prepared.astype(np.dtype(self.dtype).newbyteorder("<"), copy=False)

    def key(self, rounded: Any) -> bytes:
        """The bytes of one rounded input, with its size: equal for equal questions only."""
        if self.kind == "text":
            # What UTF-8 cannot hold (half of a pair) is kept apart, not refused.
            return b"text " + rounded.encode("utf-8", "surrogatepass")
        head = f"{self.kind} {rounded.dtype.str} {rounded.shape} {self.rate} "
        return head.encode() + np.ascontiguousarray(rounded).tobytes()

    def json_value(self, rounded: Any) -> Any:
        """One rounded input as JSON holds it: nested lists, a string, or a file in base64."""
        if self.kind == "text":
            return str(rounded)
        if self.kind == "numbers":
            return rounded.tolist()
        return base64.b64encode(self.bytes_value(rounded)).decode("ascii")

    def bytes_value(self, rounded: Any) -> bytes:
        """One rounded input as a file."""
        if self.kind == "text":
            return str(rounded).encode("utf-8")
        file = io.BytesIO()
        if self.kind == "png":
            Image.fromarray(rounded[..., 0] if rounded.shape[-1] == 1 else rounded).save(file, "PNG")
        else:
            assert self.rate is not None
            with wave.open(file, "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(self.rate)
                sound.writeframes(rounded.tobytes())
        return file.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        return dataclasses.asdict(self)


def encoder_of(encoding: Encoding, modality: Modality, spec: InputSpec, dtype: Any = "float32") -> Encoder:
    """Choose how inputs are written.

    Raises:
        ValueError: the encoding is not one of this modality, or the settings ask of files what they cannot hold.
    """
    if modality not in _OF:
        raise ValueError(f"`modality` is {modality!r}; choose 'image', 'text' or 'audio'")
    kinds = _OF[modality]
    if encoding == "auto":
        encoding = kinds[0]  # pyright: ignore[reportAssignmentType]
    if encoding not in kinds:
        raise ValueError(
            f"`encoding` is {encoding!r} for {PLURAL[modality]}; choose 'auto' or {' or '.join(map(repr, kinds))}"
        )
    if encoding in ("png", "wav"):
        plain = dataclasses.replace(spec, rate=None, layout="NHWC") == InputSpec() and spec.layout in ("NHWC", "NT")
        if not plain:
            raise ValueError(
                f"`encoding` is {encoding!r}, and files hold plain {PLURAL[modality]}: the service normalises them itself; leave "
                "out mean, std, value_range and layout"
            )
        if encoding == "wav" and spec.rate is None:
            raise ValueError("a WAV file tells its rate; give `rate`, in samples per second")
    assert encoding != "auto"
    return Encoder(kind=encoding, dtype=dtype, rate=spec.rate if encoding == "wav" else None)
