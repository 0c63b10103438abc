"""The race: Zest and its peers on the same pairs of models, with 16 to 128,000 questions to a suspect.

    python -m benchmarks.paper.race --preset small

Not in the paper, which asks 128,000 questions. QuRD (AAAI 2025) reports that peers detect more than Zest with 100 questions.
Pairs: every kind of reuse of each victim; unrelated are models of other seeds, other architectures, the other half of the data,
other classes. Where a method cannot compare a pair, as labels of other classes, the pair counts as one that it does not detect.
Zest asks about the victim's training images, its peers about test images; where a method has fewer questions than the budget
allows (test images; adversarial inputs beyond `most`), its score is that of all it has, and verdicts say how many were asked.
Zest is judged by the split that it chooses by itself; which one is best in hindsight is told beside. A repeated mask counts as a
question here, which `zest_jax.baselines.Zest` would ask once.
Measures: area under the ROC curve (AUROC), and the share of related pairs (TPR) above a threshold that at most 5% of the
unrelated pairs exceed, with 95% intervals from resampling the models.
Expected: Zest separates better with more questions; which split of them into references and masks is best is measured.
Hardware and time: `small` an hour on two cores beside other work, of which 18 minutes make the models, and half an hour
more for the 128,000 questions to each of its 51 models (30 s a model where nothing else runs).
"""

import dataclasses
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure

from benchmarks.paper.detection import area, interval, rate
from benchmarks.paper.experiment import Experiment, Line, Options, Preset, Verdict, run
from benchmarks.paper.race_scores import Settings, measure
from benchmarks.paper.race_zoo import RaceZoo
from benchmarks.paper.table1_modelreuse import tasks
from zest_jax.baselines import WeightCosine

FALSE_POSITIVES = 0.05
HINDSIGHT = "Zest, best split in hindsight"
COLOURS = {
    "Zest": "#0072B2",
    HINDSIGHT: "#56B4E9",
    "prediction agreement": "#999999",
    "AKH": "#D55E00",
    "FBI": "#F0E442",
    "SAC-w": "#009E73",
    "SAC-m": "#CC79A7",
    "IPGuard": "#E69F00",
    "ModelDiff": "#000000",
    "weight cosine": "#8B4513",
}
MARKERS = dict(zip(COLOURS, "o*svD^<>Px", strict=True))


def table(settings: Settings, lines: list[Line]) -> dict[str, dict[int, np.ndarray]]:
    """Scores [cases] by method and budget; minus infinity where a method cannot compare."""
    cases = settings.zoo.cases()
    found: dict[str, dict[int, np.ndarray]] = {}
    for name in dict.fromkeys(method.name for method in settings.methods):
        there = [line for line in lines if line["what"] == name]
        for budget in settings.budgets:
            scores = np.full(len(cases), -np.inf)
            for victim in dict.fromkeys(case.victim for case in cases):
                of_victim = [line for line in there if line["victim"] == victim]
                # The largest that it has within the budget; weights need no questions.
                fitting = [line for line in of_victim if line["budget"] <= budget] or of_victim
                best = max(fitting, key=lambda line: line["budget"])
                rows = [i for i, case in enumerate(cases) if case.victim == victim]
                scores[rows] = [-np.inf if score is None else score for score in best["scores"]]
            found.setdefault(name, {})[budget] = scores
    for budget in settings.budgets:
        of_splits = {
            tuple(line["split"]): np.array(line["scores"])
            for line in lines
            if line["what"] == "Zest" and line["budget"] == budget and tuple(line["split"]) in settings.splits(budget)
        }
        found.setdefault("Zest", {})[budget] = of_splits[settings.usual(budget)]
        found.setdefault(HINDSIGHT, {})[budget] = of_splits[best_split(settings, of_splits)]
    return found


def questions(lines: list[Line], method: str, budget: int) -> int:
    """How many a suspect was asked at most; for Zest the budget."""
    found = [line["questions"] for line in lines if line["what"] == method and "questions" in line]
    fitting = [n for n in found if n <= budget]
    return max(fitting, default=0) if found else budget


def best_split(settings: Settings, of_splits: dict[tuple[int, int], np.ndarray]) -> tuple[int, int]:
    """The split of the largest area under the curve."""
    related = np.array([case.related for case in settings.zoo.cases()])
    return max(of_splits, key=lambda split: area(of_splits[split][related], of_splits[split][~related]))


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    cases = settings.zoo.cases()
    related = np.array([case.related for case in cases])
    models = [(case.victim, case.suspect) for case in cases]
    kinds = list(dict.fromkeys(case.kind for case in cases if case.related))
    of_kind = {kind: np.array([case.related and case.kind == kind for case in cases]) for kind in kinds}
    scores = table(settings, lines)
    areas = {
        method: {budget: area(s[related], s[~related]) for budget, s in of.items()} for method, of in scores.items()
    }
    rates = {
        method: {budget: rate(s[related], s[~related], FALSE_POSITIVES) for budget, s in of.items()}
        for method, of in scores.items()
    }
    first, last = settings.budgets[0], settings.budgets[-1]
    black = [method for method in scores if not method.startswith("Zest") and method != WeightCosine.name]
    best = max(black, key=lambda method: areas[method][last])
    found = {
        f"with {last:,} questions no peer that only asks separates better": Verdict(
            holds=areas["Zest"][last] >= areas[best][last],
            text=f"AUROC of Zest {areas['Zest'][last]:.3f}, of {best} {areas[best][last]:.3f}; "
            f"{int((~related).sum())} unrelated pairs, {int(related.sum())} related ones",
        ),
        "Zest separates better with more questions": Verdict(
            holds=areas["Zest"][last] > areas["Zest"][first],
            text="AUROC " + ", ".join(f"{areas['Zest'][budget]:.3f} ({budget:,})" for budget in settings.budgets),
        ),
    }
    splits = {}
    for budget in settings.budgets:
        of_splits = {
            tuple(line["split"]): np.array(line["scores"])
            for line in lines
            if line["what"] == "Zest" and line["budget"] == budget and tuple(line["split"]) in settings.splits(budget)
        }
        found_areas = {split: area(s[related], s[~related]) for split, s in of_splits.items()}
        splits[budget] = best_split(settings, of_splits), settings.usual(budget), found_areas
    found["the split that Zest chooses by itself is within 0.02 of the best one"] = Verdict(
        holds=all(areas_of[usual] >= areas_of[best] - 0.02 for best, usual, areas_of in splits.values()),
        text="best N x L, and the usual one: "
        + "; ".join(
            f"{budget:,}: {best[0]} x {best[1]} ({areas_of[best]:.3f}), {usual[0]} x {usual[1]} ({areas_of[usual]:.3f})"
            for budget, (best, usual, areas_of) in splits.items()
        ),
    )
    for budget in settings.budgets:
        parts, numbers_of = [], {}
        for method, of in scores.items():
            asked = questions(lines, method, budget)
            low, high = interval(of[budget], related, models, FALSE_POSITIVES)
            numbers_of[method] = {
                "tpr": rates[method][budget],
                "interval": (low, high),
                "auroc": areas[method][budget],
                "asked": asked,
            }
            few = f", asked {asked:,}" if asked < budget else ""
            parts.append(
                f"{method} {rates[method][budget]:.2f} [{low:.2f}, {high:.2f}], {areas[method][budget]:.3f}{few}"
            )
        best_peer = max(black, key=lambda method: rates[method][budget])
        found[f"{budget:,} questions: TPR at 5% FPR [95% interval], AUROC"] = Verdict(
            holds=rates["Zest"][budget] >= rates[best_peer][budget], text="; ".join(parts), numbers=numbers_of
        )
    for kind, rows in of_kind.items():
        numbers: dict[str, Any] = {}
        of_those = [pair for pair, one in zip(models, rows | ~related, strict=True) if one]
        for method, of in scores.items():
            numbers[method] = {
                str(budget): {
                    "tpr": rate(s[rows], s[~related], FALSE_POSITIVES),
                    "interval": interval(s[rows | ~related], related[rows | ~related], of_those, FALSE_POSITIVES),
                    "auroc": area(s[rows], s[~related]),
                }
                for budget, s in of.items()
            }
        mine, theirs = ([numbers[method][str(last)]["tpr"] for method in methods] for methods in (["Zest"], black))
        found[f"{kind}, {last:,} questions: TPR at 5% FPR"] = Verdict(
            holds=mine[0] >= max(theirs),
            text=", ".join(f"{method} {of[str(last)]['tpr']:.2f}" for method, of in numbers.items()),
            numbers=numbers,
        )
    return found


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    cases = settings.zoo.cases()
    related = np.array([case.related for case in cases])
    scores = table(settings, lines)
    kinds = list(dict.fromkeys(case.kind for case in cases if case.related))
    groups = {"all kinds": related} | {
        kind: np.array([case.related and case.kind == kind for case in cases]) for kind in kinds
    }
    columns = 5
    rows = -(-(len(groups) + 1) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.7 * rows), dpi=130, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, (name, chosen) in zip(panels, groups.items(), strict=False):
        for method, of in scores.items():
            values = [rate(s[chosen], s[~related], FALSE_POSITIVES) for s in of.values()]
            panel.plot(
                list(of),
                values,
                marker=MARKERS[method],
                markersize=4,
                linewidth=1.2,
                color=COLOURS[method],
                label=method,
            )
        panel.set_xscale("log")
        panel.set_ylim(-0.03, 1.03)
        panel.set_title(name, fontsize=10)
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    panels[len(groups)].legend(*panels[0].get_legend_handles_labels(), loc="center", fontsize=8, frameon=False)
    figure.supxlabel("questions to a suspect", fontsize=10)
    figure.supylabel("TPR at 5% FPR", fontsize=10)
    return {"figure.png": figure}


def race_zoo(preset: Preset) -> RaceZoo:
    """The zoo of a preset, on the tasks of Table 1."""
    source, (target, *_) = tasks(preset)
    count = {"smoke": 64, "small": 1500, "paper": 15_000}[preset]
    whole = dataclasses.replace(source, train=2 * count, test=10**6 if preset != "smoke" else 32)
    first, second = (dataclasses.replace(whole, name=f"{source.name}-half-{half}", half=half) for half in (0, 1))
    sizes: dict[Preset, dict[str, Any]] = {
        "smoke": {"model": "resnet8", "options": {"width": 0.25}, "victims": (0,), "unrelated": 1},
        "small": {
            "model": "resnet8",
            "options": {"width": 0.5},
            "others": {
                "resnet20": {"width": 0.25},
                "resnet18": {"stem": "cifar", "width": 0.125},
                "mobilenet_v2": {"stem": "cifar", "width": 0.25},
            },
        },
        "paper": {
            "model": "resnet20",
            "others": {"resnet32": {}, "resnet18": {"stem": "cifar"}, "mobilenet_v2": {"stem": "cifar"}},
            "victims": (0, 1, 2, 3, 4),
        },
    }
    return RaceZoo(task=first, second=second, target=target, **sizes[preset])


EXPERIMENT = Experiment(
    name="race",
    title="The race: detection against the number of questions",
    claim="Not a claim of the paper: which method tells reused models from unrelated ones with how many questions.",
    paper="asks 128,000 questions; QuRD, with 100: AKH, SAC, IPGuard and ModelDiff detect more than Zest",
    settings={
        "smoke": Settings(
            zoo=race_zoo("smoke"), budgets=(16, 64), n_references=2, n_samples=32, references=(1, 2), steps=2, most=16
        ),
        "small": Settings(zoo=race_zoo("small")),
        "paper": Settings(zoo=race_zoo("paper"), steps=500, most=1000),
    },
    measure=measure,
    judge=judge,
    draw=draw,
    grows=("budgets",),
)

if __name__ == "__main__":
    run(EXPERIMENT, tyro.cli(Options, description=__doc__))
