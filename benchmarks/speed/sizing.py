"""What stores of up to a million models need, computed from measured figures: writes docs/sizing.md.

    python -m benchmarks.speed.sizing

Reads the results of `benchmarks/speed/screen.py` (storage, additions, searches, all pairs), `benchmarks/speed/sign.py` (signing a
ResNet20 through ONNX) and, where it is there, `benchmarks/speed/sign_all.py` (what Ray adds). Nothing in the page is typed by
hand; what is larger than what was measured is extrapolated: storage, additions, reading and signing linearly, all pairs
quadratically.
"""

import json
import math
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, ROOT
from zest_jax.atomic import atomic_write

PAGE = ROOT / "docs" / "sizing.md"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
DAY = 24 * 3600
# Seconds that somebody who screens one suspect is meant to wait.
PATIENCE = 10
ALPHA = 0.05
_HEAD = """# Sizing: what a million models need

Computed by `python -m benchmarks.speed.sizing` from `benchmarks/results/speed/screen` and `.../speed/sign`, measured on
{cores} cores ({processor}); a machine below is one like that. Signatures are of {references} references and {classes} classes
({weights:,} weights per class, {bytes:,} bytes); with more classes or segments all but the verdict grows in proportion. Beyond
the sizes in the second table the figures are extrapolated.
"""
_NOTES = """
How to read it:

* Signing is what costs: the models' own answers. It is done once for each model; [many machines](cluster.md) share it.
* A search reads all sketches and then the same 200 signatures whatever the store's size, so its memory hardly grows.
* A store can be split into several, by owner or data set for instance; each is searched by itself, and the nearest of all
  answers are the nearest of the whole.
* A verdict among a million models needs more unrelated models than most have. A filter chosen before looking (same task, same
  owner) lowers the number of models compared, and with it what is needed.
* All pairs of a million models are no aim: search for the nearest of each, as many searches as there are models.
"""


def main() -> None:
    with atomic_write(PAGE) as file:
        file.write(page().encode())
    print(f"written to {PAGE.relative_to(ROOT)}")


def page() -> str:
    """The page, from the results files."""
    screening, signing = read("speed/screen"), read("speed/sign")
    measured = screening["growth"]
    sizes = np.array([each["models"] for each in measured], float)
    seconds = np.array([each["seconds in a process, median"] for each in measured])
    slope, start = np.polyfit(sizes, seconds, 1)
    start = max(start, 0.0)
    signature = screening["signature"]
    stored = screening["store bytes"] / screening["options"]["models"]
    additions = next(value for name, value in screening["additions"].items() if name.startswith("per second, 256"))
    pairs = screening["all pairs"]["models"] * (screening["all pairs"]["models"] - 1) / 2
    per_pair = screening["all pairs"]["seconds"] / pairs
    onnx = signing["models"]["onnx"]["median_seconds"]["sign"]
    sketch = signature["classes"] * (2 * 128 + 4)
    rows: list[tuple[str, list[str]]] = [
        ("signatures on disk", [size_of(stored * n) for n in SIZES]),
        ("of which a search reads", [size_of(sketch * n) for n in SIZES]),
        (f"signing them all, machines for a month at {onnx:.0f} s each", [machines(onnx * n, 30 * DAY) for n in SIZES]),
        ("adding the signatures, one writer", [duration(n / additions) for n in SIZES]),
        ("one search on one machine", [duration(start + slope * n) for n in SIZES]),
        (
            f"machines, each with a part of the store, for an answer in {PATIENCE} s",
            [machines(slope * n, PATIENCE - start) for n in SIZES],
        ),
        ("searches a day, one machine", [f"{math.floor(DAY / (start + slope * n)):,}" for n in SIZES]),
        ("all pairs, one machine", [duration(per_pair * n * (n - 1) / 2) for n in SIZES]),
        ("all pairs in a day, machines", [machines(per_pair * n * (n - 1) / 2, DAY) for n in SIZES]),
        ("unrelated pairs for a verdict", [f"{math.ceil(n / ALPHA) - 1:,}" for n in SIZES]),
        ("unrelated models for that", [f"{unrelated_models(n):,}" for n in SIZES]),
    ]
    environment = screening["environment"]
    head = _HEAD.format(
        cores=environment["processors"],
        processor=environment["processor"],
        references=signature["references"],
        classes=signature["classes"],
        weights=signature["weights per class"],
        bytes=signature["bytes"],
    )
    searches = [
        ("seconds within a process", [f"{s:.2f}" for s in seconds]),
        ("seconds of `zest screen`", [f"{each['seconds through the command line']:.2f}" for each in measured]),
        ("memory of `zest screen`, MiB", [f"{each['memory through the command line, MiB']:,.0f}" for each in measured]),
    ]
    return "\n".join(
        [
            head,
            table(["models", *(f"{n:,}" for n in SIZES)], rows),
            "\nWhat was measured of searches:\n",
            table(["models", *(f"{each['models']:,}" for each in measured)], searches),
            _NOTES + _ray(),
        ]
    )


def _ray() -> str:
    path = RESULTS / "speed" / "sign_all" / "cpu.json"
    if not path.exists():
        return ""
    ratios = json.loads(path.read_text(encoding="utf-8"))["ratios"]
    loop, started, processes = (ratios[name] for name in ("ray / loop", "ray / loop, with start-up", "ray / processes"))
    return (
        f"* Ray on two local nodes takes {loop:.2f} times as long as a plain loop over the same models, {started:.2f} with its\n"
        f"  start, and {processes:.2f} times as long as two plain processes side by side (`benchmarks/results/speed/sign_all`).\n"
    )


def read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name / "cpu.json").read_text(encoding="utf-8"))


def table(head: list[str], rows: list[tuple[str, list[str]]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(values)} |" for name, values in rows)])


def size_of(count: float) -> str:
    """A number of bytes.

    >>> size_of(2_600_000_000), size_of(92e3)
    ('2.6 GB', '92 KB')
    """
    units = ["B", "KB", "MB", "GB", "TB"]
    power = min(int(math.log(max(count, 1), 1000)), len(units) - 1)
    return (
        f"{count / 1000**power:.2g} {units[power]}"
        if count / 1000**power < 10
        else f"{count / 1000**power:.0f} {units[power]}"
    )


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well.

    >>> duration(0.4), duration(90), duration(400000)
    ('0.4 s', '1.5 min', '4.6 days')
    """
    for unit, length in (("days", DAY), ("h", 3600), ("min", 60)):
        if seconds >= length:
            value = seconds / length
            return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{seconds:.2g} s"


def machines(seconds: float, available: float) -> str:
    """How many machines do work of so many seconds in the seconds that there are."""
    return f"{max(1, math.ceil(seconds / available)):,}"


def unrelated_models(compared: int) -> int:
    """How many unrelated models have as many pairs, among themselves and with the suspect, as a verdict needs.

    >>> unrelated_models(200)
    89
    """
    wanted = math.ceil(compared / ALPHA) - 1
    count = math.isqrt(2 * wanted)
    # n (n - 1) / 2 pairs among themselves and n with the suspect.
    while count * (count + 1) // 2 < wanted:
        count += 1
    return count


if __name__ == "__main__":
    main()
