"""Run a document: its commands and its Python in the order in which they stand, in one folder, one shell and one namespace."""

import contextlib
import dataclasses
import io
import itertools
import re
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

_NUMBER = r"\d+(?:\.\d+)?"
# How far numbers may be from those shown, in absolute and relative terms: training on another machine ends with other roundings.
_CLOSE, _CLOSE_RELATIVE = 0.02, 0.1


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a document did.

    Attributes:
        printed: by its Python, block after block.
        shown: what the document shows as printed (a block of text after one of Python), and what was, where nothing was made
            smaller before.
        said: what it shows as printed by commands (a block of text after one of bash), and what was.
    """

    printed: list[str] = dataclasses.field(default_factory=list)
    shown: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    said: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def check_shown(self) -> None:
        """The document shows what was printed, but for the roundings of another machine; of commands, but for numbers and lines."""
        for shown, found in self.said:
            words = [" ".join(re.sub(r"\d[\d,.]*", "N", text).split()) for text in (shown, found)]
            assert words[0] in words[1], f"{shown}\nis shown, and this was printed:\n{found}"
        for shown, found in self.shown:
            told = f"{shown}\nis shown, and this was printed:\n{found}"
            assert re.sub(_NUMBER, "N", found) == re.sub(_NUMBER, "N", shown), told
            numbers = [[float(each) for each in re.findall(_NUMBER, text)] for text in (found, shown)]
            pairs = zip(*numbers, strict=True)
            assert all(abs(a - b) <= max(_CLOSE, _CLOSE_RELATIVE * abs(b)) for a, b in pairs), told


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
        blocks = document.blocks
        text = "\n".join(block.text for block in blocks if LANGUAGES[block.language])
        given = self.world.provide(text, folder)
        python = "\n".join(block.text for block in blocks if block.language == "python")
        namespace: dict[str, Any] = {"__name__": "__main__"}
        namespace |= {name: make() for name, make in names.items() if name in python}
        made = {place: find() for place, find in self.places.items() if place in small(text, {})}
        made["{folder}"] = str(folder)
        ran, as_shown, before, said = Ran(), True, Block("", "", 0), ""
        commands: dict[str, Command] = {"zest": _zest(folder, given)}
        commands |= {name: _elsewhere(name) for name in ("make", "pip", "ray")}
        terminal = Terminal(folder, commands, {**SECRETS, "NO_PROXY": "localhost,127.0.0.1"})
        paths = list(sys.path)
        try:
            for block in blocks:
                source, code = f"{document.name}, line {block.line}", small(block.text, made)
                as_shown &= block.language != "python" or code == block.text
                try:
                    if block.language == "bash":
                        said = terminal.run(code)
                    elif block.language == "python":
                        with terminal.inside():
                            sys.path.insert(0, str(folder))
                            ran.printed.append(_execute(block, code, document, namespace))
                    elif (block.language, before.language, as_shown) == ("text", "python", True):
                        ran.shown.append((block.text, ran.printed[-1]))
                    elif (block.language, before.language) == ("text", "bash"):
                        ran.said.append((block.text, said))
                except Exception as error:
                    told = error if block.language == "bash" else traceback.format_exc()
                    raise AssertionError(f"{source}: this does not run:\n\n{block.text}\n{told}") from None
                before = block
        finally:
            sys.path[:] = paths
            terminal.close()
        return ran


def _execute(block: Block, code: str, document: Document, namespace: dict[str, Any]) -> str:
    out = io.StringIO()
    compiled = compile("\n" * (block.line - 1) + code, document.name, "exec")
    began = time.process_time()
    with contextlib.redirect_stdout(out):
        exec(compiled, namespace)
    sys.stdout.write(f"Python of line {block.line} # {time.process_time() - began:.1f} s\n{out.getvalue()}")
    return out.getvalue()


def _zest(folder: Path, given: list[str]) -> Command:
    """The command line; what it writes anew, the world does not give."""
    written: set[str] = set()

    def run(words: list[str]) -> int:
        if elsewhere.knows(["zest", *words]):
            return elsewhere.check(["zest", *words])
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
