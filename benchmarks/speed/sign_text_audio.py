"""Time signing against the bare model in the text and in the audio domain.

    python -m benchmarks.speed.sign_text_audio

Models, of the sizes of section 4.4 (weights are random: they change no timing):

lstm    LSTM in Flax on token ids (128 of a text), which are composed on the device
tfidf   a scikit-learn pipeline on strings: TF-IDF of words and logistic regression; strings are composed on the host
m5      M5 in Flax on a second of sound at 8 kHz
onnx    the same M5 through ONNX Runtime

In every round, on the same probes, the bare model answers as many inputs as there are distinct queries, in the batch size that
signing uses, half of it before and half of it after signing. Expected: sign / bare <= 1.10 for all but tfidf, whose answers take
hardly longer than to put its strings together. Takes about six minutes on two cores.
"""

import pathlib
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import tyro

import zest_jax as zest
from benchmarks.record import command, environment, write
from benchmarks.speed.bare import bare, warm_up
from zest_jax.blackbox.batches import default_batch_size
from zest_jax.data import Dataset, load_dataset
from zest_jax.export import export_onnx
from zest_jax.models import ModelConfig
from zest_jax.training import start_checkpoint

Name = Literal["lstm", "tfidf", "m5", "onnx"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    models: tuple[Name, ...] = ("lstm", "tfidf", "m5", "onnx")
    """Which models to time."""
    n_references: int = 16
    """N."""
    n_samples: int = 1000
    """L, masks per reference."""
    n_windows: int = 16
    """Windows that a sound is cut into."""
    batch_sizes: tuple[int | None, ...] = (None,)
    """Inputs asked at once; None is what `zest.sign` chooses."""
    rounds: int = 3
    """Every round times every way once; ratios are medians over rounds."""
    texts: str = "debian_sections"
    """TFDS name."""
    sounds: str = "espeak_commands"
    """TFDS name."""
    output: pathlib.Path | None = None
    """JSON file; by default named after the device, in benchmarks/results/speed/sign_text_audio."""


def main(options: Options) -> None:
    result: dict[str, Any] = {
        "benchmark": "speed/sign_text_audio",
        "command": command("benchmarks.speed.sign_text_audio"),
        "environment": environment("flax", "onnxruntime", "scikit-learn", "tokenizers"),
        "options": {**asdict(options), "output": None},
        "probes": {},
        "models": {},
    }
    data: dict[str, Dataset] = {}
    probes: dict[str, zest.ProbeSet] = {}
    numbers = options.n_references, options.n_samples
    if {"lstm", "tfidf"} & set(options.models):
        data["text"] = load_dataset(options.texts)
        probes["text"] = zest.text_probes(data["text"].inputs, *numbers)
    if {"m5", "onnx"} & set(options.models):
        data["audio"] = load_dataset(options.sounds, rate=8000)
        settings = {"n_windows": options.n_windows}
        probes["audio"] = zest.audio_probes(data["audio"].inputs, *numbers, rate=8000, segmenter_settings=settings)
    for modality, made in probes.items():
        print(made, flush=True)
        samples = made.n_references * made.n_samples
        result["probes"][modality] = {"samples": samples, "distinct": made.n_queries, "hash": made.hash}
    for name in options.models:
        modality = "text" if name in ("lstm", "tfidf") else "audio"
        box = black_box(name, data[modality])
        for size in options.batch_sizes:
            size = size or default_batch_size(probes[modality].references.shape[1:], [box])
            result["models"].setdefault(name, {})[str(size)] = measured(name, box, probes[modality], size, options)
            write("speed/sign_text_audio", result, options.output)


def black_box(name: Name, data: Dataset) -> Any:
    if name == "tfidf":
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
        return zest.from_sklearn(pipeline.fit(list(data.inputs), data.labels), label=name)
    config = ModelConfig(name="lstm" if name == "lstm" else "m5", num_classes=data.num_classes)
    made = start_checkpoint(config, data, seed=0)
    if name != "onnx":
        return zest.from_checkpoint(made, label=name)
    with tempfile.TemporaryDirectory() as folder:
        return zest.from_onnx(export_onnx(made, pathlib.Path(folder) / "m5.onnx").path, label=name)


def measured(name: str, box: Any, probes: zest.ProbeSet, size: int, options: Options) -> dict[str, Any]:
    warm_up(box, probes, size)
    batches = -(-probes.n_queries // size)
    seconds: dict[str, list[float]] = {"bare": [], "sign": []}
    for i in range(options.rounds):
        before = bare(box, probes, size, batches // 2)
        start = time.perf_counter()
        zest.sign(box, probes, batch_size=size, progress=False)
        seconds["sign"].append(time.perf_counter() - start)
        seconds["bare"].append(before + bare(box, probes, size, batches - batches // 2))
        print(
            f"{name}, batches of {size}, round {i + 1} of {options.rounds}: bare {seconds['bare'][-1]:.2f} s, sign "
            f"{seconds['sign'][-1]:.2f} s",
            flush=True,
        )
    ratios = [sign / alone for sign, alone in zip(seconds["sign"], seconds["bare"], strict=True)]
    print(f"  sign / bare: {statistics.median(ratios):.3f}", flush=True)
    return {
        "batch_size": size,
        "seconds": seconds,
        "median_seconds": {way: statistics.median(times) for way, times in seconds.items()},
        "ratios": {"sign / bare": statistics.median(ratios), "rounds": ratios},
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
