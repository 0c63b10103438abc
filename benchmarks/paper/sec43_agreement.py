"""Section 4.3: agreement of predictions does not tell related models from unrelated ones; Zest does.

    python -m benchmarks.paper.sec43_agreement --preset small

Claim: on 128 points, related models (epochs 100 and 200) give the same label to 93.28 (+-1.06)%, unrelated ones (two seeds) to
91.52 (+-2.27)%, on 1,280 points 92.27 (+-0.22)% and 91.59 (+-0.76)%: a gap too small for a decision, where Zest with 128
references separates the pairs. Near the decision boundary it is 41.92 (+-2.82)% and 35.23 (+-2.60)%, but a copy trained to match
the victim's predictions drops to 32.36 (+-1.84)% there, no more than unrelated models; Zest is said to see copies (Figure 5).
Models: those of Figure 2 at half of the training and at its end ("related", as in the paper); shortly before the end and at it
("late", not in the paper, since a half-trained model is less accurate, which agreement notices); the copies from labels of Figure
5; unrelated are those of two seeds. Points: test images, drawn anew; near the boundary those that IPGuard finds for the victim.
Expected: the gap of related to unrelated pairs, in standard deviations over pairs and draws, is larger for Zest than for any
agreement; near the boundary copies agree no more than unrelated models; Zest separates both from unrelated ones.
Hardware and time: `small` 6 minutes on two cores, after the trainings of Figures 2 and 5; `paper` a GPU.
"""

import dataclasses
import itertools
import pathlib
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

import zest_jax as zest
from benchmarks.paper.experiment import Experiment, Line, Pieces, Verdict, main
from benchmarks.paper.models import Training, base, copy_of, signatures
from benchmarks.paper.plots import RELATED, UNRELATED
from zest_jax.baselines import IPGuard, Method, PredictionAgreement
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.data import Dataset

Model = tuple[Literal["seed", "copy"], int, int]
BOUNDARY = "128 points near the boundary"
# How the pairs are made, and their colours.
KINDS = {"related": RELATED, "late": "#56B4E9", "copies": "#CC79A7", "unrelated": UNRELATED}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes.

    Attributes:
        training: of the models.
        sizes: numbers of points.
        draws: of points.
        steps: at most, to find a point near the boundary.
        n_references, n_samples: of Zest's probes.
    """

    training: Training
    sizes: tuple[int, ...] = (128, 1280)
    draws: int = 5
    steps: int = 500
    n_references: int = 128
    n_samples: int = 1000

    @property
    def boundary(self) -> IPGuard:
        """Finds points near the boundary: those where the nearest other class is just ahead."""
        return IPGuard(target="second", margin=0.0, steps=self.steps)

    @property
    def pairs(self) -> dict[str, list[tuple[Model, Model]]]:
        """Pairs of (what, seed, epoch), of each kind; the second one is the victim."""
        last, seeds = self.training.epochs, self.training.seeds
        late = min(round(0.95 * last), last - 1)
        return {
            "related": [(("seed", seed, last // 2), ("seed", seed, last)) for seed in seeds],
            "late": [(("seed", seed, late), ("seed", seed, last)) for seed in seeds],
            "copies": [(("copy", seed, last), ("seed", seed, last)) for seed in seeds],
            "unrelated": [(("seed", a, last), ("seed", b, last)) for a, b in itertools.combinations(seeds, 2)],
        }


def measure(settings: Settings, pieces: Pieces) -> None:
    training = settings.training
    data = training.read()
    training.train(pieces, data)
    for seed in training.seeds:
        pieces.do(lambda seed=seed: copy_of(training, pieces, data, "labels", seed), what="copy", victim=seed)
    test = training.read("test")
    methods: dict[str, tuple[Method, int]] = {f"{n} points": (PredictionAgreement(), n) for n in settings.sizes}
    methods[BOUNDARY] = settings.boundary, min(128, len(test))
    for name, (method, size) in methods.items():
        for victim in sorted({b for found in settings.pairs.values() for _, b in found}):
            suspects = {kind: [a for a, b in found if b == victim] for kind, found in settings.pairs.items()}
            pieces.do(
                lambda method=method, size=size, victim=victim, suspects=suspects: agreements(
                    settings, pieces, test, method, size, victim, suspects
                ),
                what=name,
                victim=victim,
            )
    for draw in range(settings.draws):
        probes = zest.image_probes(data.inputs, settings.n_references, settings.n_samples, draw)
        pieces.do(lambda probes=probes: distances(settings, pieces, probes), what="Zest", draw=draw)


def checkpoint(settings: Settings, pieces: Pieces, model: Model) -> pathlib.Path:
    """Where a model lies."""
    what, seed, epoch = model
    if what == "copy":
        return settings.training.folder_of_copy(pieces, "labels", seed)
    return settings.training.checkpoint(pieces, seed, epoch)


def agreements(
    settings: Settings,
    pieces: Pieces,
    test: Dataset,
    method: Method,
    size: int,
    victim: Model,
    suspects: dict[str, list[Model]],
) -> Line:
    """Shares of points with the same label, over draws of points, by kind of suspect."""

    def box(model: Model) -> BlackBox:
        return zest.from_checkpoint(checkpoint(settings, pieces, model), label="{} {} at {}".format(*model))

    found: Line = {kind: [] for kind in suspects}
    for draw in range(settings.draws):
        ready = method.prepare(box(victim), test, size, seed=draw)
        for kind, models in suspects.items():
            found[kind] += [ready.score(box(suspect)) for suspect in models]
    return found


def distances(settings: Settings, pieces: Pieces, probes: zest.ProbeSet) -> Line:
    """Zest's distances, by kind of pair."""
    models = sorted({model for found in settings.pairs.values() for pair in found for model in pair})
    made = signatures(pieces, probes, [checkpoint(settings, pieces, model) for model in models])
    signed = dict(zip(models, made, strict=True))
    return {kind: [zest.distance(signed[a], signed[b]) for a, b in found] for kind, found in settings.pairs.items()}


def scores(lines: list[Line]) -> dict[str, dict[str, np.ndarray]]:
    """By method and kind of pair: scores over pairs and draws; shares of the same label, or minus Zest's distance."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for line in lines:
        if KINDS.keys() <= line.keys():
            of_method = found.setdefault(line["what"], {kind: np.empty(0) for kind in KINDS})
            sign = -1 if line["what"] == "Zest" else 1
            for kind in KINDS:
                of_method[kind] = np.concatenate([of_method[kind], sign * np.array(line[kind])])
    return found


def gap(found: dict[str, np.ndarray], kind: str) -> float:
    """How much more alike such pairs are than unrelated ones: the difference of the means in pooled standard deviations."""
    spread = np.sqrt((found[kind].var() + found["unrelated"].var()) / 2)
    return float((found[kind].mean() - found["unrelated"].mean()) / max(spread, 1e-12))


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    found = scores(lines)
    gaps = {name: {kind: gap(of, kind) for kind in KINDS if kind != "unrelated"} for name, of in found.items()}
    zest_of = {kind: -values for kind, values in found["Zest"].items()}
    floor = float(zest_of["unrelated"].mean())
    verdicts = {}
    for kind in ("related", "late", "copies"):
        apart = bool(zest_of[kind].max() < zest_of["unrelated"].min())
        of_kind, unrelated = zest_of[kind] / floor, zest_of["unrelated"] / floor
        verdicts[f"Zest: every {_one(kind)} pair below every unrelated one"] = Verdict(
            holds=apart,
            text=f"relative distance {of_kind.mean():.3f} (+-{of_kind.std():.3f}), of unrelated pairs 1 "
            f"(+-{unrelated.std():.3f}); gap {gaps['Zest'][kind]:.1f} standard deviations",
            numbers={"gaps": {name: of[kind] for name, of in gaps.items()}},
        )
    for name, of in found.items():
        if name == "Zest":
            continue
        related = gaps[name]["related"]
        order = ": related pairs agree LESS than unrelated ones" if related < 0 else ""
        verdicts[f"agreement on {name} separates less than Zest"] = Verdict(
            holds=related < gaps["Zest"]["related"],
            text=", ".join(f"{kind} {values.mean():.2%} (+-{values.std():.2%})" for kind, values in of.items())
            + f"; gap of related to unrelated pairs {related:.1f} standard deviations{order}; of late ones "
            f"{gaps[name]['late']:.1f}, of copies {gaps[name]['copies']:.1f}",
            numbers=gaps[name],
        )
    copies = gaps[BOUNDARY]["copies"]
    verdicts["near the boundary copies agree no more than unrelated models"] = Verdict(
        holds=copies < 1, text=f"gap of copies to unrelated pairs {copies:.1f} standard deviations"
    )
    return verdicts


def _one(kind: str) -> str:
    return {"copies": "copied"}.get(kind, kind)


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    found = scores(lines)
    figure = Figure(figsize=(3.6 * len(found), 3.8), dpi=130, layout="constrained")
    panels = figure.subplots(1, len(found))
    for panel, (name, of) in zip(panels, found.items(), strict=True):
        for place, (kind, color) in enumerate(KINDS.items()):
            values = -of[kind] if name == "Zest" else 100 * of[kind]
            shift = np.linspace(-0.25, 0.25, len(values))
            panel.plot(place + shift, values, ".", color=color, alpha=0.6)
            panel.hlines(values.mean(), place - 0.35, place + 0.35, color=color)
        panel.set_xticks(range(len(KINDS)), KINDS, fontsize=8)
        panel.set_xlim(-0.6, len(KINDS) - 0.4)
        if name == "Zest":
            panel.set_ylim(bottom=0)
            panel.set_ylabel("Zest distance (low: alike)")
        else:
            panel.set_ylim(0, 100)
            panel.set_ylabel("same label, % of points (high: alike)")
        panel.set_title(name, fontsize=10)
    return {"figure.png": figure}


EXPERIMENT = Experiment(
    name="sec43_agreement",
    title="Section 4.3: agreement of predictions against Zest",
    claim="Agreement of predictions hardly differs between related and unrelated models; near the boundary it does, but not for "
    "a copy trained on the victim's predictions. Zest separates them.",
    paper="128 points: 93.28 (+-1.06)% related, 91.52 (+-2.27)% unrelated; 1,280: 92.27 (+-0.22)% and 91.59 (+-0.76)%; near the "
    "boundary 41.92 (+-2.82)% and 35.23 (+-2.60)%, copies 32.36 (+-1.84)%",
    criterion="Zest: no related (late, copied) pair is as far as an unrelated one. Agreement: the gap of related to unrelated "
    "pairs, difference of the means in pooled standard deviations over pairs and draws, is below Zest's; a negative gap is the "
    "wrong order. Copies near the boundary: their gap is below 1. Related pairs are epochs at half and at the end, as in the "
    "paper; late ones, not in the paper, shortly before the end and at it; copies are those from labels of Figure 5.",
    settings={
        "smoke": Settings(training=base("smoke"), sizes=(16, 32), draws=2, steps=20, n_references=2, n_samples=60),
        "small": Settings(training=base("small"), draws=3, steps=100, n_samples=200),
        "paper": Settings(training=base("paper")),
    },
    sizes=lambda settings: (
        settings.training.sizes()
        | {
            "points": ", ".join(f"{n:,}" for n in settings.sizes)
            + f" and 128 near the boundary; {settings.draws} draws",
            "steps to the boundary": str(settings.steps),
            "references x masks": f"{settings.n_references} x {settings.n_samples}",
        }
    ),
    measure=measure,
    judge=judge,
    draw=draw,
    captions={
        "figure.png": "Dots are pairs and draws, lines their means. Related: a model at half of its training and at the end; "
        "late: shortly before the end and at it; copies: victim and copy from its labels; unrelated: two seeds."
    },
    tried="a half-trained model is less accurate than one at its end, which agreement notices more than where a model comes "
    "from; shortly before the end and at it the accuracy is the same, and agreement tells related models as well as Zest does. "
    "Copies from labels are not told near the boundary, as the paper has it, nor by Zest, as in Figure 5; plain agreement on "
    "ordinary points tells them, though by little.",
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
