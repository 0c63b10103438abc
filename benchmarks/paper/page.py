"""docs/reproduction.md: what the paper claims and what we measured, from the results files alone."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.paper.experiment import PRESETS, WORDS, Experiment, Preset
from benchmarks.record import RESULTS, ROOT
from zest_jax.atomic import atomic_write

PAGE = ROOT / "docs" / "reproduction.md"
_HEAD = """# The paper, reproduced

What Jia, Chen, Guan, Shamsabadi and Papernot, "A Zest of LIME" (ICLR 2022), claim, and what this project measures. `zest paper`
makes this page. Every figure under "ours" comes from the files in `benchmarks/results`; the paper's figures, and why something
does not hold, are written in `benchmarks/paper`, a file for each section. A section begins with what the paper claims and
by which figures.

**Presets.** `small` is sized for two CPU cores: smaller models on fewer data, so that its figures differ from the paper's. What
must agree is the ordering. `paper` has the paper's sizes where the data can be had, and is meant for a GPU{paper}. What no preset
has: ImageNet, Flowers102 and SDog120, CIFAR-100, ResNet50.

**Verdicts** say whether an ordering holds in the measured models, by the criterion below each table; no significance is meant
by it. Where the difference of two means lies within its error, or nobody finds anything, the verdict is "can't be told"; Table
1 and the race compare counts whatever their error. Relative distances are divided by the mean distance of unrelated models of
the same kind, as in the paper's equation 1. "+-" is a standard deviation, over seeds and pairs where nothing else is said.

**Run it yourself** in a clone: `pip install -e ".[paper]"`, `cifar10` prepared by TFDS, then what is below. Only Figure 4 needs
more: at `paper` the `ag_news_subset` and `speech_commands` of TFDS; at `small` two sets in its format that it does not have,
`debian_sections` (descriptions of Debian's packages) and `espeak_commands` (35 words spoken by eSpeak), in whose place
`benchmarks/paper/fig4_text_audio.py` takes others by name.

```bash
zest paper fig2_related                   # one section, at preset small
zest paper all --minutes 30               # what is missing of all; the same command goes on where time ran out
zest paper all --processes 2              # two trainings at once, for two cores
zest paper all --preset paper             # the paper's sizes
zest paper fig2_related --preset paper --processes 5
```

What is measured is only judged and drawn again; `--anew` measures it again. Models are kept in `paper-models`, which the
sections share; a changed setting measures a section anew. One training leaves most of a large GPU idle, and part of a second
core: with `--processes` several are trained at once where there are several, each in a process of its own, on a GPU best under
NVIDIA's MPS (`nvidia-cuda-mps-control -d`); with `--minutes`, too, these stop in their midst and go on from what they saved
last (minutes must suffice to start, compile and save once). How long preset `paper` would take is estimated for Figures 2, 3, 5
and 6 in [the notes](../benchmarks/NOTES.md).
Verdicts of preset `smoke` mean nothing.
"""


def runs(measured: pathlib.Path) -> list[dict[str, Any]]:
    """What was noted of the runs that made these results."""
    path = measured / "runs.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def at_once(measured: pathlib.Path) -> int:
    """As many trainings as a run of these results was allowed at once; runs of before that was noted had one."""
    return max((run.get("processes", 1) for run in runs(measured)), default=1)


def clock(measured: pathlib.Path) -> float | None:
    """Seconds of all runs that made these results.

    None where the first did not begin from nothing, the last did not finish, or one between them was not noted, as where it was
    killed.
    """
    noted = runs(measured)
    before = [0, *(run["pieces_before"] + run["pieces"] for run in noted)]
    if not noted or [run["pieces_before"] for run in noted] != before[:-1] or not noted[-1]["finished"]:
        return None
    return sum(run["seconds"] for run in noted)


def whole_time(experiments: Sequence[Experiment], results: pathlib.Path, preset: str) -> str:
    """How long all runs of a preset took by the clock; nothing where one of them did not begin from nothing."""
    seconds = [clock(results / experiment.name / preset) for experiment in experiments]
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return ""
    most = {experiment.name: at_once(results / experiment.name / preset) for experiment in experiments}
    trainings = ["the trainings", *(f"of `{name}` up to {count} at once" for name, count in most.items() if count > 1)]
    minutes = f"{sum(known) / 60:.1f} minutes by the clock"
    return f"The sections of `{preset}` took {minutes}, added up over their runs, with {', '.join(trainings)}.\n"


def rebuild(experiments: Sequence[Experiment], results: pathlib.Path = RESULTS) -> None:
    """Write the page, if the results are those of the repository; results elsewhere get theirs beside them."""
    path = PAGE if results.resolve() == RESULTS.resolve() else results / "reproduction.md"
    with atomic_write(path) as file:
        file.write(page(experiments, results, path.parent).encode())


def page(experiments: Sequence[Experiment], results: pathlib.Path, folder: pathlib.Path) -> str:
    """The page as it lies in `folder`."""
    whole = any((results / experiment.name / "paper" / "result.json").exists() for experiment in experiments)
    head = _HEAD.replace("{paper}", "" if whole else "; none of it has been measured yet")
    parts = [head, *(line for preset in PRESETS[1:] if (line := whole_time(experiments, results, preset)))]
    for experiment in experiments:
        parts.append(f"## {experiment.title}\n\n{experiment.claim}\n\nPaper: {experiment.paper}.\n")
        there = [preset for preset in PRESETS[1:] if (results / experiment.name / preset / "result.json").exists()]
        if not there:
            parts.append(f"Not measured yet: `zest paper {experiment.name} --preset small`.\n")
        parts += [section(experiment, results / experiment.name / preset, preset, folder) for preset in there]
        if there and experiment.tried:
            parts.append(f"Where it does not hold: {experiment.tried}\n")
        parts.append(sizes(experiment))
    return "\n".join(parts)


def sizes(experiment: Experiment) -> str:
    """What the presets have, side by side."""
    presets: list[Preset] = [preset for preset in PRESETS[1:] if preset in experiment.settings]
    of: dict[str, Mapping[str, str]] = {preset: experiment.sizes(experiment.settings[preset]) for preset in presets}
    heads = ["", *(f"`{preset}`" for preset in presets)]
    names = dict.fromkeys(name for found in of.values() for name in found)
    rows = [heads, ["---"] * len(heads), *([name, *(of[preset].get(name, "") for preset in presets)] for name in names)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def section(experiment: Experiment, measured: pathlib.Path, preset: str, folder: pathlib.Path) -> str:
    """One preset of one experiment."""
    result: dict[str, Any] = json.loads((measured / "result.json").read_text(encoding="utf-8"))
    environment = result["environment"]
    where = f"{environment['processors']} cores ({environment['processor']})"
    if environment["platform"] != "cpu":
        where = environment["device"]
    seconds = clock(measured)
    took = f"{result['seconds'] / 60:.0f} minutes of measuring" if seconds is None else _by_the_clock(seconds)
    command = f"zest paper {measured.parent.name} --preset {preset}"
    if (processes := at_once(measured)) > 1:
        command += f" --processes {processes}"
    raw = ", ".join(
        f"[{name}]({_path(measured / name, folder)})" for name in ("config.json", "lines.jsonl", "result.json")
    )
    lines = [f"**{preset}** (`{command}`; {took}, {where}, JAX {environment['versions']['jax']}; {raw})\n"]
    lines += [
        f"Accuracy of the {len(found)} models `{name}` on test data: {min(found):.1%} to {max(found):.1%}.\n"
        for name, found in result["accuracies"].items()
    ]
    words = {holds: word if holds else f"**{word}**" for holds, word in WORDS.items()}
    lines += ["| | verdict | ours |", "|---|---|---|"]
    lines += [
        f"| {about} | {words[verdict['holds']]} | {verdict['text']} |" for about, verdict in result["verdicts"].items()
    ]
    lines.append(f"\nCriterion: {experiment.criterion}")
    for figure in result["figures"]:
        caption = experiment.captions[figure]
        lines.append(f"\n![{experiment.title}. {caption}]({_path(measured / figure, folder)})\n\n*{caption}*")
    return "\n".join(lines) + "\n"


def _path(file: pathlib.Path, folder: pathlib.Path) -> str:
    return pathlib.Path(os.path.relpath(file, folder)).as_posix()


def _by_the_clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minute{'s' * (minutes != 1)} by the clock, with the trainings that were missing"
