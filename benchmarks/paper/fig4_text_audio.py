"""Figure 4: Zest in the text and in the audio domain, an LSTM and M5, over their training.

    python -m benchmarks.paper.fig4_text_audio --preset small

Claim (section 4.4): a model is nearer to itself some epochs later than to a model of another seed, at every epoch. The paper does
not say how many epochs lie between; k = 5 here. Paper, at the last epoch: AG News 0.0713 related, 0.9745 unrelated; Speech
Commands 0.1800 and 0.9603.
Data: `debian_sections` (AG News's features) and `espeak_commands` (the words of Speech Commands, at 8 kHz) in the presets `smoke`
and `small`; `ag_news_subset` and `speech_commands` in `paper`, which is meant for a GPU.
Expected: every related pair below every unrelated one at every epoch from a third of the training on, and a relative distance
(mean of the related / mean of the unrelated) of at most 0.20 at the last; LSTM at least 80%, M5 at least 85% on the test data.
Hardware and time: `small` 16 minutes on two cores; `paper` a GPU.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import zest_jax as zest
from benchmarks.paper.experiment import Experiment, Line, Pieces, Preset, Verdict, main
from benchmarks.paper.models import Training
from benchmarks.paper.plots import RELATED, UNRELATED, band, over_epochs
from zest_jax.data import Dataset
from zest_jax.training import recipe

WINDOWS = {"n_windows": 16}
RATE = 8000
_TEXT, _AUDIO = recipe("text"), recipe("audio")
_LSTM: dict[str, Any] = {"dropout": 0.2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
    """One domain in one preset.

    Attributes:
        training: of the models.
        n_references, n_samples: of the probes.
        segmenter_settings: of the probes of sounds.
    """

    training: Training
    n_references: int = 128
    n_samples: int = 1000
    segmenter_settings: dict[str, int] = dataclasses.field(default_factory=dict)

    def probes(self, data: Dataset) -> zest.ProbeSet:
        """What the models are asked."""
        numbers = self.n_references, self.n_samples
        if data.rate is None:
            # A text of more words than masks has no weights.
            return zest.text_probes(data.inputs, *numbers)
        return zest.audio_probes(data.inputs, *numbers, rate=data.rate, segmenter_settings=self.segmenter_settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Both domains.

    Attributes:
        text, audio: the domains.
        k: epochs between two related models.
    """

    text: Domain
    audio: Domain
    k: int = 5

    @property
    def domains(self) -> dict[str, Domain]:
        """By name."""
        return {"text": self.text, "audio": self.audio}


def measure(settings: Settings, pieces: Pieces) -> None:
    for name, domain in settings.domains.items():
        data = domain.training.read()
        domain.training.train(pieces, data)
        pieces.do(
            lambda domain=domain, data=data: compared(settings, pieces, domain, data), what="distances", domain=name
        )


def compared(settings: Settings, pieces: Pieces, domain: Domain, data: Dataset) -> Line:
    """Related and unrelated distances over the epochs."""
    training = domain.training
    epochs = range(1, training.epochs + 1)
    probes = domain.probes(data)
    made = training.signatures(pieces, probes, [(seed, epoch) for seed in training.seeds for epoch in epochs])
    lines = []
    for t in epochs:
        # As in the paper's Figure 4, at the epoch of the earlier of the two.
        of_t = [made[seed, t] for seed in training.seeds]
        related = []
        if t + settings.k <= training.epochs:
            later = [made[seed, t + settings.k] for seed in training.seeds]
            related = [zest.distance(a, b) for a, b in zip(of_t, later, strict=True)]
        unrelated = [zest.distance(a, b) for a, b in itertools.combinations(of_t, 2)]
        lines.append({"epoch": t, "related": related, "unrelated": unrelated})
    last = [made[seed, training.epochs].mean_r2() for seed in training.seeds]
    return {"epochs": lines, "r2 of the last": last, "queries": probes.n_queries}


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    found = {}
    for name, domain in settings.domains.items():
        epochs = next(line["epochs"] for line in lines if line["what"] == "distances" and line["domain"] == name)
        accuracy = next(line["accuracy"] for line in lines if line["what"] == "accuracy" and line["of"] == name)
        late = [line for line in epochs if line["epoch"] >= len(epochs) / 3 and line["related"]]
        # Below what is unrelated at the time of either of the two.
        below = [
            max(line["related"]) < min(line["unrelated"] + epochs[line["epoch"] - 1 + settings.k]["unrelated"])
            for line in late
        ]
        related, unrelated = float(np.mean(late[-1]["related"])), float(np.mean(epochs[-1]["unrelated"]))
        found[f"{name}: related below unrelated"] = Verdict(
            holds=all(below) and related / unrelated <= 0.2,
            text=f"every pair at {sum(below)} of the {len(below)} epochs from {late[0]['epoch']} on; the pair that ends with the "
            f"training {related:.4f}, unrelated {unrelated:.4f}, relative {related / unrelated:.3f}",
            numbers={
                "data": domain.training.data,
                "related": related,
                "unrelated": unrelated,
                "relative": related / unrelated,
                "accuracy": accuracy,
            },
        )
    return found


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    figure = Figure(figsize=(10, 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, name, title in zip(panels, settings.domains, ("texts, LSTM", "sounds, M5"), strict=True):
        epochs = next(line["epochs"] for line in lines if line["what"] == "distances" and line["domain"] == name)
        for kind, label, marker, color in (
            ("unrelated", "unrelated (two seeds)", "s", UNRELATED),
            ("related", f"related (epochs t and t + {settings.k})", "o", RELATED),
        ):
            there = [line for line in epochs if line[kind]]
            values = np.array([line[kind] for line in there]).T
            band(panel, [line["epoch"] for line in there], values, color=color, label=label, marker=marker)
        over_epochs(panel, "epoch t", "cosine")
        panel.set_title(title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return {"figure.png": figure}


def training_of_sounds(**settings: Any) -> Training:
    return Training(name="audio", rate=RATE, model="m5", **settings)


SETTINGS: dict[Preset, Settings] = {
    "smoke": Settings(
        text=Domain(
            training=Training(
                name="text",
                data="debian_sections",
                limit=128,
                model="lstm",
                options={"vocabulary": 500, "embedding": 8, "hidden": 8},
                recipe=_TEXT.lasting(8),
                seeds=(0, 1),
            ),
            n_references=4,
            n_samples=200,
        ),
        audio=Domain(
            training=training_of_sounds(
                data="espeak_commands",
                limit=128,
                options={"widths": (4, 4, 4, 4)},
                recipe=dataclasses.replace(_AUDIO.lasting(8), batch_size=32),
                seeds=(0, 1),
            ),
            n_references=4,
            n_samples=40,
            segmenter_settings=WINDOWS,
        ),
    ),
    "small": Settings(
        text=Domain(
            training=Training(
                name="text",
                data="debian_sections",
                model="lstm",
                options={**_LSTM, "hidden": 64, "embedding": 64},
                recipe=_TEXT.lasting(15),
                seeds=(0, 1, 2, 3),
            ),
            n_references=32,
            n_samples=300,
        ),
        audio=Domain(
            training=training_of_sounds(
                data="espeak_commands",
                options={"widths": (32, 32, 64, 128)},
                recipe=dataclasses.replace(_AUDIO.lasting(12), batch_size=64),
                seeds=(0, 1, 2, 3),
            ),
            n_references=32,
            n_samples=200,
            segmenter_settings=WINDOWS,
        ),
    ),
    "paper": Settings(
        text=Domain(
            training=Training(
                name="text",
                data="ag_news_subset",
                model="lstm",
                options=_LSTM,
                recipe=_TEXT.lasting(20),
                seeds=(0, 1, 2, 3, 4),
            )
        ),
        audio=Domain(
            training=training_of_sounds(data="speech_commands", recipe=_AUDIO, seeds=(0, 1, 2, 3, 4)),
            segmenter_settings=WINDOWS,
        ),
    ),
}

EXPERIMENT = Experiment(
    name="fig4_text_audio",
    title="Figure 4: texts and sounds",
    claim="For texts and sounds, too, a model is nearer to itself some epochs later than to a model of another seed.",
    paper="at the last epoch AG News 0.0713 related, 0.9745 unrelated; Speech Commands 0.1800 and 0.9603 (relative distances; "
    "the number of epochs between related models is not told)",
    criterion="from a third of the training on every related pair (t, t + k) is below every unrelated pair at t and at t + k, "
    "and the relative distance of the last related pair is at most 0.20. The data of `small` are not the paper's: descriptions "
    "of Debian packages in four sections, and 35 words spoken by a synthesiser.",
    settings=SETTINGS,
    sizes=lambda settings: {
        f"{name}: {what}": size
        for name, domain in settings.domains.items()
        for what, size in (
            domain.training.sizes()
            | {"k": str(settings.k), "references x masks": f"{domain.n_references} x {domain.n_samples}"}
        ).items()
    },
    measure=measure,
    judge=judge,
    draw=draw,
    captions={
        "figure.png": "Distance of a model to itself k epochs later and to models of other seeds, by the epoch t of the earlier, "
        "so that the curve of related models ends k epochs before the training does. Lines are means, bands standard deviations "
        "over seeds (unrelated: over pairs of seeds)."
    },
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
