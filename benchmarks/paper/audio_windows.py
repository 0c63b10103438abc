"""Into how many windows a sound is best cut: what the default of `audio_probes` rests on. Not in the paper, which names none.

    python -m benchmarks.paper.audio_windows --preset small

For each way to cut, on the same references and with the same number of masks: the models that `fig4_text_audio` trained are
signed as they were k = 5 epochs before the end and at the end. Related are the two of one seed, unrelated the last of two seeds.
What is wanted: a low relative distance (mean related / mean unrelated), a gap between the farthest related and the nearest
unrelated pair, fits that explain the answers (R2), and few questions.
Expected: see benchmarks/NOTES.md. Takes about two minutes on two cores once the trainings of fig4_text_audio are there;
trains them where they are not. Writes to benchmarks/results/audio_windows/<preset>.
"""

import itertools
import math
from typing import Any

import numpy as np
import tyro

import zest_jax as zest
from benchmarks.paper.experiment import Options, Pieces, as_json
from benchmarks.paper.fig4_text_audio import RATE, SETTINGS
from benchmarks.record import command, environment, write
from zest_jax.cli.console import note
from zest_jax.training import load_checkpoint

CUTS: tuple[tuple[str, dict[str, int]], ...] = (
    *(("windows", {"n_windows": n}) for n in (4, 8, 12, 16, 24, 32, 64)),
    ("stft", {"n_windows": 8, "n_bands": 4}),
)


def main(options: Options) -> None:
    settings = SETTINGS[options.preset]
    domain, training = settings.audio, settings.audio.training
    folder = options.results / "audio_windows" / options.preset
    pieces = Pieces(folder, options.models / options.preset, options.preset, {"settings": as_json(settings)})
    data = training.read()
    training.train(pieces, data)
    boxes = [
        zest.from_checkpoint(load_checkpoint(training.checkpoint(pieces, seed, epoch)), label=f"{seed} at {epoch}")
        for seed in training.seeds
        for epoch in (training.epochs - settings.k, training.epochs)
    ]

    def measured(segmenter: str, cut: dict[str, int]) -> dict[str, Any]:
        probes = zest.audio_probes(
            data.inputs,
            domain.n_references,
            domain.n_samples,
            rate=RATE,
            segmenter=segmenter,
            segmenter_settings=cut,
        )
        return {"queries": probes.n_queries, **seen(zest.sign_many(boxes, probes, progress=True))}

    for segmenter, cut in CUTS:
        if 2 * math.prod(cut.values()) > domain.n_samples:
            note(f"{segmenter} {cut} left out: {domain.n_samples} masks are too few for it")
            continue
        print(pieces.do(lambda segmenter=segmenter, cut=cut: measured(segmenter, cut), segmenter=segmenter, **cut))
    result = {
        "benchmark": "paper/audio_windows",
        "command": command("benchmarks.paper.audio_windows"),
        "environment": environment("flax"),
        "references": domain.n_references,
        "masks": domain.n_samples,
        "seeds": training.seeds,
        "k": settings.k,
        "cuts": [line for line in pieces.lines if "segmenter" in line],
    }
    write("audio_windows", result, folder / "result.json")


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
