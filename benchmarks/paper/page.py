"""docs/reproduction.md: what the paper claims and what we measured, from the results files alone."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks.paper.experiment import PRESETS, Experiment
from benchmarks.record import RESULTS, ROOT
from zest_jax.atomic import atomic_write

PAGE = ROOT / "docs" / "reproduction.md"
_HEAD = """# The paper, reproduced

What Jia, Chen, Guan, Shamsabadi and Papernot, "A Zest of LIME" (ICLR 2022), claim, and what this project measures. This page is
made from the files in `benchmarks/results` by `zest paper`; nothing in it is typed by hand. `small` is sized for two CPU cores,
so its figures differ from the paper's; what must agree is the ordering, which every verdict line judges. `paper` has the paper's
sizes. Times are those of measuring; trainings and signatures that were there already do not count.
"""


def whole_time(experiments: Sequence[Experiment], results: pathlib.Path, preset: str) -> str:
    """How long all runs of a preset took by the clock; nothing where one of them did not begin from nothing."""
    seconds, n_runs = 0.0, 0
    for experiment in experiments:
        path = results / experiment.name / preset / "runs.jsonl"
        runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        if not runs or runs[0]["pieces_before"] or not runs[-1]["finished"]:
            return ""
        seconds += sum(run["seconds"] for run in runs)
        n_runs += len(runs)
    in_runs = f"{n_runs} run{'s' * (n_runs > 1)}"
    return f"All of `{preset}` took {seconds / 60:.0f} minutes by the clock, in {in_runs}, trainings included.\n"


def rebuild(experiments: Sequence[Experiment], results: pathlib.Path = RESULTS) -> None:
    """Write the page, if the results are those of the repository; results elsewhere get theirs beside them."""
    path = PAGE if results.resolve() == RESULTS.resolve() else results / "reproduction.md"
    with atomic_write(path) as file:
        file.write(page(experiments, results, path.parent).encode())


def page(experiments: Sequence[Experiment], results: pathlib.Path, folder: pathlib.Path) -> str:
    """The page as it lies in `folder`."""
    parts = [_HEAD, *(line for preset in PRESETS[1:] if (line := whole_time(experiments, results, preset)))]
    for experiment in experiments:
        parts.append(f"## {experiment.title}\n\n{experiment.claim}\n\nPaper: {experiment.paper}.\n")
        there = [preset for preset in PRESETS[1:] if (results / experiment.name / preset / "result.json").exists()]
        if not there:
            parts.append(f"Not measured yet: `python -m benchmarks.paper.{experiment.name} --preset small`.\n")
        parts += [section(results / experiment.name / preset, preset, folder) for preset in there]
        if experiment.tried:
            parts.append(f"Tried where it does not hold: {experiment.tried}\n")
    return "\n".join(parts)


def section(measured: pathlib.Path, preset: str, folder: pathlib.Path) -> str:
    """One preset of one experiment."""
    result: dict[str, Any] = json.loads((measured / "result.json").read_text(encoding="utf-8"))
    environment = result["environment"]
    where = f"{environment['processors']} cores ({environment['processor']})"
    if environment["platform"] != "cpu":
        where = environment["device"]
    how = f"`{result['command']}`; {result['seconds'] / 60:.0f} minutes, {where}, JAX {environment['versions']['jax']}"
    lines = [
        f"**{preset}** ({how})\n",
        "| | verdict | ours |",
        "|---|---|---|",
    ]
    for about, verdict in result["verdicts"].items():
        lines.append(f"| {about} | {'holds' if verdict['holds'] else '**does not hold**'} | {verdict['text']} |")
    for figure in result["figures"]:
        picture = pathlib.Path(os.path.relpath(measured / figure, folder)).as_posix()
        lines.append(f"\n![{measured.parent.name}, {preset}]({picture})")
    return "\n".join(lines) + "\n"
