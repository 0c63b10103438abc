"""Draw the picture of docs/method.md: one reference, its super-pixels, questions, and what three models make of them.

    python scripts/method_figure.py            writes docs/images/method.png

Images, segments, masks and models are those of tests/golden: CIFAR-10 classifiers, one a later checkpoint of another, one trained
from another seed.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import zest_jax as zest
from zest_jax.report import element_weights
from zest_jax.report.photographs import outlined

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
MODELS = {"victim": "the victim", "victim_epoch3": "the same, an epoch earlier", "unrelated": "another seed"}
QUESTIONS = (1, 2, 3)


def main() -> None:
    probes, signatures = signed()
    path = ROOT / "docs" / "images" / "method.png"
    figure(probes, signatures).savefig(path, dpi=150)
    print(f"written to {path.relative_to(ROOT)}")


def signed() -> tuple[zest.ProbeSet, list[zest.Signature]]:
    """The golden probe set and what the golden models are around it."""
    with np.load(GOLDEN / "probes.npz") as data:
        shape = data["masks_shape"]
        masks = np.unpackbits(data["masks"])[: np.prod(shape)].reshape(shape)
        images, segments, mean, std = data["images"], data["segments"], data["mean"], data["std"]
    probes = zest.ProbeSet.from_arrays(references=images, segments=segments, masks=masks, fill=mean)
    models = [
        zest.from_onnx(GOLDEN / "models" / f"{name}.onnx", mean=mean, std=std, label=title)
        for name, title in MODELS.items()
    ]
    return probes, zest.sign_many(models, probes)


def figure(probes: zest.ProbeSet, signatures: list[zest.Signature]) -> Figure:
    """Phases 1 to 3 around one reference, and the distances of phase 4."""
    reference, chosen = shown(signatures)
    image = probes.references[reference] / 255
    segments = probes.segments[reference]
    drawn = Figure(figsize=(9.6, 4.7), layout="constrained")
    panels = drawn.subplots(2, 4)
    panels[0, 0].imshow(outlined(image, segments))
    panels[0, 0].set_title(f"a reference, {segments.max() + 1} super-pixels", fontsize=9)
    asked = zest.compose(probes, reference, np.array(QUESTIONS))
    for panel, question, number in zip(panels[0, 1:], asked, QUESTIONS):
        panel.imshow(question)
        panel.set_title(f"question {number + 1} of {probes.n_samples}", fontsize=9)
    weights = [element_weights(each, reference, chosen, segments) for each in signatures]
    for panel, each, values in zip(panels[1], signatures, weights):
        # Each in its own scale, since the cosine distance knows no lengths.
        limit = np.abs(values).max()
        panel.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit)
        panel.set_title(each.label, fontsize=9)
    _bars(panels[1, 3], signatures)
    for panel in panels.flat[:-1]:
        panel.set_xticks([])
        panel.set_yticks([])
    panels[1, 0].set_ylabel(f"weights of class {chosen}", fontsize=9)
    return drawn


def shown(signatures: list[zest.Signature]) -> tuple[int, int]:
    """The reference with most super-pixels, and the class that the victim's linear model gives it."""
    reference = int(np.argmax(signatures[0].segment_counts))
    return reference, int(np.argmax(signatures[0].of_reference(reference).sum(axis=0)))


def _bars(panel: Axes, signatures: list[zest.Signature]) -> None:
    """Distances to the victim over all references and classes."""
    names = [each.label.replace(", ", ",\n") for each in signatures[1:]]
    values = [zest.distance(signatures[0], each) for each in signatures[1:]]
    bars = panel.bar(names, values, color=["#0072B2", "#D55E00"], width=0.6)
    panel.bar_label(bars, fmt="%.3f", fontsize=9)
    panel.set_ylim(0, 1.2 * max(values))
    panel.set_title("distance to the victim", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
