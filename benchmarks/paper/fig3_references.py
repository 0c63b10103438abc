"""Figure 3: how many references are needed; and, beyond the paper, how many masks.

    python -m benchmarks.paper.fig3_references --preset small

Claim (section 4.3): the mean distance does not depend on the number of references, 1 to 128; its standard deviation over the
choice of references falls, for epochs 100 and 200 from 0.3 to about 0, and is small throughout for epochs 190 and 200.
Pairs: the models of Figure 2 at half of the training and its end, and at 95% of it and its end. References are drawn from a
larger pool that was asked once: a distance of fewer needs no new question. For the masks, 8 to 1,000 of those that were asked
are drawn anew; with fewer masks than segments the fit is the one of least norm.
Expected: the mean over draws within a quarter of that of 128 from 4 references on; at 128 a third of the spread or less is left.
Hardware and time: `small` 4 minutes on two cores, after the trainings of Figure 2; `paper` a GPU.
"""

import dataclasses
import warnings

import numpy as np
from matplotlib.figure import Figure

import zest_jax as zest
from benchmarks.paper.experiment import Experiment, Line, Pieces, Verdict, main
from benchmarks.paper.models import Training, base
from benchmarks.paper.plots import RELATED, band
from zest_jax.fit_quality import PoorFitWarning
from zest_jax.solving import SolveSettings, design, fit

COLOURS = {"half": "#CC79A7", "late": RELATED}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes.

    Attributes:
        training: of the models.
        pool: references that are asked, from which smaller sets are drawn.
        n_samples: masks per reference of the pool.
        sizes: of the reference sets.
        mask_references: references for which masks are drawn.
        mask_pool: masks asked of each of those.
        masks: numbers of masks.
        draws: of references, and of masks.
    """

    training: Training
    pool: int = 1024
    n_samples: int = 1000
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    mask_references: int = 128
    mask_pool: int = 2000
    masks: tuple[int, ...] = (8, 16, 32, 64, 125, 250, 500, 1000)
    draws: int = 30

    @property
    def pairs(self) -> dict[str, tuple[int, int]]:
        """Earlier and last epoch of the related models."""
        last = self.training.epochs
        return {"half": (last // 2, last), "late": (min(round(0.95 * last), last - 1), last)}


def measure(settings: Settings, pieces: Pieces) -> None:
    training = settings.training
    data = training.read()
    training.train(pieces, data)
    probes = zest.image_probes(data.inputs, settings.pool, settings.n_samples)
    many = zest.image_probes(data.inputs, settings.mask_references, settings.mask_pool)
    for what, draws, asked in (("references", references_drawn, probes), ("masks", masks_drawn, many)):
        for seed in training.seeds:
            for pair in settings.pairs:
                pieces.do(
                    lambda draws=draws, asked=asked, seed=seed, pair=pair: draws(settings, pieces, asked, seed, pair),
                    what=what,
                    seed=seed,
                    pair=pair,
                )


def references_drawn(settings: Settings, pieces: Pieces, probes: zest.ProbeSet, seed: int, pair: str) -> Line:
    """Mean and standard deviation of the distance over draws of so many references."""
    training, epochs = settings.training, settings.pairs[pair]
    a, b = training.signatures(pieces, probes, [(seed, epoch) for epoch in epochs]).values()
    rng = np.random.default_rng(seed)
    found = {}
    for size in settings.sizes:
        drawn = [rng.choice(settings.pool, size, replace=False) for _ in range(settings.draws)]
        with warnings.catch_warnings():
            # A single reference may be one that is hardly fitted: that is part of the spread.
            warnings.simplefilter("ignore", PoorFitWarning)
            found[size] = summary(
                [zest.distance(a.select_references(rows), b.select_references(rows)) for rows in drawn]
            )
    return {"by number": found}


def masks_drawn(settings: Settings, pieces: Pieces, probes: zest.ProbeSet, seed: int, pair: str) -> Line:
    """The same over draws of so many masks, for all references."""
    answers = [
        zest.query(zest.from_checkpoint(settings.training.checkpoint(pieces, seed, epoch)), probes, progress=True)
        for epoch in settings.pairs[pair]
    ]
    rng, masks, how = np.random.default_rng(seed), probes.masks, SolveSettings(underdetermined="minimum-norm")
    found = {}
    for number in settings.masks:
        distances = []
        for _ in range(settings.draws):
            # The first mask keeps everything, and is one of every draw.
            rows = np.concatenate([[0], 1 + rng.choice(probes.n_samples - 1, number - 1, replace=False)])
            ready = design(masks[:, rows], np.ones((len(masks), number), np.float32), probes.n_segments, how)
            a, b = (fit(ready, outputs[:, rows], how).weights.astype(np.float64) for outputs in answers)
            distances.append(1 - np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
        found[number] = summary(distances)
    return {"by number": found}


def summary(distances: list[float]) -> Line:
    return {"mean": float(np.mean(distances)), "sd": float(np.std(distances))}


def curves(settings: Settings, lines: list[Line], what: str, pair: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Numbers, and means and standard deviations over draws, [seeds, numbers]."""
    found = [line["by number"] for line in lines if line["what"] == what and line["pair"] == pair]
    numbers = list(map(int, found[0]))
    means, spreads = (np.array([[line[str(n)][name] for n in numbers] for line in found]) for name in ("mean", "sd"))
    # Draws without replacement from a finite pool differ less than draws from all images, or of all masks, would.
    pool, drawn = (settings.pool, 0) if what == "references" else (settings.mask_pool, 1)
    return numbers, means, spreads / np.sqrt(1 - (np.array(numbers) - drawn - 1).clip(0) / (pool - drawn - 1))


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    found = {}
    for what, start in (("references", 4), ("masks", settings.masks[-3])):
        for pair, (early, late) in settings.pairs.items():
            numbers, means, spreads = curves(settings, lines, what, pair)
            mean, spread = means.mean(0), spreads.mean(0)
            far = [n for n, value in zip(numbers, mean, strict=True) if n >= start and abs(value / mean[-1] - 1) > 0.25]
            falls = bool(spread[-1] < spread[0] / 3)
            worst = numbers[int(spread.argmax())]
            found[f"number of {what}, epochs {early} and {late}"] = Verdict(
                holds=not far and falls,
                text="mean and standard deviation "
                + "; ".join(f"{m:.3g} (+-{sd:.2g}) with {n}" for n, m, sd in zip(numbers, mean, spread, strict=True))
                + (f". The spread is largest with {worst}" if worst != numbers[0] else ""),
                numbers={"numbers": numbers, "mean": mean.tolist(), "sd": spread.tolist()},
            )
    return found


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    figures = {}
    for what, label, numbers in (
        ("references", "number of references", settings.sizes),
        ("masks", "masks per reference", settings.masks),
    ):
        figure = Figure(figsize=(10, 3.8), dpi=130, layout="constrained")
        panels = figure.subplots(1, 2)
        for pair, (early, late) in settings.pairs.items():
            _, means, spreads = curves(settings, lines, what, pair)
            for panel, values in zip(panels, (means, spreads), strict=True):
                band(panel, numbers, values, color=COLOURS[pair], label=f"epochs {early} and {late}")
        for panel, title in zip(panels, ("mean distance", "standard deviation over draws"), strict=True):
            panel.set_xscale("log", base=2)
            panel.set_xticks(numbers, list(map(str, numbers)))
            panel.minorticks_off()
            panel.set_xlabel(label)
            panel.set_ylabel(title)
            panel.set_yscale("log")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        figures[f"{what}.png"] = figure
    return figures


EXPERIMENT = Experiment(
    name="fig3_references",
    title="Figure 3: how many references, and how many masks",
    claim="The mean distance does not depend on the number of references; its standard deviation falls to about 0.",
    paper="mean flat from 1 to 128 references; standard deviation from 0.3 to about 0 for epochs 100 and 200, close to 0 "
    "throughout for 190 and 200. Numbers of masks are not in the paper",
    criterion="from 4 references, or the third largest number of masks, on the mean is within a quarter of that of the largest "
    "number, where the standard deviation over draws is a third of that of the smallest or less. Distances are not divided by "
    "that of unrelated models here.",
    settings={
        "smoke": Settings(
            training=base("smoke"),
            pool=8,
            n_samples=60,
            sizes=(1, 2, 4),
            mask_references=4,
            mask_pool=64,
            masks=(8, 16, 32),
            draws=4,
        ),
        "small": Settings(
            training=base("small"), pool=256, n_samples=200, mask_references=16, mask_pool=2000, draws=20
        ),
        "paper": Settings(training=base("paper")),
    },
    sizes=lambda settings: (
        settings.training.sizes()
        | {
            "references": f"{settings.draws} draws from {settings.pool}, with {settings.n_samples} masks each",
            "masks": f"{settings.draws} draws from {settings.mask_pool}, for {settings.mask_references} references",
        }
    ),
    measure=measure,
    judge=judge,
    draw=draw,
    captions={
        "references.png": "Mean and standard deviation of the distance over draws of so many references; log scales. Lines are "
        "means over seeds, bands standard deviations over seeds.",
        "masks.png": "The same for draws of so many masks of each reference. Where masks are about as many as the segments of a "
        "reference, least squares swing: fewer are better there, and many more are best.",
    },
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
