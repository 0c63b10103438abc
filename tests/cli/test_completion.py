"""What the shells themselves do with the scripts of `zest completion` when Tab is pressed."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
import typing

import pytest

from zest_jax.cli import completion
from zest_jax.cli.main import Command
from zest_jax.cli.reuse import Reuse
from zest_jax.cli.store import Store
from zest_jax.errors import ZestError

SHELLS = ["bash", "zsh", "fish"]
# The command is a function that shows its words, so that what Tab made of the line can be read off.
SET_UP = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source ./zest; zest() { printf '[%s]' \"$@\"; printf '\\n'; }"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; zest() { printf '[%s]' \"$@\"; printf '\\n'; }",
    ),
}
FILE = {"bash": "zest", "zsh": "_zest", "fish": "zest.fish"}
SECONDS = 60


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, command, folder):
        self.ours, theirs = pty.openpty()
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "PS1": "> "}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env, start_new_session=True
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def read_until(self, pattern: str) -> str:
        seen, end = "", time.monotonic() + SECONDS
        while not (found := re.search(pattern, seen)):
            if time.monotonic() > end or not select.select([self.ours], [], [], end - time.monotonic())[0]:
                raise AssertionError(f"no {pattern} within {SECONDS} s in what the shell showed:\n{seen}")
            seen += os.read(self.ours, 65536).decode(errors="replace")
        return found[0]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_of_another_form_is_refused(monkeypatch, shell):
    monkeypatch.setitem(completion._REPAIRS, shell, ("nowhere in it", "nor this"))
    with pytest.raises(ZestError, match="writes scripts of a form that is not known here"):
        completion.script(shell)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scripts of all shells, and files and folders to complete."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        (folder / FILE[shell]).write_text(completion.script(shell), encoding="utf-8")
    (folder / "victim.onnx").touch()
    (folder / "photo graphs").mkdir()
    (folder / "photo graphs" / "cat.png").touch()
    return folder


@pytest.fixture(scope="module", params=["bash", "zsh"])
def pressed(request, folder):
    """Type a line, in which \\t is Tab, into a real shell; get the words that a command would get."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    command, set_up = SET_UP[request.param]
    terminal = Terminal(command, folder)
    terminal.type(set_up + "; echo re''ady\n")
    terminal.read_until("ready")

    def press(line: str) -> list[str]:
        terminal.type(line + "\n")
        return re.findall(r"\[([^\]]*)\]", terminal.read_until(r"(?m)^(\[[^\]]*\])+\r?$"))

    yield press
    terminal.close()


def subcommands(union) -> set[str]:
    return {typing.get_args(part)[1].name for part in typing.get_args(union)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zest scr\t", ["screen"]),
        ("zest sign-\t", ["sign-all"]),
        ("zest store a\t", ["store", "add"]),
        ("zest reuse qu\t", ["reuse", "quantize"]),
        ("zest sign --prob\t", ["sign", "--probes"]),
        ("zest sign victim.onnx --layout NHW\t", ["sign", "victim.onnx", "--layout", "NHWC"]),
        ("zest sign vic\t", ["sign", "victim.onnx"]),
        ("zest sign victim.onnx --probes vic\t", ["sign", "victim.onnx", "--probes", "victim.onnx"]),
        ("zest probes photo\tca\t", ["probes", "photo graphs/cat.png"]),
        ("zest store nons\t", ["store", "nons"]),
    ],
)
def test_tab_completes(pressed, line, words):
    assert pressed(line) == words


def fish(folder, line: str) -> list[str]:
    program = f"source ./zest.fish; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stderr == ""
    return [found.partition("\t")[0] for found in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(folder):
    assert fish(folder, "zest scr") == ["screen"]
    assert set(fish(folder, "zest ")) == subcommands(Command)
    assert fish(folder, "zest sign --prob") == ["--probes"]
    assert fish(folder, "zest sign x --layout NHW") == ["NHWC"]
    assert fish(folder, "zest sign vic") == ["victim.onnx"]


def bash_offers(folder, *words: str) -> list[str]:
    """What the function of the script for bash offers for the last word."""
    program = (
        'source ./zest; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _zest_or_files; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", program, "bash", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_every_command_and_sub_command_is_offered(folder):
    assert set(bash_offers(folder, "zest", "")) == subcommands(Command)
    for name, kind in (("store", Store), ("reuse", Reuse)):
        (inner,) = [
            hint for hint in typing.get_type_hints(kind, include_extras=True).values() if len(typing.get_args(hint)) > 3
        ]
        assert set(bash_offers(folder, "zest", name, "")) == subcommands(inner)


def test_options_are_offered_after_a_dash_and_nothing_where_files_belong(folder):
    offered = bash_offers(folder, "zest", "screen", "-")
    assert {"--store", "--top", "--json", "--help"} <= set(offered)
    assert bash_offers(folder, "zest", "screen", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script(zest, shell, folder):
    code, out, err = zest("completion", shell)
    assert (code, err) == (0, "")
    assert out == (folder / FILE[shell]).read_text(encoding="utf-8")


def test_an_unknown_shell_is_wrong_use(zest):
    code, out, err = zest("completion", "csh")
    assert (code, out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in " ".join(err.split())
