"""Run a document: its commands and its Python in the order in which they stand, in one folder, one shell and one namespace."""

import contextlib
import dataclasses
import io
import itertools
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.docs import elsewhere
from tests.docs.markdown import Block, Document
from tests.docs.shrinking import small, with_small_sizes
from tests.docs.terminal import Command, Terminal
from tests.docs.world import World
from zest_jax.cli.main import main

#: Languages of blocks, and whether such a block is run.
LANGUAGES = {"bash": True, "python": True, "text": False, "json": False, "yaml": False, "html": False}
#: What `$KEY` and the like are.
SECRETS = {"KEY": "a-key-of-the-tests"}


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a document did.

    Attributes:
        printed: by its Python, block after block.
        names: what its Python defined.
        folder: in which it ran.
    """

    printed: list[str]
    names: Mapping[str, Any]
    folder: Path


@dataclasses.dataclass(frozen=True)
class Runner:
    """Runs documents in a world.

    Attributes:
        world: the files that documents name.
        places: what SERVER and CLUSTER of `shrinking` are, each made when a document needs it.
    """

    world: World
    places: Mapping[str, Callable[[], str]]

    def run(self, document: Document, folder: Path, names: Mapping[str, Callable[[], Any]]) -> Ran:
        """Run it in an empty folder; `names` makes the variables that it takes for granted, those that it uses."""
        blocks = [block for block in document.blocks if LANGUAGES[block.language]]
        text = "\n".join(block.text for block in blocks)
        given = self.world.provide(text, folder)
        python = "\n".join(block.text for block in blocks if block.language == "python")
        namespace: dict[str, Any] = {"__name__": "__main__"}
        namespace |= {name: make() for name, make in names.items() if name in python}
        made = {place: find() for place, find in self.places.items() if place in small(text, {})}
        made["{folder}"] = str(folder)
        printed = []
        commands: dict[str, Command] = {"zest": _zest(folder, given)}
        commands |= {name: _elsewhere(name) for name in ("make", "pip", "ray")}
        terminal = Terminal(folder, commands, {**SECRETS, "NO_PROXY": "localhost,127.0.0.1"})
        before = list(sys.path)
        try:
            for block in blocks:
                source = f"{document.name}, line {block.line}"
                try:
                    if block.language == "bash":
                        terminal.run(small(block.text, made))
                    else:
                        with terminal.inside():
                            sys.path.insert(0, str(folder))
                            printed.append(_execute(block, small(block.text, made), document, namespace))
                except Exception as error:
                    told = error if block.language == "bash" else traceback.format_exc()
                    raise AssertionError(f"{source}: this does not run:\n\n{block.text}\n{told}") from None
        finally:
            sys.path[:] = before
            terminal.close()
        return Ran(printed, namespace, folder)


def _execute(block: Block, code: str, document: Document, namespace: dict[str, Any]) -> str:
    out = io.StringIO()
    compiled = compile("\n" * (block.line - 1) + code, document.name, "exec")
    began = time.monotonic()
    with contextlib.redirect_stdout(out):
        exec(compiled, namespace)
    sys.stdout.write(f"Python of line {block.line} # {time.monotonic() - began:.1f} s\n{out.getvalue()}")
    return out.getvalue()


def _zest(folder: Path, given: list[str]) -> Command:
    """The command line; what it writes anew, the world does not give."""
    written: set[str] = set()

    def run(words: list[str]) -> int:
        words = with_small_sizes(words)
        for option, value in itertools.pairwise(words):
            if option in ("-o", "--output") and value not in written:
                written.add(value)
                if Path(value).parts[0] in given and (made := folder / value).exists():
                    shutil.rmtree(made) if made.is_dir() else made.unlink()
        return main(words)

    return run


def _elsewhere(name: str) -> Command:
    return lambda words: elsewhere.check([name, *words])
