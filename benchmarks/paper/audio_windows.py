"""Into how many windows a sound is best cut: what the default of `audio_probes` rests on. Not in the paper, which names none.

    python -m benchmarks.paper.audio_windows --preset small

For each way to cut, on the same references and with the same number of masks: the models that `fig4_text_audio` trained are
signed as they were k = 5 epochs before the end and at the end. Related are the two of one seed, unrelated the last of two seeds.
What is wanted: a low relative distance (mean related / mean unrelated), a gap between the farthest related and the nearest
unrelated pair, fits that explain the answers (R2), and few questions.
Expected: see benchmarks/NOTES.md. Takes about five minutes on two cores once the trainings of fig4_text_audio are there;
trains them where they are not. Writes to benchmarks/results/audio_windows/<preset>.
"""

import dataclasses
import itertools
import math
import pathlib
from typing import Any, Literal

import numpy as np
import tyro

import zest_jax as zest
from benchmarks.paper.fig4_text_audio import PRESETS, RATE, trained
from benchmarks.record import RESULTS, command, environment, write
from zest_jax.cli.console import note
from zest_jax.data import load_dataset
from zest_jax.training import load_checkpoint
from zest_jax.training.checkpoints import epoch_folder

CUTS: tuple[tuple[str, dict[str, int]], ...] = (
    *(("windows", {"n_windows": n}) for n in (4, 8, 12, 16, 24, 32, 64)),
    ("stft", {"n_windows": 8, "n_bands": 4}),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is run, and where the trainings lie."""

    preset: Literal["smoke", "small", "paper"] = "small"
    """As in fig4_text_audio."""
    fills: tuple[Literal["silence", "noise", "mean"], ...] = ("silence",)
    """What masked windows become."""
    out: pathlib.Path = pathlib.Path("fig4")
    """Folder of the trainings."""
    k: int = 5
    """Epochs between two related models."""
    output: pathlib.Path | None = None
    """Folder of the result, by default benchmarks/results/audio_windows/<preset>."""


def main(options: Options) -> None:
    setting = PRESETS[options.preset]["audio"]
    data = load_dataset(setting.data, limit=setting.limit, rate=RATE)
    trained("audio", setting, options.out / options.preset / "audio", data)
    epochs = setting.recipe.epochs
    folder = (options.out / options.preset / "audio").absolute()
    boxes = [
        zest.from_checkpoint(load_checkpoint(epoch_folder(folder / f"seed-{seed}", epoch)), label=f"{seed} at {epoch}")
        for seed in setting.seeds
        for epoch in (epochs - options.k, epochs)
    ]
    rows = []
    for (segmenter, settings), fill in itertools.product(CUTS, options.fills):
        if 2 * math.prod(settings.values()) > setting.n_samples:
            note(f"{segmenter} {settings} left out: {setting.n_samples} masks are too few for it")
            continue
        probes = zest.audio_probes(
            data.inputs,
            setting.n_references,
            setting.n_samples,
            rate=RATE,
            segmenter=segmenter,
            segmenter_settings=settings,
            fill=fill,
        )
        signatures = zest.sign_many(boxes, probes, progress=True)
        rows.append({"segmenter": segmenter, **settings, "fill": fill, "queries": probes.n_queries, **seen(signatures)})
        print(rows[-1], flush=True)
    result = {
        "benchmark": "paper/audio_windows",
        "command": command("benchmarks.paper.audio_windows"),
        "environment": environment("flax"),
        "references": setting.n_references,
        "masks": setting.n_samples,
        "seeds": setting.seeds,
        "k": options.k,
        "cuts": rows,
    }
    output = options.output or RESULTS / "audio_windows" / options.preset
    write("audio_windows", result, output / "result.json")


def seen(signatures: list[zest.Signature]) -> dict[str, Any]:
    """How well related and unrelated pairs are told apart; earlier and last of each seed, in turn."""
    earlier, last = signatures[::2], signatures[1::2]
    related = [zest.distance(a, b) for a, b in zip(earlier, last, strict=True)]
    unrelated = [zest.distance(a, b) for a, b in itertools.combinations(last, 2)]
    return {
        "related": float(np.mean(related)),
        "unrelated": float(np.mean(unrelated)),
        "relative": float(np.mean(related) / np.mean(unrelated)),
        "farthest related": max(related),
        "nearest unrelated": min(unrelated),
        "r2": float(np.mean([signature.mean_r2() for signature in last])),
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
