"""A terminal in which the commands of a document are given: real bash, with commands of our own among its programs.

`zest` and what else is handed in run in this process, with the folder and the environment of the shell, so that a document of
twenty commands does not load JAX twenty times. All other programs are those of a short list: what is not on it is not found,
and the block fails.
"""

import contextlib
import dataclasses
import io
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

#: Runs a command, given its words without the first; prints, and returns the exit code.
Command = Callable[[list[str]], int]

# What a document may use besides the commands that are handed in.
PROGRAMS = ("cat", "cp", "head", "ls", "mkdir", "mv", "rm", "sort", "tail", "touch", "wc")

_CLIENT = """#!{bash}
call=$({mktemp} -d "{folder}/call.XXXXXX")
printf '%s\\0' "${{0##*/}}" "$@" > "$call/words"
printf '%s' "$PWD" > "$call/folder"
{env} -0 > "$call/environment"
{mkfifo} "$call/code"
echo "$call" > "{folder}/calls"
read -r code < "$call/code"
{cat} "$call/out"
{cat} "$call/err" >&2
exit "$code"
"""
_SCRIPT = """set -e
{block}
export -p > "{folder}/exported"
pwd > "{folder}/where"
"""


@dataclasses.dataclass(frozen=True)
class Call:
    """A command that was run here: its words, its exit code, what it printed and what it told."""

    words: list[str]
    code: int
    out: str
    err: str


class Terminal:
    """Runs one block of bash after the other; what is exported, and the current folder, stay.

    Args:
        where: the folder to begin in.
        commands: by name, what runs in this process.
        environment: variables besides those of this process.
    """

    def __init__(self, where: Path, commands: Mapping[str, Command], environment: Mapping[str, str]) -> None:
        self.where = where
        self.commands = commands
        self.calls: list[Call] = []
        self._folder = Path(tempfile.mkdtemp(prefix="zest-terminal-"))
        programs = self._folder / "bin"
        programs.mkdir()
        self.environment = {**os.environ, **environment, "PATH": str(programs)}
        tools = {name: _program(name) for name in ("bash", "cat", "env", "mkfifo", "mktemp")}
        for name in commands:
            client = programs / name
            client.write_text(_CLIENT.format(folder=self._folder, **tools), encoding="utf-8")
            client.chmod(0o755)
        for name in PROGRAMS:
            (programs / name).symlink_to(_program(name))
        os.mkfifo(self._folder / "calls")
        # Open for writing, too: it does not end when a client does.
        self._inbox = os.open(self._folder / "calls", os.O_RDWR | os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self._inbox)
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, block: str) -> str:
        """Run a block of commands.

        Returns:
            all that was printed, to stdout and stderr.

        Raises:
            AssertionError: a command failed; its words and its last lines are told.
        """
        script = self._folder / "block"
        script.write_text(_SCRIPT.format(block=block, folder=self._folder), encoding="utf-8")
        before = len(self.calls)
        with (self._folder / "printed").open("w+") as printed:
            shell = subprocess.Popen(
                [_program("bash"), "--norc", "--noprofile", str(script)],
                cwd=self.where,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
            try:
                while shell.poll() is None:
                    if select.select([self._inbox], [], [], 0.02)[0]:
                        for call in os.read(self._inbox, 1 << 16).decode().splitlines():
                            self._answer(Path(call))
            finally:
                shell.kill()
                shell.wait()
            printed.seek(0)
            said = printed.read()
        failed = [call for call in self.calls[before:] if call.code]
        if shell.returncode or failed:
            shown = [f"`{' '.join(call.words)}` ended with exit code {call.code}:\n{call.err}" for call in failed]
            raise AssertionError("\n".join(shown or [f"bash ended with exit code {shell.returncode}:\n{said}"]))
        self.where = Path((self._folder / "where").read_text().removesuffix("\n"))
        self.environment = self._exported()
        return said

    @contextlib.contextmanager
    def inside(self, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> Iterator[None]:
        """Make the shell's folder and environment those of this process."""
        kept, before = dict(os.environ), Path.cwd()
        os.chdir(folder or self.where)
        path = {"PATH": kept.get("PATH", "")}  # ours is for bash
        os.environ.update({**(environment or self.environment), **path})
        try:
            yield
        finally:
            os.chdir(before)
            for name in set(os.environ) - set(kept):
                del os.environ[name]
            os.environ.update(kept)

    def _answer(self, call: Path) -> None:
        words = (call / "words").read_text(encoding="utf-8").split("\0")[:-1]
        environment = _variables((call / "environment").read_text(encoding="utf-8"))
        out, err = io.StringIO(), io.StringIO()
        code: int | str = "it was interrupted"
        began = time.process_time()
        try:
            inside = self.inside(Path((call / "folder").read_text()), environment)
            with inside, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = self.commands[words[0]](words[1:])
        except AssertionError as error:
            code = 1
            err.write(str(error))
        finally:
            (call / "out").write_text(out.getvalue(), encoding="utf-8")
            (call / "err").write_text(err.getvalue(), encoding="utf-8")
            (call / "code").write_text(f"{code}\n")
        # Shown where a test fails.
        sys.stdout.write(f"$ {' '.join(words)} # {time.process_time() - began:.1f} s\n{out.getvalue()}{err.getvalue()}")
        self.calls.append(Call(words, int(code), out.getvalue(), err.getvalue()))

    def _exported(self) -> dict[str, str]:
        """What the block exported, as bash itself reads it."""
        command = f'set -e; source "{self._folder}/exported"; exec {_program("env")} -0'
        shown = subprocess.run([_program("bash"), "-c", command], env={}, capture_output=True, text=True, check=True)
        return _variables(shown.stdout)


def _variables(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in text.split("\0") if each)
    return {name: value for name, _, value in pairs if name not in ("_", "OLDPWD", "PWD", "SHLVL")}


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed"
    return found
