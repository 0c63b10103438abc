"""The race: Zest and its peers on the same pairs of models, with 16 to 128,000 questions to a suspect.

    python -m benchmarks.paper.race --preset small

Not in the paper, which asks 128,000 questions. QuRD (AAAI 2025) reports that peers detect more than Zest with 100 questions.
Pairs: every kind of reuse of each victim; unrelated are models of other seeds, other architectures, the other half of the data,
other classes. Where a method cannot compare a pair, as labels of other classes, the pair counts as one that it does not detect.
Zest asks about the victim's training images, its peers about test images; where a method has fewer questions than the budget
allows (test images; 10,000 mixed ones of SAC-m; adversarial inputs beyond `most`), its score is that of all it has, and verdicts
say how many were asked.
Zest is judged by the split that it chooses by itself; which one is best in hindsight is told beside. A repeated mask counts as a
question here, which `zest_jax.baselines.Zest` would ask once. Every method has one draw of questions, so that the intervals tell
how models differ and not how questions do.
Measures: area under the ROC curve (AUROC), and the share of related pairs (TPR) above a threshold that at most 5% of the
unrelated pairs exceed, with 95% intervals from resampling the models.
Expected: Zest separates better with more questions; which split of them into references and masks is best is measured.
Hardware and time: `small` 37 minutes on two cores: 10 make its 51 models, 7 are the peers', 20 the 128,000 questions to each
model, of which repeated masks are asked once.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.paper.detection import area, interval, rate
from benchmarks.paper.experiment import Experiment, Line, Preset, Verdict, main
from benchmarks.paper.race_scores import MOST_MIXED, Settings, measure
from benchmarks.paper.race_zoo import Case, RaceZoo
from benchmarks.paper.table1_modelreuse import tasks
from zest_jax.baselines import WeightCosine

FALSE_POSITIVES = 0.05
COLOURS = {
    "Zest": "#0072B2",
    "prediction agreement": "#999999",
    "AKH": "#D55E00",
    "FBI": "#B8A200",
    "SAC-w": "#009E73",
    "SAC-m": "#CC79A7",
    "IPGuard": "#E69F00",
    "ModelDiff": "#000000",
    "weight cosine": "#8B4513",
}
MARKERS = dict(zip(COLOURS, "osvD^<>Px", strict=True))


def table(settings: Settings, lines: list[Line]) -> dict[str, dict[int, np.ndarray]]:
    """Scores [cases] by method and budget; minus infinity where a method cannot compare."""
    cases = settings.zoo.cases()
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, version in {method.name: method.version for method in settings.methods}.items():
        there = [line for line in lines if line["what"] == name and line.get("version", 1) == version]
        for budget in settings.budgets:
            scores = np.full(len(cases), -np.inf)
            for victim in dict.fromkeys(case.victim for case in cases):
                of_victim = [line for line in there if line["victim"] == victim]
                if not of_victim:
                    raise ValueError(
                        f"{name} (version {version}) was not measured for {victim}; run `zest paper race --anew`"
                    )
                # The largest that it has within the budget; weights need no questions.
                fitting = [line for line in of_victim if line["budget"] <= budget] or of_victim
                best = max(fitting, key=lambda line: line["budget"])
                rows = [i for i, case in enumerate(cases) if case.victim == victim]
                scores[rows] = [-np.inf if score is None else score for score in best["scores"]]
            found.setdefault(name, {})[budget] = scores
    for budget in settings.budgets:
        found.setdefault("Zest", {})[budget] = splits_of(settings, lines, budget)[settings.usual(budget)]
    return found


def splits_of(settings: Settings, lines: list[Line], budget: int) -> dict[tuple[int, int], np.ndarray]:
    """Zest's scores [cases] by split of a budget."""
    return {
        tuple(line["split"]): np.array(line["scores"])
        for line in lines
        if line["what"] == "Zest" and line["budget"] == budget and tuple(line["split"]) in settings.splits(budget)
    }


def questions(lines: list[Line], method: str, budget: int) -> int:
    """How many a suspect was asked at most; for Zest the budget."""
    found = [line["questions"] for line in lines if line["what"] == method and "questions" in line]
    fitting = [n for n in found if n <= budget]
    return max(fitting, default=0) if found else budget


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    cases = settings.zoo.cases()
    related = np.array([case.related for case in cases])
    models = [(case.victim, case.suspect) for case in cases]
    kinds = list(dict.fromkeys(case.kind for case in cases if case.related))
    of_kind = {kind: np.array([case.related and case.kind == kind for case in cases]) for kind in kinds}
    scores = table(settings, lines)
    last = settings.budgets[-1]
    black = [method for method in scores if method not in ("Zest", WeightCosine.name)]
    areas = {
        method: {budget: area(s[related], s[~related]) for budget, s in of.items()} for method, of in scores.items()
    }
    found = {
        f"no peer that only asks separates better, {last:,} questions": _most(
            {method: areas[method][last] for method in scores},
            black,
            f"AUROC of {int(related.sum())} related and {int((~related).sum())} unrelated pairs",
        ),
        f"the same of the pairs that every method can compare, {last:,} questions": _comparable(
            scores, related, black, last
        ),
        "Zest separates better with more questions": Verdict(
            holds=_rises(list(areas["Zest"].values())),
            text="AUROC " + ", ".join(f"{areas['Zest'][budget]:.3f} ({budget:,})" for budget in settings.budgets),
        ),
        "the split that Zest chooses by itself is within 0.02 of the best one": _splits(settings, lines, related),
    }
    for budget in settings.budgets:
        numbers = {
            method: {
                "tpr": rate(of[budget][related], of[budget][~related], FALSE_POSITIVES),
                "interval": interval(of[budget], related, models, FALSE_POSITIVES),
                "auroc": areas[method][budget],
                "asked": questions(lines, method, budget),
            }
            for method, of in scores.items()
        }
        parts = [
            f"{method} {_interval(of)}, {of['auroc']:.3f}{_asked(of['asked'], budget)}"
            for method, of in numbers.items()
        ]
        found[f"no peer that only asks finds more with {budget:,} questions"] = Verdict(
            holds=numbers["Zest"]["tpr"] >= max(numbers[method]["tpr"] for method in black),
            text="TPR at 5% FPR [95% interval], AUROC: " + "; ".join(parts),
            numbers=numbers,
        )
    for kind, rows in of_kind.items():
        of_those = [pair for pair, one in zip(models, rows | ~related, strict=True) if one]
        numbers = {
            method: {
                str(budget): {
                    "tpr": rate(s[rows], s[~related], FALSE_POSITIVES),
                    "interval": interval(s[rows | ~related], related[rows | ~related], of_those, FALSE_POSITIVES),
                    "auroc": area(s[rows], s[~related]),
                    "comparable": bool(np.isfinite(s[rows]).any()),
                }
                for budget, s in of.items()
            }
            for method, of in scores.items()
        }
        at_last = {method: of[str(last)] for method, of in numbers.items()}
        mine, theirs = at_last["Zest"]["tpr"], max(at_last[method]["tpr"] for method in black)
        found[f"{kind}: no peer that only asks finds more with {last:,} questions"] = Verdict(
            # Where nobody finds anything nothing is shown.
            holds=None if mine == theirs == 0 else mine >= theirs,
            text=f"TPR at 5% FPR [95% interval] of {int(rows.sum())}: "
            + ", ".join(
                f"{method} {_interval(of) if of['comparable'] else 'cannot compare'}" for method, of in at_last.items()
            ),
            numbers=numbers,
        )
    return found


def _interval(of: Mapping[str, Any]) -> str:
    low, high = of["interval"]
    return f"{of['tpr']:.2f} [{low:.2f}, {high:.2f}]"


def _asked(asked: int, budget: int) -> str:
    return f", asked {asked:,}" if asked < budget else ""


def _most(areas: Mapping[str, float], black: Sequence[str], what: str) -> Verdict:
    return Verdict(
        holds=areas["Zest"] >= max((areas[method] for method in black), default=0.0),
        text=f"{what}: " + ", ".join(f"{method} {value:.3f}" for method, value in areas.items()),
        numbers=areas,
    )


def _comparable(
    scores: Mapping[str, Mapping[int, np.ndarray]], related: np.ndarray, black: Sequence[str], budget: int
) -> Verdict:
    """Without pairs of which some method that only asks can say nothing, which count as not detected elsewhere."""
    finite = {method: np.isfinite(scores[method][budget]) for method in (*black, "Zest")}
    able = [method for method in finite if finite[method].any()]
    both = np.all([finite[method] for method in able], axis=0)
    if not (both & related).any() or not (both & ~related).any():
        return Verdict(holds=None, text="there are no such pairs of either kind")
    areas = {
        method: area(scores[method][budget][both & related], scores[method][budget][both & ~related]) for method in able
    }
    what = f"AUROC of {int((both & related).sum())} related and {int((both & ~related).sum())} unrelated pairs"
    return _most(areas, [method for method in able if method != "Zest"], what)


def _rises(areas: Sequence[float]) -> bool:
    """Whether the last is above the first, and nothing on the way more than 0.02 below what came before.

    >>> _rises([0.8, 0.9, 0.89, 0.95]), _rises([0.8, 0.95, 0.85])
    (True, False)
    """
    return areas[-1] > areas[0] and all(area >= max(areas[: i + 1]) - 0.02 for i, area in enumerate(areas))


def _splits(settings: Settings, lines: list[Line], related: np.ndarray) -> Verdict:
    holds, parts = True, []
    for budget in settings.budgets:
        areas = {split: area(s[related], s[~related]) for split, s in splits_of(settings, lines, budget).items()}
        best, usual = max(areas, key=lambda split: areas[split]), settings.usual(budget)
        holds = holds and areas[usual] >= areas[best] - 0.02
        parts.append(
            f"{budget:,}: {best[0]} x {best[1]} ({areas[best]:.3f}), {usual[0]} x {usual[1]} ({areas[usual]:.3f})"
        )
    return Verdict(
        holds=holds, text="references x masks with the largest AUROC, and those it chooses: " + "; ".join(parts)
    )


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    cases = settings.zoo.cases()
    related = np.array([case.related for case in cases])
    models = [(case.victim, case.suspect) for case in cases]
    scores = table(settings, lines)
    figure = Figure(figsize=(13, 11), dpi=130, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.15))
    of_area, of_rate = (figure.add_subplot(grid[0, column]) for column in (0, 1))
    for method, of in scores.items():
        style: dict[str, Any] = {"color": COLOURS[method], "linewidth": 2.5 if method == "Zest" else 1.2}
        # A method that has fewer questions than the budget ends where it has no more.
        asked = [max(questions(lines, method, budget), 1) for budget in settings.budgets]
        last = asked.index(asked[-1]) + 1
        chosen = dict(list(of.items())[:last])
        areas = [area(s[related], s[~related]) for s in chosen.values()]
        rates = [rate(s[related], s[~related], FALSE_POSITIVES) for s in chosen.values()]
        for panel, values in ((of_area, areas), (of_rate, rates)):
            if method == WeightCosine.name:
                panel.axhline(values[0], linestyle=":", label=f"{method} (no questions)", **style)
            else:
                panel.plot(asked[:last], values, marker=MARKERS[method], markersize=5, label=method, **style)
        if method == "Zest":
            low, high = zip(*(interval(s, related, models, FALSE_POSITIVES) for s in chosen.values()), strict=True)
            of_rate.fill_between(asked[:last], low, high, color=COLOURS[method], alpha=0.15, linewidth=0)
    for panel, name in ((of_area, "AUROC"), (of_rate, "TPR at 5% FPR")):
        panel.set_xscale("log")
        panel.set_xlabel("questions to a suspect")
        panel.set_ylabel(f"{name}, all kinds")
        panel.grid(alpha=0.3)
    of_rate.set_ylim(0, 1.03)
    figure.legend(*of_area.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=9)
    few = min((budget for budget in settings.budgets if budget >= 100), default=settings.budgets[0])
    for column, budget in enumerate((few, settings.budgets[-1])):
        _map_of_kinds(figure.add_subplot(grid[1, column]), cases, scores, budget)
    return {"figure.png": figure}


def _map_of_kinds(
    panel: Axes, cases: Sequence[Case], scores: Mapping[str, Mapping[int, np.ndarray]], budget: int
) -> None:
    """TPR by kind of reuse and method."""
    related = np.array([case.related for case in cases])
    kinds = list(dict.fromkeys(case.kind for case in cases if case.related))
    of_kind = [np.array([case.related and case.kind == kind for case in cases]) for kind in kinds]
    values = np.array(
        [[rate(of[budget][rows], of[budget][~related], FALSE_POSITIVES) for of in scores.values()] for rows in of_kind]
    )
    panel.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, rows in enumerate(of_kind):
        for j, of in enumerate(scores.values()):
            text = f"{values[i, j]:.2f}" if np.isfinite(of[budget][rows]).any() else "-"
            panel.text(
                j, i, text, ha="center", va="center", fontsize=8, color="white" if values[i, j] > 0.6 else "black"
            )
    panel.set_xticks(range(len(scores)), list(scores), rotation=40, ha="right", fontsize=8)
    panel.set_yticks(range(len(kinds)), kinds, fontsize=8)
    panel.set_title(f"TPR at 5% FPR, {budget:,} questions at most", fontsize=10)


def race_zoo(preset: Preset) -> RaceZoo:
    """The zoo of a preset, on tasks of Table 1.

    It was measured before the models of Table 1 learnt from whole images and pruned ones trained as long as transferred ones, and
    keeps the recipes of then.
    """
    of_table1, targets = tasks(preset)
    epochs = {"smoke": 1, "small": 12, "paper": 60}[preset]
    progressive = () if preset == "smoke" else ((0.8, 0.5),)
    source, target = (
        dataclasses.replace(task, scratch=dataclasses.replace(task.scratch, progressive=progressive).lasting(epochs))
        for task in (of_table1, targets[0])
    )
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
    paper="has no such comparison; it asks 128,000 questions. QuRD (AAAI 2025) reports that with 100 AKH, SAC, IPGuard and "
    "ModelDiff detect more than Zest",
    criterion="Zest has at least the AUROC, or the TPR at a threshold that at most 5% of the unrelated pairs exceed, of "
    "every peer that only asks suspects (weight cosine sees weights; IPGuard and ModelDiff need the victim's gradients, "
    "too). A pair that a method cannot compare counts as not detected; where none that only asks detects anything nothing "
    "can be told. Better with more questions: the last AUROC is above the first, and none more than 0.02 below one before "
    "it. As in Table 1, verdicts compare the values whatever their intervals. These resample victims and suspects; where "
    "all draws agree they are Wilson's for as many trials as there are victims. With three models of a kind they say "
    "little. Of the methods, prediction agreement counts equal labels, AKH those of inputs that the victim gets wrong, "
    "IPGuard those near its decision boundary; FBI is the mutual information of the labels, as a share of what it could "
    "be; SAC compares how alike a model's outputs on different inputs are (w: inputs that the victim gets wrong, m: mixed "
    "ones), ModelDiff how far they go when inputs are moved by the victim's gradients; weight cosine reads the weights. "
    "`zest_jax.baselines` has the source of each.",
    settings={
        "smoke": Settings(
            zoo=race_zoo("smoke"), budgets=(16, 64), n_references=2, n_samples=32, references=(1, 2), steps=2, most=16
        ),
        "small": Settings(zoo=race_zoo("small")),
        "paper": Settings(zoo=race_zoo("paper"), steps=500, most=1000),
    },
    sizes=lambda settings: {
        "victims": f"{len(settings.zoo.victims)} x {settings.zoo.model}"
        + "".join(f", {name} {value}" for name, value in settings.zoo.options.items()),
        "other architectures": ", ".join(settings.zoo.others) or "none",
        "data of a victim": f"half of {settings.zoo.task.train:,} images of {len(settings.zoo.task.classes)} classes of "
        f"`{settings.zoo.task.data}` at most, {settings.zoo.task.scratch.epochs} epochs",
        "questions": "one draw; Zest about training images of the victim, peers about test images",
        "Zest": f"{settings.n_references} x {settings.n_samples} at most, repeated masks counted",
        "SAC-m": f"{MOST_MIXED:,} mixed images at most, or as many as there are test images",
        "IPGuard, ModelDiff": f"{settings.most:,} questions at most; {settings.steps} steps of IPGuard; the victim's gradients",
    },
    measure=measure,
    judge=judge,
    draw=draw,
    captions={
        "figure.png": "Above: all kinds of reuse, by number of questions; lines end where a method has no more inputs to ask "
        "about; the band is Zest's 95% interval. Below: by kind of reuse; a minus where a method cannot compare models."
    },
    tried="which models are missed matters more than how many questions are asked: copies that saw only the victim's answers, on "
    "other images, and transfers, whose distance to the source lies below that of models of their own task (Table 1) but not "
    "below that of models of the source's task, which one threshold for all pairs would need. Other splits of the questions were "
    "tried at every budget. Not tried: references from the test images, for which peers have them.",
    versions={method.name: method.version for method in Settings(zoo=race_zoo("small")).methods}
    | {"questions of SAC-m": MOST_MIXED},
    grows=("budgets",),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
