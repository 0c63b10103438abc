"""What all figures and tables of the paper share: presets, pieces that are measured once, results, verdicts.

An experiment is a value in a file of its own. Its measuring is cut into pieces, each a few minutes at most: a piece that is in
`lines.jsonl` already is not measured again, so that a run which was stopped, or ran out of its `minutes`, goes on where it was.
What is measured to its end is only judged and drawn again, from its lines, and needs no models: results of another machine stay.
Results lie in benchmarks/results/<name>/<preset>: config.json, lines.jsonl, result.json and the figures; runs.jsonl tells how
long each run took by the clock, with the trainings that it had to do.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import tyro
from matplotlib.figure import Figure

from benchmarks.paper.processes import OutOfTimeError, train_at_once
from benchmarks.record import RESULTS, environment, load_average
from zest_jax.atomic import atomic_write
from zest_jax.cli.console import note

Preset = Literal["smoke", "small", "paper"]
PRESETS: tuple[Preset, ...] = ("smoke", "small", "paper")
Line = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether what the paper claims holds in our measurement.

    Attributes:
        holds: the ordering; None where the difference is within the error of the measurement.
        text: one line, with our figures.
        numbers: those figures, JSON-able.
    """

    holds: bool | None
    text: str
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{WORDS[self.holds] if self.holds else WORDS[self.holds].upper()}: {self.text}"


WORDS: Mapping[bool | None, str] = {True: "holds", False: "does not hold", None: "can't be told"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A figure or table of the paper.

    Attributes:
        name: of its folder of results.
        title: what the page calls it.
        claim: what the paper says, in a sentence.
        paper: the paper's figures, in a few words.
        criterion: what must be so for a verdict to hold, in a sentence or two.
        settings: of each preset, frozen dataclasses.
        sizes: from settings to what a reader must know of them, by what it is the size of.
        measure: measures what is missing; gets settings and `Pieces`.
        judge: from all lines to verdicts, by what they are about.
        draw: from all lines to figures, by file name.
        captions: what a figure shows, by file name: what lines, dots and bands are.
        tried: why an ordering does not hold and what was tried, in a few sentences.
        packages: whose versions are noted.
        versions: of what is measured, by name; where one has changed, what is missing is measured, and the rest stays.
        grows: settings that hold sequences whose entries are measured apart: where some are added, what was measured of the
            others stays.
    """

    name: str
    title: str
    claim: str
    paper: str
    criterion: str
    settings: Mapping[Preset, Any]
    sizes: Callable[[Any], Mapping[str, str]]
    measure: Callable[[Any, "Pieces"], None]
    judge: Callable[[Any, list[Line]], Mapping[str, Verdict]]
    draw: Callable[[Any, list[Line]], Mapping[str, Figure]]
    captions: Mapping[str, str]
    tried: str = ""
    packages: Sequence[str] = ("flax", "optax")
    versions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    grows: Sequence[str] = ()


class Pieces:
    """The pieces of one experiment in one preset.

    Attributes:
        folder: of the results.
        models: folder of the trainings, which experiments share.
        preset: its name.
        lines: measured so far.
        found: how many of them were there when this run began.
        processes: trainings at once.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        models: pathlib.Path,
        preset: Preset,
        config: Line,
        *,
        until: float | None = None,
        grows: Sequence[str] = (),
        processes: int = 1,
    ) -> None:
        self.folder, self.models, self.preset, self.until, self.processes = folder, models, preset, until, processes
        self._path = folder / "lines.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        stored = folder / "config.json"
        known = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {"settings": None}
        before, now = known["settings"], json.loads(json.dumps(config["settings"]))
        if before != now or known.get("versions") != config.get("versions"):
            # Lines of other settings say nothing about these, and a result is that of all lines.
            if before is None or not (before == now or _grown(before, now, grows)):
                if self._path.exists():
                    note(f"the settings of {folder.parent.name} ({preset}) have changed: it is measured anew")
                self.forget()
            (folder / "result.json").unlink(missing_ok=True)
            with atomic_write(stored) as file:
                file.write((json.dumps(config, indent=2) + "\n").encode())
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        # A line that was being written when the run was killed has no end.
        self.lines: list[Line] = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        self.found = len(self.lines)
        if text and not text.endswith("\n"):
            self._replace()

    def do(self, compute: Callable[[], Line], **key: Any) -> Line:
        """Measure one piece, unless it is measured already.

        Args:
            compute: measures it; its JSON-able values join `key` in a line.
            key: tells the piece from all others of the experiment.

        Raises:
            OutOfTimeError: it is missing, and there is no time left to measure it.
        """
        key = json.loads(json.dumps(key))
        for line in self.lines:
            if all(line.get(name, ...) == value for name, value in key.items()):
                return line
        self.check_time()
        began = time.monotonic()
        found = json.loads(json.dumps({**key, **compute()}, allow_nan=False))
        line = {**found, "seconds": round(time.monotonic() - began, 2), "on": _here()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.lines.append(line)
        if line["seconds"] > 1:
            note(f"{self.folder.parent.name} {key}: {line['seconds']:.0f} s")
        return line

    def home(self, name: str, settings: Any) -> pathlib.Path:
        """Folder of models that were made by these settings: where one is changed, those of before are not in the way."""
        digest = hashlib.sha256(json.dumps(as_json(settings), sort_keys=True).encode()).hexdigest()[:8]
        return (self.models / f"{name}-{digest}").absolute()

    def train_ahead(self, trainings: Mapping[pathlib.Path, Callable[[], object]]) -> None:
        """Do trainings in processes of their own, as many at once as the run may have; with one process nothing is done here.

        Each leaves its models in its folder, where the same call finds them afterwards.

        Args:
            trainings: functions that can be pickled, by the file or folder that each leaves last; where it is there, nothing is
                done.

        Raises:
            OutOfTimeError: the run's minutes are over, before or in the midst of them.
        """
        missing = {checkpoint: training for checkpoint, training in trainings.items() if not checkpoint.exists()}
        # A single one could be trained here, but would not end in time.
        if self.processes > 1 and len(missing) > (1 if self.until is None else 0):
            self.check_time()
            train_at_once(missing, self.processes, self.models.absolute(), self.folder.parent.name, until=self.until)

    def measured_on(self, models: Sequence[str], of: str) -> None:
        """Forget all lines if models of that name were others when they were measured: of other fingerprints."""
        line = {"what": "models", "of": of, "fingerprints": list(models), "seconds": 0.0}
        before = next((known for known in self.lines if known.get("what") == "models" and known["of"] == of), None)
        if before is None:
            self.lines.append(line)
        elif before["fingerprints"] != line["fingerprints"]:
            note(f"{self.folder.parent.name} ({self.preset}) was measured on other models: it is measured anew")
            self.forget()
            self.lines.append(line)
        else:
            return
        self._replace()

    def keep(self, wanted: Callable[[Line], bool]) -> None:
        """Forget the lines that are not wanted any more."""
        kept = [line for line in self.lines if wanted(line)]
        if len(kept) < len(self.lines):
            self.found -= len(self.lines) - len(kept)
            self.lines = kept
            self._replace()

    def forget(self) -> None:
        """Nothing is measured: neither lines nor runs nor a result are left."""
        self.lines, self.found = [], 0
        for name in ("lines.jsonl", "runs.jsonl", "result.json"):
            (self.folder / name).unlink(missing_ok=True)

    def check_time(self) -> None:
        """Stop, if the run's minutes are over; long pieces ask between their parts."""
        if self.until is not None and time.monotonic() > self.until:
            raise OutOfTimeError

    def _replace(self) -> None:
        with atomic_write(self._path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in self.lines).encode())


def _grown(before: Line, now: Line, grows: Sequence[str]) -> bool:
    """Whether settings differ only in having more entries where they may grow."""
    if before.keys() != now.keys():
        return False
    return all(
        before[name] == value or (name in grows and all(entry in value for entry in before[name]))
        for name, value in now.items()
    )


@functools.cache
def _here() -> str:
    """Device and commit, in a few words."""
    found = environment()
    return f"{found['device']}, {found['processor']}, {str(found['commit'])[:12]}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is run, and where things lie."""

    preset: Preset = "small"
    """smoke: seconds, to see that it works; small: two cores; paper: the paper's sizes, for a GPU."""
    models: pathlib.Path = pathlib.Path("paper-models")
    """Folder of the trainings, which experiments share."""
    results: pathlib.Path = RESULTS
    """Folder of all results."""
    minutes: float | None = None
    """Stop after so many minutes, between two pieces or in the midst of trainings at once; the same command goes on."""
    anew: bool = False
    """Measure again what is measured, too; trainings that are there are kept."""
    processes: int = 1
    """Trainings at once, each in a process of its own: one leaves most of a GPU idle, and part of two cores."""

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f"`processes` is {self.processes}; give at least 1")
        if self.minutes is not None and not 0 <= self.minutes < math.inf:
            raise ValueError(
                f"`minutes` is {self.minutes}; give a number from 0, or leave it out to run until all is done"
            )

    def deadline(self) -> float | None:
        """When a run that begins now is to stop, on the clock of `time.monotonic`."""
        return None if self.minutes is None else time.monotonic() + 60 * self.minutes


def run(experiment: Experiment, options: Options, *, until: float | None = None) -> Mapping[str, Verdict] | None:
    """Measure what is missing of an experiment, judge it and draw it; None where time ran out first."""
    settings = experiment.settings[options.preset]
    folder = options.results / experiment.name / options.preset
    command = f"python -m benchmarks.paper.{experiment.name} --preset {options.preset}"
    config = {
        "experiment": experiment.name,
        "preset": options.preset,
        "command": command,
        "settings": as_json(settings),
        **({"versions": dict(experiment.versions)} if experiment.versions else {}),
    }
    until = options.deadline() if until is None else until
    if options.processes > 1:
        # Else JAX takes three quarters of a GPU's memory for this process, which mostly waits for the others.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    models = options.models / options.preset
    _check_writable(folder, "results")
    pieces = Pieces(
        folder,
        models,
        options.preset,
        config,
        until=until,
        grows=experiment.grows,
        processes=options.processes,
    )
    result_file = folder / "result.json"
    if options.anew:
        pieces.forget()
    old = json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else {}
    if not old:
        _check_writable(models, "models")
        try:
            with timed(pieces):
                experiment.measure(settings, pieces)
        except OutOfTimeError:
            note(f"{experiment.name}: time is over with {len(pieces.lines)} pieces measured; the same command goes on")
            return None
    verdicts = experiment.judge(settings, pieces.lines)
    figures = experiment.draw(settings, pieces.lines)
    for file, figure in figures.items():
        figure.savefig(folder / file)
    # Of the run that measured last, not of one that only drew; `measured on` has them all.
    made = old["environment"] if old else environment(*experiment.packages)
    result = {
        "experiment": experiment.name,
        "command": command,
        "environment": made,
        "measured on": sorted({line["on"] for line in pieces.lines if "on" in line}),
        "seconds": round(sum(line["seconds"] for line in pieces.lines), 1),
        "sizes": dict(experiment.sizes(settings)),
        "accuracies": {line["of"]: line["accuracy"] for line in pieces.lines if line.get("what") == "accuracy"},
        "figures": list(figures),
        "verdicts": {
            about: {"holds": verdict.holds, "text": verdict.text, "numbers": dict(verdict.numbers)}
            for about, verdict in verdicts.items()
        },
    }
    with atomic_write(result_file) as file:
        file.write((json.dumps(result, indent=2) + "\n").encode())
    for about, verdict in verdicts.items():
        print(f"{experiment.name}, {about}: {verdict}", flush=True)
    return verdicts


def _check_writable(folder: pathlib.Path, option: str) -> None:
    """Make a folder unless it is there; where it can't be written, the error says which option names another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        error.add_note(f"name another folder for {option} with --{option}")
        raise


def main(experiment: Experiment, description: str | None) -> None:
    """Run an experiment from the command line; with exit status 1 where time ran out first."""
    if run(experiment, tyro.cli(Options, description=description)) is None:
        raise SystemExit(1)


@contextlib.contextmanager
def timed(pieces: Pieces) -> Iterator[None]:
    """Note how long a run that measures something takes, also where it is interrupted."""
    began, load = time.monotonic(), load_average()
    # Of the code that runs; a commit that is made meanwhile is another.
    _here()
    finished = False
    try:
        yield
        finished = True
    finally:
        seconds, measured = time.monotonic() - began, len(pieces.lines) - pieces.found
        # Reading again what is measured takes a moment, and is no run.
        if measured or seconds > 60:
            line = {
                "seconds": round(seconds, 1),
                "pieces_before": pieces.found,
                "pieces": measured,
                "finished": finished,
                "processes": pieces.processes,
                "load_average_at_start": load,
                "on": _here(),
            }
            with (pieces.folder / "runs.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def as_json(settings: Any) -> Any:
    """Settings as plain values."""
    if dataclasses.is_dataclass(settings):
        return {field.name: as_json(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    if isinstance(settings, Mapping):
        return {str(name): as_json(value) for name, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [as_json(value) for value in settings]
    return settings
