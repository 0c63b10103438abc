"""What the race measures: scores of pairs of models by Zest, for every split of its questions, and by its peers."""

import dataclasses
import pathlib
import warnings
from typing import NamedTuple

import numpy as np

import zest_jax as zest
from benchmarks.paper.experiment import Line, Pieces
from benchmarks.paper.race_zoo import Case, RaceZoo
from benchmarks.paper.remembering import Remembering
from benchmarks.paper.reuse_zoo import build
from zest_jax.atomic import atomic_write
from zest_jax.baselines import AKH, FBI, IPGuard, Method, ModelDiff, PredictionAgreement, SACm, SACw, WeightCosine, Zest
from zest_jax.baselines.answers import FixedQuestions
from zest_jax.baselines.protocol import Prepared, UninformativeVictimError
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.cli.console import note
from zest_jax.data import Dataset
from zest_jax.models.convolutions import narrow_convolutions
from zest_jax.solving import SolveSettings, design, fit
from zest_jax.training import load_checkpoint

# Questions of SAC-m at most: images can be mixed without end, but it compares every question with every other.
MOST_MIXED = 10_000
BUDGETS = (16, 32, 64, 100, 256, 1_000, 10_000, 128_000)


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
    versions = {method.name: method.version for method in settings.methods}
    pieces.keep(lambda line: line.get("version", 1) == versions.get(line["what"], line.get("version", 1)))
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


class Boxes(NamedTuple):
    """A model as it is, for its gradients and weights, and one that is faster to ask, whose answers differ by rounding."""

    plain: BlackBox
    asked: BlackBox


def boxes_of(folder: pathlib.Path, model: str) -> Boxes:
    checkpoint = load_checkpoint(folder / model)
    plain = zest.from_checkpoint(checkpoint, label=model)
    narrow_convolutions(checkpoint.model)
    return Boxes(plain, zest.from_checkpoint(checkpoint, label=model))


class Asked(NamedTuple):
    """Answers to all probes [N, L, classes], and the classes' names."""

    scores: np.ndarray
    class_names: tuple[str, ...] | None


def answered(settings: Settings, pieces: Pieces, probes: zest.ProbeSet, model: str) -> Asked:
    """Ask a model what the splits need, or read its answers from a file where the same weights were asked before."""
    folder = settings.zoo.folder(pieces)
    box = boxes_of(folder, model).asked
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
    boxes: dict[str, Boxes] = {}

    def box(model: str, *, plain: bool = False) -> BlackBox:
        if model not in boxes:
            found = boxes_of(folder, model)
            boxes[model] = found._replace(asked=Remembering(found.asked))
        return boxes[model].plain if plain else boxes[model].asked

    # IPGuard's points do not depend on each other, and each costs all its steps: those of a smaller budget are the first.
    points: dict[str, FixedQuestions] = {}

    def prepared(method: Method, budget: int, victim: str) -> Prepared:
        if isinstance(method, IPGuard):
            if victim not in points:
                found = method.prepare(box(victim, plain=True), test, settings.most)
                assert isinstance(found, FixedQuestions)
                points[victim] = found
            return points[victim].first(budget)
        plain = "gradients" in method.access or "weights" in method.access
        return method.prepare(box(victim, plain=plain), test, budget)

    def scored(method: Method, budget: int, victim: str) -> Line:
        with warnings.catch_warnings():
            # That there are fewer inputs than the budget allows is told by `questions`.
            warnings.simplefilter("ignore", UserWarning)
            try:
                ready = prepared(method, budget, victim)
            except UninformativeVictimError as error:
                note(f"race: {error}")
                nothing = [None for case in zoo.cases() if case.victim == victim]
                return {"scores": nothing, "questions": 0, "refused": str(error)}
        found: list[float | None] = []
        for case in zoo.cases():
            if case.victim == victim:
                try:
                    found.append(ready.score(box(case.suspect, plain="weights" in method.access)))
                except ValueError:
                    # Of other classes, or of another architecture where weights are compared: nothing can be said.
                    if not case.kind.startswith(("transfer", "other classes", "other architecture")):
                        raise
                    found.append(None)
        return {"scores": found, "questions": ready.n_queries}

    for method in settings.methods:
        most = len(test)
        if isinstance(method, IPGuard | ModelDiff):
            most = settings.most
        elif isinstance(method, SACm):
            most = max(len(test), MOST_MIXED)
        for victim in dict.fromkeys(case.victim for case in zoo.cases()):
            # The largest first: it fills whole batches, and many questions of the others are known then.
            for budget in sorted({min(budget, most) for budget in settings.budgets}, reverse=True):
                if "weights" not in method.access or budget == most:
                    pieces.do(
                        lambda method=method, budget=budget, victim=victim: scored(method, budget, victim),
                        what=method.name,
                        victim=victim,
                        budget=budget,
                        **({"version": method.version} if method.version > 1 else {}),
                    )
