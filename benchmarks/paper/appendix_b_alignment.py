"""Appendix B: class alignment undoes a permutation of the labels, and matches models with different numbers of classes.

    python -m benchmarks.paper.appendix_b_alignment --preset small

Claim: (1) the classes of two CIFAR-10 models, of which one was trained with randomly swapped labels, are always matched rightly;
(2) models with 1,000 and 102 or 120 classes are matched to the classes that they share.
Models: those of Figure 2. (1) The labels of the last model of one seed are permuted, and it is aligned with itself, with itself
at half of its training, and with the last models of the other seeds; several permutations. (2) The last model is transferred to
some of its classes, with a new head, and aligned with the model it comes from.
Expected: every class of a permuted model is matched rightly by the greedy alignment; after a transfer most are, since the paper
expects pairs there that are not related semantically.
Hardware and time: `small` half a minute on two cores, after the trainings of Figure 2; `paper` a GPU.
"""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

import zest_jax as zest
from benchmarks.paper.experiment import Experiment, Line, Pieces, Verdict, main
from benchmarks.paper.models import Training, base, signatures
from benchmarks.paper.plots import RELATED, UNRELATED
from zest_jax.data import Dataset, known_dataset
from zest_jax.data.subsets import of_classes
from zest_jax.reuse import transfer
from zest_jax.training import Recipe, load_checkpoint, recipe

METHODS = ("greedy", "rowwise", "optimal")
_CLASSES = known_dataset("cifar10").num_classes
# What a permuted model is aligned with, or how it differs, as pages call it.
LABELS = {
    "itself": "with itself permuted, which checks the method alone",
    "half trained": "with itself permuted and half trained",
    "another seed": "with another seed's, permuted: nearest to the paper's setting",
    "fewer classes": "after a transfer to some of the classes",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes.

    Attributes:
        training: of the models.
        permutations: of the labels, of each seed's model.
        classes: that a model is transferred to.
        recipe: of the transfer.
        n_references, n_samples: of the probes.
    """

    training: Training
    permutations: int = 5
    classes: tuple[int, ...] = (2, 3, 4, 5, 6)
    recipe: Recipe = dataclasses.field(default_factory=lambda: recipe("fine-tune"))
    n_references: int = 128
    n_samples: int = 1000


def measure(settings: Settings, pieces: Pieces) -> None:
    training = settings.training
    data = training.read()
    training.train(pieces, data)
    probes = zest.image_probes(data.inputs, settings.n_references, settings.n_samples)
    for seed in training.seeds:
        pieces.do(lambda seed=seed: permuted(settings, pieces, probes, seed), what="permuted", seed=seed)
    for seed in training.seeds:
        pieces.do(lambda seed=seed: transferred(settings, pieces, probes, data, seed), what="transferred", seed=seed)


def permuted(settings: Settings, pieces: Pieces, probes: zest.ProbeSet, seed: int) -> Line:
    """Share of classes that are matched rightly, by what the permuted model is aligned with, and by method."""
    training = settings.training
    models = {(other, training.epochs): "another seed" for other in training.seeds}
    models |= {(seed, training.epochs // 2): "half trained", (seed, training.epochs): "itself"}
    made = training.signatures(pieces, probes, list(models))
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(settings.permutations):
        order = rng.permutation(made[seed, training.epochs].n_classes)
        # Permuted outputs give a signature with permuted columns.
        thief = made[seed, training.epochs].select_classes(order)
        for model, what in models.items():
            for method in METHODS:
                alignment = zest.align(made[model], thief, method=method)
                right = order[alignment.b_classes] == alignment.a_classes
                found.setdefault(what, {}).setdefault(method, []).append(float(right.mean()))
    return {"right": found}


def transferred(settings: Settings, pieces: Pieces, probes: zest.ProbeSet, data: Dataset, seed: int) -> Line:
    """Share of the classes of a transferred model that are matched with themselves."""
    training = settings.training
    fewer = of_classes(data, settings.classes, relabel=True)
    victim = load_checkpoint(training.checkpoint(pieces, seed, training.epochs))
    folder = pieces.home(f"{training.name}-transferred", settings) / f"of-seed-{seed}"
    transfer(victim, fewer, settings.recipe, seed=seed, folder=folder, progress=True)
    a, b = signatures(pieces, probes, [training.checkpoint(pieces, seed, training.epochs), folder])
    assert a.class_names is not None
    assert b.class_names is not None
    found = {}
    for method in METHODS:
        alignment = zest.align(a, b, method=method)
        pairs = zip(alignment.a_classes, alignment.b_classes, strict=True)
        found[method] = float(np.mean([a.class_names[i] == b.class_names[j] for i, j in pairs]))
    return {"right": found}


def shares(lines: list[Line]) -> dict[str, dict[str, np.ndarray]]:
    """By what is aligned and by method: the share of right matches, over seeds and permutations."""
    found: dict[str, dict[str, np.ndarray]] = {}
    of_permuted = [line["right"] for line in lines if line["what"] == "permuted"]
    for what in ("itself", "half trained", "another seed"):
        found[what] = {method: np.concatenate([line[what][method] for line in of_permuted]) for method in METHODS}
    of_transferred = [line["right"] for line in lines if line["what"] == "transferred"]
    found["fewer classes"] = {method: np.array([line[method] for line in of_transferred]) for method in METHODS}
    return found


def judge(settings: Settings, lines: list[Line]) -> dict[str, Verdict]:
    found = {}
    for what, by_method in shares(lines).items():
        means = {method: float(values.mean()) for method, values in by_method.items()}
        moved = what == "fewer classes"
        found[f"classes matched rightly ({LABELS[what]})"] = Verdict(
            holds=means["greedy"] > 0.5 if moved else means["greedy"] == 1,
            text=", ".join(
                f"{method} {values.mean():.1%} (+-{values.std():.1%})" for method, values in by_method.items()
            )
            + f"; by chance {1 / _CLASSES:.0%}",
            numbers=means,
        )
    return found


def draw(settings: Settings, lines: list[Line]) -> dict[str, Figure]:
    figure = Figure(figsize=(7, 3.6), dpi=130, layout="constrained")
    panel = figure.subplots()
    found = shares(lines)
    for i, (method, color) in enumerate(zip(METHODS, (RELATED, "#56B4E9", UNRELATED), strict=True)):
        means = [100 * by_method[method].mean() for by_method in found.values()]
        spreads = [100 * by_method[method].std() for by_method in found.values()]
        panel.bar(np.arange(len(found)) + 0.27 * (i - 1), means, 0.25, yerr=spreads, color=color, label=method)
    panel.axhline(100 / _CLASSES, color="black", linestyle=":", linewidth=1, label="chance")
    panel.set_xticks(range(len(found)), found)
    panel.set_ylabel("classes matched rightly, %")
    figure.legend(loc="outside right center", fontsize=9)
    return {"figure.png": figure}


EXPERIMENT = Experiment(
    name="appendix_b_alignment",
    title="Appendix B: class alignment",
    claim="Alignment undoes a permutation of the labels, and matches what classes models share that have different numbers.",
    paper="always right for permuted labels; 1,000 classes matched with 102 and 120, some pairs of which are not related",
    criterion="greedy alignment, the paper's, matches every class of a permuted model with itself, and most of the classes of a "
    'transferred one. "+-" is over seeds and permutations.',
    settings={
        "smoke": Settings(
            training=base("smoke"),
            permutations=2,
            recipe=dataclasses.replace(recipe("fine-tune"), batch_size=16),
            n_references=2,
            n_samples=60,
        ),
        "small": Settings(
            training=base("small"), recipe=recipe("fine-tune").lasting(5), n_references=16, n_samples=200
        ),
        "paper": Settings(training=base("paper")),
    },
    sizes=lambda settings: (
        settings.training.sizes()
        | {
            "permutations": f"{settings.permutations} of each seed's labels",
            "classes of the transfer": f"{len(settings.classes)}, {settings.recipe.epochs} epochs",
            "references x masks": f"{settings.n_references} x {settings.n_samples}",
        }
    ),
    measure=measure,
    judge=judge,
    draw=draw,
    captions={
        "figure.png": "Mean share of the classes that are matched rightly, and its standard deviation over seeds and "
        "permutations."
    },
    tried="after the transfer the head is new and has learnt from few steps, and its classes share little with those of the old "
    "one but the features. All three ways of matching find the same share, four times that of chance.",
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
