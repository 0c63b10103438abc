"""Phase 4a: the Signature of a model, the concatenated weights of its local linear models, and its file."""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from zest_jax.atomic import atomic_write
from zest_jax.errors import DegenerateSignatureError, FileFormatError, WrongFileError
from zest_jax.safetensors_header import safetensors_metadata
from zest_jax.version import __version__

__all__ = ["Preview", "Signature"]

FORMAT = "zest-signature"
FORMAT_VERSION = "1"
# Share of the outputs' variance below which the linear fits are called poor.
POOR_R2 = 0.1


class Preview(NamedTuple):
    """One reference kept in the signature, so that it can be drawn without the probe set.

    Attributes:
        reference_index: which reference of the probe set it is.
        content: an image uint8 [H, W, C], a sound int16 or float32 [samples], or a text.
        segments: int32, labels of pixels [H, W], of samples [samples] or cells [bins, frames], or of characters.
        rate: of a sound, samples per second; else None.

    >>> preview = Preview(0, np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int32))
    >>> preview.content.shape, preview.rate
    ((4, 4, 3), None)
    """

    reference_index: int
    content: np.ndarray | str
    segments: np.ndarray
    rate: int | None = None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Signature:
    """What a model looks like through a ProbeSet: S = [W_1; ...; W_N] (paper, section 3, "global perspective").

    Attributes:
        weights: float32 [sum of K_i, classes], the weights of reference 0, then of reference 1, ...
        segment_counts: K_i, int32 [refs].
        r2: share of the variance explained by each local fit, float32 [refs, classes]; NaN where the output is constant.
        variance: of the outputs over the samples, float32 [refs, classes].
        intercept: float32 [refs, classes], or None.
        probe_hash: `hash` of the ProbeSet.
        label: what the model is called.
        class_names: names of the outputs in order, or None.
        settings: of the black box ("model") and of the fit ("solve"), JSON-able.
        version: of the package that made it.
        preview: the reference that the model's linear fit explains best, or None.

    Raises:
        ValueError: shapes do not fit each other, or weights are not finite.
    """

    weights: np.ndarray
    segment_counts: np.ndarray
    r2: np.ndarray
    variance: np.ndarray
    intercept: np.ndarray | None = None
    probe_hash: str
    label: str
    class_names: tuple[str, ...] | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    version: str = dataclasses.field(default_factory=lambda: __version__)
    preview: Preview | None = None

    def __post_init__(self) -> None:
        rows, classes = self.weights.shape
        if rows != int(self.segment_counts.sum()):
            raise ValueError(
                f"`weights` has {rows} rows but the segment counts add up to {int(self.segment_counts.sum())}"
            )
        if not np.isfinite(self.weights).all():
            raise ValueError(f"`weights` of {self.label} holds NaN or infinite values; a signature needs finite ones")
        expected = (len(self.segment_counts), classes)
        for name in ("r2", "variance", "intercept"):
            value = getattr(self, name)
            if value is not None and value.shape != expected:
                raise ValueError(
                    f"`{name}` has shape {value.shape}; {len(self.segment_counts)} references need {expected}"
                )
        if self.class_names is not None and len(self.class_names) != classes:
            raise ValueError(
                f"{self.label} has {classes} outputs but {len(self.class_names)} class names; give one name per output, in order"
            )

    def __repr__(self) -> str:
        return (
            f"Signature({self.label}: {len(self.segment_counts)} references, {len(self.weights)} weights for each of "
            f"{self.n_classes} classes, R2 {self.mean_r2():.2f}, probes {self.probe_hash[:12]})"
        )

    @property
    def n_classes(self) -> int:
        """How many outputs the model has."""
        return self.weights.shape[1]

    def of_reference(self, index: int) -> np.ndarray:
        """The local signature W_i of one reference, [K_i, classes].

        Raises:
            ValueError: there is no such reference.
        """
        if not 0 <= index < len(self.segment_counts):
            raise ValueError(f"`index` is {index}; the signature has references 0 to {len(self.segment_counts) - 1}")
        start = int(self.segment_counts[:index].sum())
        return self.weights[start : start + int(self.segment_counts[index])]

    def select_classes(self, classes: Sequence[int] | np.ndarray) -> "Signature":
        """The signature of the same model with some of its classes, in the order given.

        Args:
            classes: their indices, [kept].
        """
        index = np.asarray(classes)
        return dataclasses.replace(
            self,
            weights=self.weights[:, index],
            r2=self.r2[:, index],
            variance=self.variance[:, index],
            intercept=None if self.intercept is None else self.intercept[:, index],
            class_names=None if self.class_names is None else tuple(self.class_names[i] for i in index),
        )

    def select_references(self, references: Sequence[int] | np.ndarray) -> "Signature":
        """The signature of the same model around some of its references, in the order given; one may come several times.

        Two such signatures can be compared where the same references were selected of the same probe set. So distances of
        smaller reference sets, and their spread over the choice of references, need no new questions.

        Args:
            references: their indices, [kept].

        Raises:
            ValueError: no index is given, or one is out of range.

        >>> a = Signature(weights=np.arange(6.0, dtype=np.float32).reshape(3, 2), segment_counts=np.array([1, 2]),
        ...               r2=np.ones((2, 2)), variance=np.ones((2, 2)), probe_hash="0" * 64, label="a")
        >>> a.select_references([1]).weights.tolist()
        [[2.0, 3.0], [4.0, 5.0]]
        """
        index = np.asarray(references)
        n = len(self.segment_counts)
        if index.ndim != 1 or index.size == 0 or not np.issubdtype(index.dtype, np.integer):
            raise ValueError(f"`references` is {references!r}; give at least one index, as a list of integers")
        if index.min() < 0 or index.max() >= n:
            raise ValueError(f"`references` holds {index.tolist()[:10]}; the signature has references 0 to {n - 1}")
        chosen = hashlib.sha256(f"{self.probe_hash} {index.tolist()}".encode()).hexdigest()
        places = [] if self.preview is None else np.flatnonzero(index == self.preview.reference_index)
        preview = None
        if self.preview is not None and len(places):
            preview = self.preview._replace(reference_index=int(places[0]))
        return dataclasses.replace(
            self,
            weights=np.concatenate([self.of_reference(i) for i in index.tolist()]),
            segment_counts=self.segment_counts[index],
            r2=self.r2[index],
            variance=self.variance[index],
            intercept=None if self.intercept is None else self.intercept[index],
            probe_hash=chosen,
            preview=preview,
        )

    def mean_r2(self) -> float:
        """How well linear models explain the outputs: 1 - residual / variance, pooled over references and classes."""
        varies = self.variance > 0
        if not varies.any():
            return float("nan")
        explained = np.where(varies, self.variance * np.nan_to_num(self.r2), 0)
        return float(explained.sum(dtype=np.float64) / self.variance.sum(dtype=np.float64))

    def check_informative(self) -> None:
        """Refuse a signature to which no distance is defined.

        Raises:
            DegenerateSignatureError: all weights are 0, or the model answered the same whatever was masked.
        """
        why = None
        if not self.weights.any():
            why = "all its weights are 0"
        elif not self.variance.any():
            why = "the model gave the same outputs whatever was masked"
        if why:
            raise DegenerateSignatureError(
                f"the signature of {self.label} says nothing about the model: {why}. A distance to it is not "
                "defined; check that the "
                "inputs reach the model in the scale it expects, and that its outputs are scores"
            )

    def summary(self) -> dict[str, Any]:
        """What it was made from and how well the linear models fit; JSON-able."""
        per_reference = _pooled_r2(self.r2, self.variance)
        quantiles = np.nanquantile(per_reference, [0.1, 0.5, 0.9]) if np.isfinite(per_reference).any() else [np.nan] * 3
        return {
            "label": self.label,
            "classes": self.n_classes,
            "class_names": None if self.class_names is None else list(self.class_names),
            "references": len(self.segment_counts),
            "segments": {
                "min": int(self.segment_counts.min()),
                "max": int(self.segment_counts.max()),
                "sum": len(self.weights),
            },
            "r2": {
                "pooled": _none_if_nan(self.mean_r2()),
                **{name: _none_if_nan(q) for name, q in zip(("p10", "median", "p90"), quantiles, strict=True)},
            },
            "probe_hash": self.probe_hash,
            "settings": self.settings,
            "version": self.version,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, all at once or not at all."""
        data = self.to_bytes()
        with atomic_write(path) as file:
            file.write(data)

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        tensors = {
            "weights": self.weights,
            "segment_counts": self.segment_counts,
            "r2": self.r2,
            "variance": self.variance,
        }
        if self.intercept is not None:
            tensors["intercept"] = self.intercept
        if self.preview is not None:
            tensors |= _preview_tensors(self.preview)
        header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "probe_hash": self.probe_hash,
            "label": self.label,
            "class_names": json.dumps(self.class_names),
            "settings": json.dumps(self.settings),
            "version": self.version,
        }
        return safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata=header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Signature":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            FileFormatError: it is truncated, damaged, or not a signature.
        """
        return cls.from_bytes(Path(path).read_bytes(), origin=str(path))

    @classmethod
    def from_bytes(cls, data: bytes, *, origin: str) -> "Signature":
        """Read what `to_bytes` returned.

        Args:
            data: the content of a signature file.
            origin: where it comes from, for errors.

        Raises:
            FileFormatError: it is truncated, damaged, or not a signature.
        """
        tensors, header = parse_tensors(data, origin, FORMAT, "a signature", "make it with `zest sign`")
        if header.get("format_version") != FORMAT_VERSION:
            raise FileFormatError(
                f"{origin} is a signature of format version {header.get('format_version')}; this package reads "
                f"version {FORMAT_VERSION}"
            )
        names = json.loads(header["class_names"])
        try:
            return cls(
                weights=tensors["weights"],
                segment_counts=tensors["segment_counts"],
                r2=tensors["r2"],
                variance=tensors["variance"],
                intercept=tensors.get("intercept"),
                probe_hash=header["probe_hash"],
                label=header["label"],
                class_names=None if names is None else tuple(names),
                settings=json.loads(header["settings"]),
                version=header["version"],
                preview=_preview_from(tensors),
            )
        except (KeyError, ValueError) as error:
            raise FileFormatError(
                f"{origin} is a damaged signature ({error}); make it again with `zest sign`"
            ) from error


def _preview_tensors(preview: Preview) -> dict[str, np.ndarray]:
    tensors = {
        "preview_index": np.array([preview.reference_index], np.int32),
        "preview_segments": preview.segments,
    }
    if isinstance(preview.content, str):
        return {**tensors, "preview_text": np.frombuffer(preview.content.encode(), np.uint8)}
    if preview.rate is not None:
        return {**tensors, "preview_sound": preview.content, "preview_rate": np.array([preview.rate], np.int32)}
    return {**tensors, "preview_image": preview.content}


def _preview_from(tensors: dict[str, np.ndarray]) -> Preview | None:
    """Undo `_preview_tensors`."""
    if "preview_index" not in tensors:
        return None
    index, segments = int(tensors["preview_index"][0]), tensors["preview_segments"]
    if "preview_text" in tensors:
        return Preview(index, tensors["preview_text"].tobytes().decode(), segments)
    if "preview_sound" in tensors:
        return Preview(index, tensors["preview_sound"], segments, int(tensors["preview_rate"][0]))
    return Preview(index, tensors["preview_image"], segments)


def read_tensors(
    path: str | os.PathLike[str], kind: str, name: str, remedy: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file whose metadata says `format: kind`; returns tensors and metadata."""
    return parse_tensors(Path(path).read_bytes(), str(path), kind, name, remedy)


def parse_tensors(
    data: bytes, origin: str, kind: str, name: str, remedy: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Do what `read_tensors` does with the content of a file that came from `origin`."""
    header = safetensors_metadata(io.BytesIO(data))
    if data[4:8].strip(b"\0") or data[8:9] not in (b"", b"{"):
        # What was cut off still begins as it should: a length of at most `LARGEST_HEADER`, in eight bytes, and JSON.
        raise WrongFileError(f"{origin} is not {name}, but of another kind; {remedy}")
    try:
        tensors = safetensors.numpy.load(data)
    except (SafetensorError, ValueError) as error:
        raise FileFormatError(f"{origin} is not {name}, or is truncated ({error}); {remedy}") from error
    if header is None:
        raise FileFormatError(f"{origin} is not {name}, or is truncated; {remedy}")
    if header.get("format") != kind:
        raise WrongFileError(f"{origin} is a safetensors file but not {name}; {remedy}")
    return tensors, header


def _pooled_r2(r2: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """R^2 of each reference over all its classes, weighted by their variance; NaN where nothing varies."""
    total = variance.sum(axis=1)
    return np.where(total > 0, (variance * np.nan_to_num(r2)).sum(axis=1) / np.where(total > 0, total, 1), np.nan)


def best_explained(r2: np.ndarray, variance: np.ndarray) -> int:
    """The reference whose outputs the linear model explains best."""
    pooled = _pooled_r2(r2, variance)
    return int(np.nanargmax(pooled)) if np.isfinite(pooled).any() else 0


def _none_if_nan(x: float) -> float | None:
    return None if np.isnan(x) else float(x)
