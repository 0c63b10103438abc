"""Figure 4: Zest in the text and in the audio domain, an LSTM and M5, over their training.

    python -m benchmarks.paper.fig4_text_audio --preset small

Claim (section 4.4): a model is nearer to itself k = 5 epochs later than to a model of another seed, at every epoch. Paper, at the
last epoch: AG News 0.0713 related, 0.9745 unrelated; Speech Commands 0.1800 and 0.9603.
Data: `debian_sections` (AG News's features) and `espeak_commands` (the words of Speech Commands, at 8 kHz) in the presets `smoke`
and `small`; `ag_news_subset` and `speech_commands` in `paper`, which is meant for a GPU.
Expected: every related pair below every unrelated one at every epoch from a third of the training on, and a relative distance
(mean of the related / mean of the unrelated) of at most 0.20 at the last; LSTM at least 80%, M5 at least 85% on the test data.
Trainings resume; what is done is not done again. Writes to benchmarks/results/fig4/<preset>.
"""

import dataclasses
import itertools
import json
import pathlib
import time
from typing import Any, Literal

import numpy as np
import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import zest_jax as zest
from benchmarks.record import RESULTS, command, environment, write
from zest_jax.cli.console import note
from zest_jax.data import Dataset, known_dataset, load_dataset
from zest_jax.models import ModelConfig
from zest_jax.training import Recipe, load_checkpoint, recipe, train
from zest_jax.training.checkpoints import epoch_folder

Domain = Literal["text", "audio"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One domain in one preset.

    Attributes:
        data: TFDS name.
        limit: of training data, None for all.
        model: without the number of classes.
        recipe: how it is trained.
        seeds: of the models; two of different seeds are unrelated.
        n_references, n_samples: of the probes.
        segmenter_settings: of the probes of sounds.
    """

    data: str
    limit: int | None = None
    model: str
    options: dict[str, Any]
    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    n_references: int = 128
    n_samples: int = 1000
    segmenter_settings: dict[str, int] = dataclasses.field(default_factory=dict)


WINDOWS = {"n_windows": 16}
RATE = 8000
_TEXT, _AUDIO = recipe("text"), recipe("audio")
_LSTM: dict[str, Any] = {"dropout": 0.2}

PRESETS: dict[str, dict[Domain, Setting]] = {
    "smoke": {
        "text": Setting(
            data="debian_sections",
            limit=128,
            model="lstm",
            options={"vocabulary": 500, "embedding": 8, "hidden": 8},
            recipe=_TEXT.lasting(8),
            seeds=(0, 1),
            n_references=4,
            n_samples=200,
        ),
        "audio": Setting(
            data="espeak_commands",
            limit=128,
            model="m5",
            options={"widths": (4, 4, 4, 4)},
            recipe=dataclasses.replace(_AUDIO.lasting(8), batch_size=32),
            seeds=(0, 1),
            n_references=4,
            n_samples=40,
            segmenter_settings=WINDOWS,
        ),
    },
    "small": {
        "text": Setting(
            data="debian_sections",
            model="lstm",
            options={**_LSTM, "hidden": 64, "embedding": 64},
            recipe=_TEXT.lasting(15),
            n_references=32,
            n_samples=300,
        ),
        "audio": Setting(
            data="espeak_commands",
            model="m5",
            options={"widths": (32, 32, 64, 128)},
            recipe=dataclasses.replace(_AUDIO.lasting(12), batch_size=64),
            n_references=32,
            n_samples=200,
            segmenter_settings=WINDOWS,
        ),
    },
    "paper": {
        "text": Setting(
            data="ag_news_subset", model="lstm", options=_LSTM, recipe=_TEXT.lasting(20), seeds=(0, 1, 2, 3, 4)
        ),
        "audio": Setting(
            data="speech_commands",
            model="m5",
            options={},
            recipe=_AUDIO,
            seeds=(0, 1, 2, 3, 4),
            segmenter_settings=WINDOWS,
        ),
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is run, and where the trainings lie."""

    preset: Literal["smoke", "small", "paper"] = "small"
    """About a minute, sizes for two cores, or the paper's size."""
    domains: tuple[Domain, ...] = ("text", "audio")
    """Which of the two."""
    out: pathlib.Path = pathlib.Path("fig4")
    """Folder of the trainings."""
    k: int = 5
    """Epochs between two related models."""
    output: pathlib.Path | None = None
    """Folder of the results, by default benchmarks/results/fig4/<preset>."""


def main(options: Options) -> None:
    folder = options.output or RESULTS / "fig4" / options.preset
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for domain in options.domains:
        began = time.perf_counter()
        setting = PRESETS[options.preset][domain]
        curves = measured(domain, setting, options)
        found[domain] = {**curves, "seconds": round(time.perf_counter() - began, 1)}
        lines = [json.dumps({"domain": domain, **line}) for line in curves["epochs"]]
        (folder / f"{domain}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(verdict(domain, curves))
    result = {
        "benchmark": "paper/fig4_text_audio",
        "command": command("benchmarks.paper.fig4_text_audio"),
        "environment": environment("flax", "optax"),
        "k": options.k,
        "settings": {domain: described(PRESETS[options.preset][domain]) for domain in options.domains},
        "domains": found,
        "verdict": {domain: verdict(domain, curves) for domain, curves in found.items()},
    }
    write("fig4", result, folder / "result.json")
    draw(found, options.k).savefig(folder / "figure4.png")


def described(setting: Setting) -> dict[str, Any]:
    return {**dataclasses.asdict(setting), "recipe": setting.recipe.to_json()}


def measured(domain: Domain, setting: Setting, options: Options) -> dict[str, Any]:
    """Train, sign every checkpoint, and measure related and unrelated distances over the epochs."""
    epochs = setting.recipe.epochs
    data = load_dataset(setting.data, limit=setting.limit, rate=RATE if domain == "audio" else None)
    folder = options.out / options.preset / domain
    accuracies = trained(domain, setting, folder, data)
    runs = [folder / f"seed-{seed}" for seed in setting.seeds]
    probes = probes_of(domain, data, setting)
    note(repr(probes))
    checkpoints = [epoch_folder(run.absolute(), epoch) for run in runs for epoch in range(1, epochs + 1)]
    boxes = [
        zest.from_checkpoint(load_checkpoint(path), label=f"{path.parent.parent.name} at {path.name}")
        for path in checkpoints
    ]
    signatures = zest.sign_many(boxes, probes, progress=True)
    by_seed = [signatures[i * epochs : (i + 1) * epochs] for i in range(len(runs))]
    lines = []
    for t in range(epochs):
        # As in the paper's Figure 4, at the epoch of the earlier of the two.
        unrelated = [zest.distance(a[t], b[t]) for a, b in itertools.combinations(by_seed, 2)]
        related = (
            [zest.distance(models[t], models[t + options.k]) for models in by_seed] if t + options.k < epochs else []
        )
        lines.append({"epoch": t + 1, "related": related, "unrelated": unrelated})
    related = next(line["related"] for line in reversed(lines) if line["related"])
    relative = float(np.mean(related) / np.mean(lines[-1]["unrelated"]))
    return {
        "accuracy": accuracies,
        "r2 of the last": [round(signed[-1].mean_r2(), 4) for signed in by_seed],
        "probes": probes.hash,
        "queries": probes.n_queries,
        "relative at the last epoch": relative,
        "epochs": lines,
    }


def trained(domain: Domain, setting: Setting, folder: pathlib.Path, data: Dataset) -> list[float | None]:
    """Train what is not trained yet, every epoch kept, and return the accuracy of each seed on the test data."""
    test = load_dataset(setting.data, split=known_dataset(setting.data).test, limit=setting.limit, rate=data.rate)
    config = ModelConfig(name=setting.model, num_classes=data.num_classes, options=setting.options)
    accuracies = []
    for seed in setting.seeds:
        run = folder / f"seed-{seed}"
        made = train(config, data, setting.recipe, seed=seed, folder=run, test=test, save_every=1, progress=True)
        accuracies.append(made.checkpoint.info.accuracy)
        note(f"{domain}, seed {seed}: accuracy {accuracies[-1]:.2%}")
    return accuracies


def probes_of(domain: Domain, data: Dataset, setting: Setting) -> zest.ProbeSet:
    numbers = setting.n_references, setting.n_samples
    if domain == "text":
        # A text of more words than masks has no weights.
        return zest.text_probes(data.inputs, *numbers)
    assert data.rate is not None
    return zest.audio_probes(data.inputs, *numbers, rate=data.rate, segmenter_settings=setting.segmenter_settings)


def verdict(domain: Domain, curves: dict[str, Any]) -> str:
    """Whether the claim holds, in words."""
    lines = curves["epochs"]
    late = [line for line in lines if line["epoch"] >= len(lines) / 3 and line["related"]]
    k = len(lines) - late[-1]["epoch"]
    # Below what is unrelated at the time of either of the two.
    holds = all(
        max(line["related"]) < min(line["unrelated"] + lines[line["epoch"] - 1 + k]["unrelated"]) for line in late
    )
    related, unrelated = float(np.mean(late[-1]["related"])), float(np.mean(lines[-1]["unrelated"]))
    return (
        f"{domain}: every related pair {'' if holds else 'NOT '}below every unrelated one at every epoch from "
        f"{late[0]['epoch']} on; at the last epoch related {related:.4f}, unrelated {unrelated:.4f}, relative "
        f"{curves['relative at the last epoch']:.3f}"
    )


def draw(found: dict[str, Any], k: int) -> Figure:
    """Distances over the epochs, mean and standard deviation over the pairs, a panel for each domain."""
    figure = Figure(figsize=(5 * len(found), 3.8), dpi=150, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(found)))
    for panel, (domain, curves) in zip(panels, found.items(), strict=True):
        lines = curves["epochs"]
        for name, label, marker, color in (
            ("unrelated", "unrelated (two seeds)", "s", "#D55E00"),
            ("related", f"related (epochs t and t + {k})", "o", "#0072B2"),
        ):
            there = [line for line in lines if line[name]]
            epochs, values = [line["epoch"] for line in there], np.array([line[name] for line in there])
            mean, spread = values.mean(axis=1), values.std(axis=1)
            panel.plot(epochs, mean, marker=marker, color=color, label=label)
            panel.fill_between(epochs, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("epoch t")
        panel.set_ylabel("Zest distance (cosine)")
        panel.set_title({"text": "texts, LSTM", "audio": "sounds, M5"}[domain])
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=9, loc="center right")
    return figure


if __name__ == "__main__":
    main(tyro.cli(Options))
