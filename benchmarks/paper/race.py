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
import warnings
from typing import Any, NamedTuple

import numpy as np
import tyro
from matplotlib.figure import Figure

import zest_jax as zest
from benchmarks.paper.detection import area, interval, rate
from benchmarks.paper.experiment import Experiment, Line, Options, Pieces, Preset, Verdict, run
from benchmarks.paper.race_zoo import Case, RaceZoo
from benchmarks.paper.remembering import Remembering
from benchmarks.paper.reuse_zoo import build
from benchmarks.paper.table1_modelreuse import tasks
from zest_jax.atomic import atomic_write
from zest_jax.baselines import AKH, FBI, IPGuard, Method, ModelDiff, PredictionAgreement, SACm, SACw, WeightCosine, Zest
from zest_jax.data import Dataset
from zest_jax.solving import SolveSettings, design, fit

BUDGETS = (16, 32, 64, 100, 256, 1_000, 10_000, 128_000)
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes.

    Attributes:
        zoo: the models.
        budgets: questions to a suspect.
        n_references, n_samples: of Zest's probes; smaller splits are parts of them.
        references: numbers of references that are tried.
        steps: of IPGuard.
        most: adversarial questions of IPGuard and ModelDiff at most: each costs its steps through the victim.
    """

    zoo: RaceZoo
    budgets: tuple[int, ...] = BUDGETS
    n_references: int = 128
    n_samples: int = 1000
    references: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    steps: int = 100
    most: int = 256

    @property
    def methods(self) -> tuple[Method, ...]:
        """The peers. ModelDiff's neighbours come from the victim: suspects can only be asked."""
        asking = PredictionAgreement(), AKH(), FBI(), SACw(), SACm()
        return *asking, IPGuard(steps=self.steps), ModelDiff(adversary="victim"), WeightCosine()

    def splits(self, budget: int) -> list[tuple[int, int]]:
        """References and masks per reference, N * L <= budget, that Zest's questions allow."""
        found = [(n, min(budget // n, self.n_samples)) for n in self.references if n <= self.n_references]
        # A split that leaves more than half of the budget is one of a smaller budget.
        most = min(budget, self.n_references * self.n_samples)
        return [(n, masks) for n, masks in found if masks >= 2 and 2 * n * masks > most]

    def blocks(self) -> list[tuple[int, int, int]]:
        """What a model is asked so that every split can be made: (first reference, the one after the last, masks)."""
        splits = [split for budget in self.budgets for split in self.splits(budget)]
        found: list[tuple[int, int, int]] = []
        start = 0
        for n in sorted({n for n, _ in splits}):
            masks = max(masks for size, masks in splits if size >= n)
            if found and found[-1][2] == masks:
                start = found.pop()[0]
            found.append((start, n, masks))
            start = n
        return found

    def usual(self, budget: int) -> tuple[int, int]:
        """The split that `zest_jax.baselines.Zest` chooses, of those measured the nearest."""
        n, _ = Zest(n_references=self.n_references, n_samples=self.n_samples).split(budget, self.n_references)
        return min(self.splits(budget), key=lambda split: abs(np.log(split[0] / n)))


def measure(settings: Settings, pieces: Pieces) -> None:
    zoo = settings.zoo
    folder = zoo.folder(pieces)
    build(pieces, zoo.zoo(folder), folder)
    probes = zest.image_probes(zoo.task.read("train").inputs, settings.n_references, settings.n_samples)
    peers(settings, pieces, zoo.task.read("test"))
    masks(settings, pieces, probes)


def masks(settings: Settings, pieces: Pieces, probes: zest.ProbeSet) -> None:
    """Zest: all models are asked once, and every split is a part of their answers."""
    cases = settings.zoo.cases()
    models = list(dict.fromkeys(model for case in cases for model in (case.victim, case.suspect)))
    wanted = [(budget, split) for budget in settings.budgets for split in settings.splits(budget)]
    there = {(line["budget"], tuple(line["split"])) for line in pieces.lines if line["what"] == "Zest"}
    if all((budget, split) in there for budget, split in wanted):
        return
    answers = {model: answered(settings, pieces, probes, model) for model in models}
    for budget, split in wanted:
        pieces.do(
            lambda split=split: {"scores": split_scores(probes, answers, cases, split)},
            what="Zest",
            budget=budget,
            split=split,
        )


class Asked(NamedTuple):
    """Answers to all probes [N, L, classes], and the classes' names."""

    scores: np.ndarray
    class_names: tuple[str, ...] | None


def answered(settings: Settings, pieces: Pieces, probes: zest.ProbeSet, model: str) -> Asked:
    """Ask a model what the splits need, or read its answers from a file where the same weights were asked before."""
    folder = settings.zoo.folder(pieces)
    box = zest.from_checkpoint(folder / model, label=model)
    parts = settings.blocks()
    name = "-".join(f"{stop}x{samples}" for _, stop, samples in parts)
    path = folder / "answers" / probes.hash[:16] / name / f"{box.settings['file_sha256']}.npy"
    if not path.exists():
        pieces.check_time()
        path.parent.mkdir(parents=True, exist_ok=True)
        answers = [zest.query(box, part_of(probes, *part), progress=True) for part in parts]
        found = np.full((probes.n_references, probes.n_samples, answers[0].shape[-1]), np.nan, np.float32)
        for (start, stop, samples), outputs in zip(parts, answers, strict=True):
            found[start:stop, :samples] = outputs
        with atomic_write(path) as file:
            np.save(file, found)
    return Asked(np.load(path), box.class_names)


def part_of(probes: zest.ProbeSet, start: int, stop: int, samples: int) -> zest.ProbeSet:
    """Some of the references, with the first of their masks."""
    rows = slice(start, stop)
    return dataclasses.replace(
        probes,
        references=probes.references[rows],
        segments=probes.segments[rows],
        n_segments=probes.n_segments[rows],
        packed_masks=probes.packed_masks[rows, :samples],
    )


def split_scores(
    probes: zest.ProbeSet, answers: dict[str, Asked], cases: list[Case], split: tuple[int, int]
) -> list[float]:
    """Minus the aligned cosine distance of each pair, from the first masks of the first references."""
    n, samples = split
    how = SolveSettings(underdetermined="minimum-norm")
    few = probes.masks[:n, :samples]
    ready = design(few, np.ones(few.shape[:2], np.float32), probes.n_segments[:n], how)
    signed = {}
    for model, outputs in answers.items():
        fits = fit(ready, outputs.scores[:n, :samples], how)
        signed[model] = zest.Signature(
            weights=np.concatenate([w[:k] for w, k in zip(fits.weights, probes.n_segments[:n], strict=True)]),
            segment_counts=probes.n_segments[:n],
            r2=fits.r2,
            variance=fits.variance,
            probe_hash=probes.hash,
            label=model,
            class_names=outputs.class_names,
        )
    return [-zest.distance(signed[case.victim], signed[case.suspect]) for case in cases]


def peers(settings: Settings, pieces: Pieces, test: Dataset) -> None:
    """The other methods, victim by victim; what a model was asked before it is not asked again."""
    zoo = settings.zoo
    folder = zoo.folder(pieces)
    boxes: dict[str, Any] = {}
    remembering: dict[str, Remembering] = {}

    def box(model: str) -> Any:
        if model not in boxes:
            boxes[model] = zest.from_checkpoint(folder / model, label=model)
            remembering[model] = Remembering(boxes[model])
        return boxes[model]

    def scored(method: Method, budget: int, victim: str) -> Line:
        bare = "gradients" in method.access or "weights" in method.access
        with warnings.catch_warnings():
            # That there are fewer inputs than the budget allows is told by `questions`.
            warnings.simplefilter("ignore", UserWarning)
            box(victim)
            ready = method.prepare(boxes[victim] if bare else remembering[victim], test, budget)
        found: list[float | None] = []
        for case in zoo.cases():
            if case.victim == victim:
                box(case.suspect)
                weights = "weights" in method.access
                try:
                    found.append(ready.score(boxes[case.suspect] if weights else remembering[case.suspect]))
                except ValueError:
                    # Of other classes, or of another architecture where weights are compared: nothing can be said.
                    if not case.kind.startswith(("transfer", "other classes", "other architecture")):
                        raise
                    found.append(None)
        return {"scores": found, "questions": ready.n_queries}

    for method in settings.methods:
        most = settings.most if isinstance(method, IPGuard | ModelDiff) else len(test)
        for victim in dict.fromkeys(case.victim for case in zoo.cases()):
            for budget in sorted({min(budget, most) for budget in settings.budgets}):
                if "weights" not in method.access or budget == most:
                    pieces.do(
                        lambda method=method, budget=budget, victim=victim: scored(method, budget, victim),
                        what=method.name,
                        victim=victim,
                        budget=budget,
                    )


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
