"""Signatures for pictures, made without a model."""

import dataclasses
import functools
import io
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from zest_jax.data.known import Modality
from zest_jax.probes import ProbeSet, audio_probes, image_probes, text_probes
from zest_jax.signature import Preview, Signature


def made_signature(label: str, counts: list[int], classes: int = 3, seed: int = 0, **changes: Any) -> Signature:
    """A signature with random weights of references with so many segments each."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "weights": rng.normal(size=(sum(counts), classes)).astype(np.float32),
        "segment_counts": np.array(counts, np.int32),
        "r2": np.ones((len(counts), classes), np.float32),
        "variance": np.ones((len(counts), classes), np.float32),
        "probe_hash": "a" * 64,
        "label": label,
        "class_names": tuple(f"class-{i}" for i in range(classes)),
        **changes,
    }
    return Signature(**values)


class World(NamedTuple):
    """Models over one small probe set: a suspect, and models of which the first is its original."""

    probes: ProbeSet
    suspect: Signature
    models: list[Signature]
    unrelated: list[Signature]


TEXTS = ["to be, or not to be", "all the world's a stage", "the rest is silence", "brevity is the soul of wit"]


@functools.cache
def world(modality: Modality = "image", *, classes: int = 3, unrelated: int = 11) -> World:
    """Four references, three models and a suspect made from the first, its classes in another order."""
    probes = _probes(modality)
    settings = {"modality": modality, "solve": {"ridge": 0.0}, "targets": "as-is", "outputs": "logits"}

    def made(label: str, seed: int) -> Signature:
        r2 = np.random.default_rng(seed).uniform(0.3, 0.9, (probes.n_references, classes)).astype(np.float32)
        counts = probes.n_segments.tolist()
        return made_signature(label, counts, classes, seed, probe_hash=probes.hash, settings=settings, r2=r2)

    models = [made(f"model-{i}", i) for i in range(3)]
    noise = np.random.default_rng(9).normal(size=models[0].weights.shape)
    copy = dataclasses.replace(models[0], label="suspect", weights=(models[0].weights + 0.2 * noise).astype(np.float32))
    segments = probes.segments[2]
    content = probes.references[2]
    suspect = dataclasses.replace(
        copy.select_classes(list(range(classes))[::-1]), preview=Preview(2, content, segments, probes.rate)
    )
    return World(probes, suspect, models, [made(f"other-{i}", 100 + i) for i in range(unrelated)])


def undraw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports make their figures, but not draw them, which takes longest."""
    file = io.BytesIO()
    Image.new("RGB", (4, 2)).save(file, "png")
    for name in ("mapped", "references", "contributions"):
        monkeypatch.setattr(f"zest_jax.report.{name}.png_of", lambda _: file.getvalue())


def _probes(modality: Modality) -> ProbeSet:
    rng = np.random.default_rng(0)
    if modality == "text":
        return text_probes(TEXTS, 4, 40, references="first")
    if modality == "audio":
        waves = np.sin(np.arange(800) / np.array([[3.0], [5.0], [9.0], [14.0]])) * np.linspace(0.1, 0.9, 800)
        return audio_probes(waves.astype(np.float32), 4, 40, rate=8000, segmenter_settings={"n_windows": 5})
    images = rng.integers(0, 256, (4, 12, 12, 3), np.uint8)
    return image_probes(images, 4, 40, segmenter="grid", segmenter_settings={"rows": 2, "columns": 3})
