"""`zest paper`: measure the paper's figures and tables again, in a clone of the repository."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from zest_jax.cli.files import UsageError
from zest_jax.cli.options import Common
from zest_jax.errors import ZestError
from zest_jax.importing import importable_from


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper(Common):
    """Measure what is missing of the paper's figures and tables, judge it, and rebuild docs/reproduction.md.

    Runs in the folder of a clone of the repository, where the benchmarks are. What is measured is judged and drawn again from its
    results, without models.
    """

    names: Positional[Annotated[tuple[str, ...], arg(metavar="NAME")]] = ("all",)
    """Experiments, as the files in benchmarks/paper are called; or all."""

    preset: Literal["smoke", "small", "paper"] = "small"
    """smoke: seconds, to see that it works; small: two cores; paper: the paper's sizes, for a GPU."""

    models: Annotated[Path, arg(metavar="FOLDER")] = Path("paper-models")
    """Where the trained models are kept, which experiments share."""

    results: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: benchmarks/results)")] = None
    """Where the results go; elsewhere than in benchmarks/results, the page is written beside them."""

    minutes: Annotated[float | None, arg(metavar="M", help_behavior_hint="(default: until done)")] = None
    """Stop after so many minutes, between two pieces or in the midst of trainings at once; the same command goes on."""

    anew: bool = False
    """Measure again what is measured, too; trained models are kept."""

    processes: Annotated[int, arg(metavar="N")] = 1
    """Trainings at once, each in a process of its own: one leaves most of a GPU idle, and part of two cores."""

    def run(self) -> None:
        if not Path("benchmarks/paper/experiment.py").is_file():
            raise UsageError(
                "zest paper runs in a clone of the repository, where benchmarks/paper is; change to its folder, or clone it"
            )
        with importable_from(str(Path.cwd())):
            from benchmarks.paper.every import run_all
            from benchmarks.paper.experiment import Options
            from benchmarks.record import RESULTS

            try:
                options = Options(
                    preset=self.preset,
                    models=self.models,
                    results=self.results or RESULTS,
                    minutes=self.minutes,
                    anew=self.anew,
                    processes=self.processes,
                )
            except ValueError as error:
                raise UsageError(str(error)) from error
            try:
                done = run_all(self.names, options)
            except ValueError as error:
                if str(error).startswith("no experiment"):
                    raise UsageError(str(error)) from error
                raise
            if not done:
                raise ZestError("time is over before everything was measured; the same command goes on where it was")
