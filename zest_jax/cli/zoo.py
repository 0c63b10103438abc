"""`zest zoo`: build a set of models from one configuration, and list it."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg

from zest_jax.cli.console import keep_numbers, note, print_json, result_console
from zest_jax.cli.files import UsageError, check_exists
from zest_jax.cli.options import OFF, Common

if TYPE_CHECKING:
    from zest_jax.zoo import IndexEntry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build(Common):
    """Make the models of a zoo that are not there yet, and write index.json.

    The same command again goes on where it was interrupted. CONFIG is Python and is run: use only your own, or what you
    have read.
    """

    config: Positional[Annotated[Path, arg(metavar="CONFIG")]]
    """Python file that defines `zoo = Zoo(...)`, such as configs/zoo/cifar10-small.py."""

    out: Annotated[Path, arg(aliases=("-o",), metavar="FOLDER")]
    """Folder of the zoo."""

    jobs: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: one per core, or 1 with an accelerator)")
    ] = None
    """Models made at a time."""

    only: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all)")] = ()
    """Make only these, and what they are made from."""

    def run(self) -> None:
        check_exists(self.config, "give a Python file that defines `zoo`")
        if self.config.suffix.lower() != ".py":
            raise UsageError(f"{self.config} does not end in .py; give a Python file that defines `zoo = Zoo(...)`")
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"--out {self.out} is a file; name a folder")
        from zest_jax.zoo.build import build_zoo

        say = note if self.progress else lambda text: None
        try:
            index = build_zoo(self.config, self.out, jobs=self.jobs, only=self.only, say=say)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"what is done so far is in {self.out}; the same command goes on from there"
            ) from None
        print_index(index)


@dataclasses.dataclass(frozen=True, kw_only=True)
class List(Common):
    """Show the models of a zoo: who was made from whom, how, and how good they are."""

    folder: Positional[Annotated[Path, arg(metavar="ZOO")]]
    """Folder of the zoo."""

    json: Annotated[bool, OFF] = False
    """Print the whole index as JSON."""

    def run(self) -> None:
        if not self.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {self.folder}; build a zoo with `zest zoo build`")
        from zest_jax.zoo.index import read_index

        index = read_index(self.folder)
        if self.json:
            print_json([dataclasses.asdict(entry) for entry in index])
        else:
            print_index(index)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Zoo:
    """Build and list sets of models."""

    what: Annotated[Build, tyro.conf.subcommand("build")] | Annotated[List, tyro.conf.subcommand("list")]


def print_index(index: "list[IndexEntry]") -> None:
    """One line per model."""
    from rich import box
    from rich.table import Table

    table: Any = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("how", no_wrap=True)
    table.add_column("made from", overflow="fold")
    table.add_column("accuracy", justify="right", no_wrap=True)
    table.add_column("checkpoints", justify="right", no_wrap=True)
    for entry in index:
        accuracy = "-" if entry.accuracy is None else f"{entry.accuracy:.2%}"
        parents = " + ".join(entry.parents) or "-"
        table.add_row(entry.name, entry.kind, parents, accuracy, str(len(entry.epochs)) if entry.epochs else "-")
    result_console().print(keep_numbers(table))
