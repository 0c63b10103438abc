"""Section 4.3: agreement of predictions does not tell related models from unrelated ones; Zest does.

    python -m benchmarks.paper.sec43_agreement --preset small

Claim: on 128 points, related models (epochs 100 and 200) give the same label to 93.28 (+-1.06)%, unrelated ones (two seeds) to
91.52 (+-2.27)%; on 1,280 points 92.27 (+-0.22)% and 91.59 (+-0.76)%; near the decision boundary 41.92 (+-2.82)% and 35.23
(+-2.60)%. These ranges overlap or nearly do; Zest with 128 references separates the pairs.
Models: those of Figure 2 at half of the training and at its end. Points: test images, drawn anew; near the boundary those that
IPGuard finds for the later model.
Expected: the gap between the means, in standard deviations over pairs and draws, is larger for Zest than for any agreement.
Hardware and time: `small` 9 minutes on two cores, beside other work and after the trainings of Figure 2.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure

import zest_jax as zest
from benchmarks.paper.experiment import Experiment, Line, Options, Pieces, Verdict, run
from benchmarks.paper.models import Training, base
from benchmarks.paper.plots import RELATED, UNRELATED
from zest_jax.baselines import IPGuard, Method, PredictionAgreement
from zest_jax.blackbox.protocol import BlackBox


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
    def pairs(self) -> dict[str, list[tuple[tuple[int, int], tuple[int, int]]]]:
        """Related and unrelated pairs of (seed, epoch); the later or second one is the victim."""
        last, seeds = self.training.epochs, self.training.seeds
        return {
            "related": [((seed, last // 2), (seed, last)) for seed in seeds],
            "unrelated": [((a, last), (b, last)) for a, b in itertools.combinations(seeds, 2)],
        }


def measure(settings: Settings, pieces: Pieces) -> None:
    training = settings.training
    data = training.read()
    training.train(pieces, data)
    test = training.read("test")

    def box(model: tuple[int, int]) -> BlackBox:
        return zest.from_checkpoint(training.checkpoint(pieces, *model), label="{} at {}".format(*model))

    def agreements(method: Method, size: int, victim: tuple[int, int], suspects: dict[str, Any]) -> Line:
        found: Line = {kind: [] for kind in suspects}
        for draw in range(settings.draws):
            ready = method.prepare(box(victim), test, size, seed=draw)
            for kind, models in suspects.items():
                found[kind] += [ready.score(box(suspect)) for suspect in models]
        return found

    methods: dict[str, tuple[Method, int]] = {f"{n} points": (PredictionAgreement(), n) for n in settings.sizes}
    methods["128 points near the boundary"] = settings.boundary, min(128, len(test))
    for name, (method, size) in methods.items():
        for victim in sorted({b for found in settings.pairs.values() for _, b in found}):
            suspects = {kind: [a for a, b in found if b == victim] for kind, found in settings.pairs.items()}
            pieces.do(
                lambda method=method, size=size, victim=victim, suspects=suspects: agreements(
                    method, size, victim, suspects
                ),
                what=name,
                victim=victim,
            )
    for draw in range(settings.draws):
        probes = zest.image_probes(data.inputs, settings.n_references, settings.n_samples, draw)
        pieces.do(lambda probes=probes: distances(settings, pieces, probes), what="Zest", draw=draw)


def distances(settings: Settings, pieces: Pieces, probes: zest.ProbeSet) -> Line:
    training = settings.training
    models = sorted({model for found in settings.pairs.values() for pair in found for model in pair})
    made = training.signatures(pieces, probes, models)
    return {kind: [zest.distance(made[a], made[b]) for a, b in found] for kind, found in settings.pairs.items()}


def scores(lines: list[Line]) -> dict[str, dict[str, np.ndarray]]:
    """By method: scores of related and of unrelated pairs, over pairs and draws; similarity, or minus Zest's distance."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for what in dict.fromkeys(line["what"] for line in lines if line["what"] not in ("models", "accuracy", "Zest")):
        there = [line for line in lines if line["what"] == what]
        found[what] = {kind: np.concatenate([line[kind] for line in there]) for kind in ("related", "unrelated")}
    of_zest = [line for line in lines if line["what"] == "Zest"]
    found["Zest"] = {kind: -np.concatenate([line[kind] for line in of_zest]) for kind in ("related", "unrelated")}
    return found


def gap(found: dict[str, np.ndarray]) -> float:
    """Difference of the means in pooled standard deviations."""
    spread = np.sqrt((found["related"].var() + found["unrelated"].var()) / 2)
    return float((found["related"].mean() - found["unrelated"].mean()) / max(spread, 1e-12))


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    found = scores(lines)
    gaps = {name: gap(of) for name, of in found.items()}
    apart = bool(found["Zest"]["related"].min() > found["Zest"]["unrelated"].max())
    related, unrelated = (-found["Zest"][kind] for kind in ("related", "unrelated"))
    verdicts = {
        "Zest separates more than agreement": Verdict(
            holds=apart and gaps["Zest"] > max(value for name, value in gaps.items() if name != "Zest"),
            text=f"related {related.mean():.3f} (+-{related.std():.3f}), unrelated {unrelated.mean():.3f} "
            f"(+-{unrelated.std():.3f}); gap between the means in standard deviations: "
            + ", ".join(f"{name} {value:.1f}" for name, value in gaps.items()),
            numbers={"gaps": gaps},
        )
    }
    for name, of in found.items():
        if name == "Zest":
            continue
        means = {kind: f"{values.mean():.2%} (+-{values.std():.2%})" for kind, values in of.items()}
        overlap = bool(of["unrelated"].max() >= of["related"].min())
        verdicts[f"agreement on {name} overlaps"] = Verdict(
            holds=overlap, text=f"related {means['related']}, unrelated {means['unrelated']}"
        )
    return verdicts


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    found = scores(lines)
    figure = Figure(figsize=(3.4 * len(found), 3.6), dpi=130, layout="constrained")
    for panel, (name, of) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for place, (kind, color) in enumerate((("related", RELATED), ("unrelated", UNRELATED))):
            values = -of[kind] if name == "Zest" else 100 * of[kind]
            shift = np.linspace(-0.25, 0.25, len(values))
            panel.plot(place + shift, values, ".", color=color, alpha=0.6)
            panel.hlines(values.mean(), place - 0.35, place + 0.35, color=color)
        panel.set_xticks((0, 1), ("related", "unrelated"))
        panel.set_xlim(-0.6, 1.6)
        panel.set_ylabel("Zest distance" if name == "Zest" else "same label, % of points")
        panel.set_title(name, fontsize=10)
    return {"figure.png": figure}


EXPERIMENT = Experiment(
    name="sec43_agreement",
    title="Section 4.3: agreement of predictions against Zest",
    claim="Agreement of predictions overlaps between related and unrelated models, even near the boundary; Zest separates them.",
    paper="128 points: 93.28 (+-1.06)% and 91.52 (+-2.27)%; 1,280: 92.27 (+-0.22)% and 91.59 (+-0.76)%; near the boundary "
    "41.92 (+-2.82)% and 35.23 (+-2.60)%",
    settings={
        "smoke": Settings(training=base("smoke"), sizes=(16, 32), draws=2, steps=20, n_references=2, n_samples=60),
        "small": Settings(
            training=base("small"), sizes=(128, 1000), draws=3, steps=100, n_references=32, n_samples=200
        ),
        "paper": Settings(training=base("paper")),
    },
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    run(EXPERIMENT, tyro.cli(Options, description=__doc__))
