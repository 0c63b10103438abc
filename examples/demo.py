"""Tell copies of a classifier from independent ones, by their answers alone.

    python examples/demo.py             ImageNet classifiers on photographs, about five minutes on two cores
    python examples/demo.py --quick     small CIFAR-10 classifiers, under two minutes

The table goes to stdout, progress to stderr, and `demo_output/` gets the picture, the numbers, the probes and the
signatures. Interrupted, it goes on where it was when started again. Exit status 1: a copy was not nearer to the victim
than every independent model. 2: wrong use, or something is not installed.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from contest import Contest, Contestant
from rich import box
from rich.console import Console
from rich.table import Table

import zest_jax as zest
from zest_jax.errors import FileFormatError, MissingExtraError
from zest_jax.report import signature_figure

RESULT = "demo.json"
PICTURE = "demo.png"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A contestant, what it is to the victim, and what it took to find out.

    Attributes:
        answers: its top class on each unperturbed reference, and its share of the softmax.
        seconds: for making the model, and for signing it (0 when an interrupted run had done it).
    """

    contestant: Contestant
    signature: zest.Signature
    answers: list[tuple[str, float]]
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A line of the table."""

    signed: Signed
    distance: float
    verdict: zest.Verdict


def main() -> int:
    arguments = _arguments()
    try:
        contest = _contest(arguments)
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return 2
    log = Console(stderr=True, highlight=False)
    start = time.monotonic()
    log.print(f"{contest.title}: {contest.probes.n_queries:,} questions to each of {len(contest.contestants)} models")
    signed = [
        sign(contestant, contest, arguments.out, log, f"model {i} of {len(contest.contestants)}")
        for i, contestant in enumerate(contest.contestants, 1)
    ]
    victim, others = signed[0], signed[1:]
    signatures = {s.contestant.label: s.signature for s in signed}
    unrelated = {pair: zest.distance(signatures[pair[0]], signatures[pair[1]]) for pair in contest.unrelated}
    judged = [judge(victim, other, unrelated) for other in others]
    seconds = time.monotonic() - start

    draw(contest, signed, judged, arguments.out / PICTURE)
    show(contest, victim, judged, unrelated, seconds)
    right = copies_are_nearer(judged)
    # Last, because a run without it counts as interrupted.
    write(contest, signed, judged, unrelated, seconds, right, arguments.out / RESULT)
    print(f"Picture: {arguments.out / PICTURE}\nNumbers: {arguments.out / RESULT}")
    return 0 if right else 1


def sign(contestant: Contestant, contest: Contest, out: Path, log: Console, which: str) -> Signed:
    """Make and sign one model, unless an interrupted run has signed it."""
    path = out / f"{contestant.slug}.sig"
    log.print(f"{which}: {contestant.label} ({contestant.how})")
    start = time.monotonic()
    model = contestant.make()
    made = time.monotonic()
    signature = _finished(path, contest.probes)
    if signature is None:
        checkpoint = out / f"{contestant.slug}.partial"
        signature = zest.sign(model, contest.probes, progress=True, checkpoint=checkpoint)
        signature.save(path)
        checkpoint.unlink(missing_ok=True)
    seconds = {"make": round(made - start, 2), "sign": round(time.monotonic() - made, 2)}
    return Signed(contestant=contestant, signature=signature, answers=_answers(model, contest.probes), seconds=seconds)


def judge(victim: Signed, other: Signed, unrelated: dict[tuple[str, str], float]) -> Judged:
    """Compare a model with the victim, and the distance with those of unrelated pairs other than this one."""
    distance = zest.distance(victim.signature, other.signature)
    pair = {victim.contestant.label, other.contestant.label}
    calibration = [d for labels, d in unrelated.items() if set(labels) != pair]
    return Judged(signed=other, distance=distance, verdict=zest.verdict(distance, calibration))


def copies_are_nearer(judged: list[Judged]) -> bool:
    """Whether every copy is nearer to the victim than every independent model."""
    of_kind = {
        kind: [j.distance for j in judged if j.signed.contestant.kind == kind] for kind in ("copy", "independent")
    }
    return max(of_kind["copy"]) < min(of_kind["independent"])


def show(
    contest: Contest, victim: Signed, judged: list[Judged], unrelated: dict[tuple[str, str], float], seconds: float
) -> None:
    """Print what the victim sees, and how far the others are from it."""
    name = victim.contestant.label
    console = Console(highlight=False)
    if len(contest.image_names) <= 8:
        seen = "; ".join(
            f"{image}: {answer} {share:.0%}"
            for image, (answer, share) in zip(contest.image_names, victim.answers, strict=True)
        )
        console.print(f"\nWhat {name} sees: {seen}")
    table = Table(
        title=f"\nDistance to {name}: {contest.title}",
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("model", "what it is", "verdict"):
        table.add_column(heading, no_wrap=True)
    for heading in ("same\ntop-1", "distance", "relative"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=9)
    table.columns.append(table.columns.pop(2))
    for line in judged:
        same = sum(a[0] == b[0] for a, b in zip(line.signed.answers, victim.answers, strict=True))
        style, words = _in_words(line.verdict)
        table.add_row(
            line.signed.contestant.label,
            line.signed.contestant.kind,
            f"{same}/{len(victim.answers)}",
            f"{line.distance:.4f}",
            f"{line.verdict.relative:.3f}",
            words,
            style=style,
        )
    console.print(table)
    pairs = ", ".join(f"{a} - {b} {d:.3f}" for (a, b), d in unrelated.items())
    console.print(
        f"Relative: to the mean distance of the unrelated pairs other than the one judged ({pairs}). {contest.note}\n"
        "Verdict: against the relative distance that few unrelated pairs stay below (in brackets).\n"
        f"Same top-1: on how many of the {len(victim.answers)} unperturbed images both give the same class.\n"
        f"{len(judged) + 1} models, {contest.probes.n_queries:,} questions each, {seconds:.0f} s."
    )


def draw(contest: Contest, signed: list[Signed], judged: list[Judged], path: Path) -> None:
    """Write the picture: one reference, and every model's weights for the class that the victim sees in it."""
    probes, i = contest.probes, contest.drawn
    signature_figure(
        [s.signature for s in signed],
        content=probes.references[i],
        segments=probes.segments[i],
        reference=i,
        distances=[None, *(line.distance for line in judged)],
        path=path,
    )


def write(
    contest: Contest,
    signed: list[Signed],
    judged: list[Judged],
    unrelated: dict[tuple[str, str], float],
    seconds: float,
    right: bool,
    path: Path,
) -> None:
    """Write all numbers as JSON."""
    lines = {line.signed.contestant.label: line for line in judged}
    probes = contest.probes
    result: dict[str, Any] = {
        "title": contest.title,
        "copies_nearer_than_independents": right,
        "models": [
            {
                "label": s.contestant.label,
                "kind": s.contestant.kind,
                "how": s.contestant.how,
                **_judgement(lines.get(s.contestant.label)),
                "r2": round(s.signature.mean_r2(), 4),
                "answers": [
                    {"image": image, "class": answer, "share": round(share, 4)}
                    for image, (answer, share) in zip(contest.image_names, s.answers, strict=True)
                ],
                "seconds": s.seconds,
            }
            for s in signed
        ],
        "unrelated_pairs": [{"models": pair, "distance": round(d, 6)} for pair, d in unrelated.items()],
        "probes": {
            "hash": probes.hash,
            "references": probes.n_references,
            "segments": probes.n_segments.tolist(),
            "samples": probes.n_samples,
            "queries_per_model": probes.n_queries,
            **probes.settings,
        },
        "settings": {"metric": "cosine", **contest.settings},
        "seconds": round(seconds, 1),
        "device": {
            "jax": f"{jax.default_backend()}: {jax.devices()[0].device_kind}",
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "versions": {
            "zest_jax": zest.__version__,
            "python": platform.python_version(),
            "jax": jax.__version__,
            "numpy": np.__version__,
            **contest.versions,
        },
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _judgement(line: Judged | None) -> dict[str, Any]:
    if line is None:
        return {}
    bound = line.verdict.bound
    return {
        "distance": round(line.distance, 6),
        "relative": round(line.verdict.relative, 4),
        "bound": None if np.isnan(bound) else round(bound, 4),
        "related": line.verdict.related,
        "verdict": line.verdict.text,
    }


def _in_words(verdict: zest.Verdict) -> tuple[str | None, str]:
    """Colour and a few words; `verdict.text` says it at length."""
    if verdict.related is None:
        return None, "can't tell"
    if verdict.related:
        return "red", f"related (< {verdict.bound:.2f})"
    return "green", f"no sign (> {verdict.bound:.2f})"


def _answers(model: zest.BlackBox, probes: zest.ProbeSet) -> list[tuple[str, float]]:
    logits = model(probes.references.astype(np.float32) / 255)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    top = shares.argmax(axis=1)
    names = model.class_names or range(shares.shape[1])
    return [(str(names[k]), float(row[k])) for k, row in zip(top, shares, strict=True)]


def _finished(path: Path, probes: zest.ProbeSet) -> zest.Signature | None:
    """The signature that an interrupted run left, when it is of the same probes."""
    try:
        signature = zest.Signature.load(path)
    except (FileNotFoundError, FileFormatError):
        return None
    return signature if signature.probe_hash == probes.hash else None


def _contest(arguments: argparse.Namespace) -> Contest:
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if (out / RESULT).exists():
        # The last run was finished: nothing of it is used again.
        for path in [out / RESULT, *out.glob("*.sig"), *out.glob("*.partial"), *out.glob("*.onnx")]:
            path.unlink()
    if arguments.quick:
        from golden_models import contest
    else:
        from imagenet_models import contest
    made = contest(out, arguments.photos, arguments.samples)
    made.probes.save(out / "probes.npz")
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the small form: CIFAR-10 classifiers in ONNX")
    parser.add_argument("--out", type=Path, help="folder for what is written (demo_output; quick: demo_output/quick)")
    parser.add_argument("--photos", type=int, help="how many references to ask about (5; quick: 16)")
    parser.add_argument("--samples", type=int, help="masks per reference (256; quick: 512)")
    arguments = parser.parse_args()
    if arguments.out is None:
        arguments.out = Path("demo_output", "quick") if arguments.quick else Path("demo_output")
    arguments.photos = arguments.photos if arguments.photos is not None else (16 if arguments.quick else 5)
    arguments.samples = arguments.samples if arguments.samples is not None else (512 if arguments.quick else 256)
    most = 16 if arguments.quick else 7
    if not 1 <= arguments.photos <= most:
        parser.error(f"--photos is {arguments.photos}; there are 1 to {most}")
    if arguments.samples < 100:
        parser.error(f"--samples is {arguments.samples}; give at least 100, so that they determine the weights")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
