"""The console script `zest`: parse, call, print; and what every command shares when something goes wrong."""

import contextlib
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import tyro

from zest_jax.cli.compare import Compare
from zest_jax.cli.completion import Completion
from zest_jax.cli.console import in_words_of_the_command_line, note, tidy_warnings
from zest_jax.cli.distance import Distance
from zest_jax.cli.doctor import Doctor
from zest_jax.cli.export import Export
from zest_jax.cli.files import UsageError
from zest_jax.cli.paper import Paper
from zest_jax.cli.probes import Probes
from zest_jax.cli.report import Report
from zest_jax.cli.reuse import Reuse
from zest_jax.cli.screen import Screen
from zest_jax.cli.show import Show
from zest_jax.cli.sign import Sign
from zest_jax.cli.sign_all import SignAll
from zest_jax.cli.store import Store
from zest_jax.cli.train import Train
from zest_jax.cli.zoo import Zoo
from zest_jax.errors import WrongUseError, ZestError, missing_extra

DONE, FAILED, WRONG_USE = 0, 1, 2

# Modules that whole rooms of the package need: what to install, and the extra that brings it.
_EXTRAS = {
    "orbax": ("orbax-checkpoint", "train"),
    "optax": ("optax", "train"),
    "filelock": ("filelock", "train"),
    "onnx": ("onnx", "export"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "torch": ("torch", "torch"),
    "tokenizers": ("tokenizers", "text"),
    "lance": ("pylance", "store"),
    "jinja2": ("jinja2", "report"),
}

DESCRIPTION = """Was this model made from that one? Distances between black-box classifiers (Zest, ICLR 2022).

Make probes once, sign every model with them, compare the signatures:

    zest probes photos/ --size 224 -o probes.npz
    zest sign victim.onnx --probes probes.npz -o victim.sig
    zest sign suspect.onnx --probes probes.npz -o suspect.sig
    zest distance victim.sig suspect.sig --unrelated other1.sig other2.sig ...

Keep many signatures in a store, and find those nearest to a suspect:

    zest sign-all models/ --probes probes.npz --store models.store
    zest screen suspect.sig --store models.store --unrelated other1.sig other2.sig ...
    zest report suspect.sig --store models.store --unrelated other1.sig other2.sig ... -o report.html

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 2 wrong use, 1 failure.
`zest COMMAND --help` explains the options of a command; `zest --version` prints the version.

docs/errors.md in the repository has the errors that people meet most, and their cures.
ZEST_DEBUG=1 in the environment, or --debug after a command, shows the traceback of an error."""

Command = (
    Annotated[Probes, tyro.conf.subcommand("probes")]
    | Annotated[Sign, tyro.conf.subcommand("sign")]
    | Annotated[SignAll, tyro.conf.subcommand("sign-all")]
    | Annotated[Distance, tyro.conf.subcommand("distance")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Reuse, tyro.conf.subcommand("reuse")]
    | Annotated[Zoo, tyro.conf.subcommand("zoo")]
    | Annotated[Store, tyro.conf.subcommand("store")]
    | Annotated[Screen, tyro.conf.subcommand("screen")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Paper, tyro.conf.subcommand("paper")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Completion, tyro.conf.subcommand("completion")]
)
_STYLE = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 wrong use, 1 failure while working.

    >>> code = main(["--version"])
    0...
    >>> code
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with interrupts_that_arrive():
            code = _run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        note("interrupted")
        return FAILED
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain once more when it flushes at exit.
        _discard_stdout()
        return FAILED


@contextlib.contextmanager
def interrupts_that_arrive() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C, again a moment later where Python would lose it.

    JAX frees arrays in a callback of the garbage collector, and Python only prints what is raised there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or somebody else's
        yield
        return

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_name == "_xla_gc_callback":
                threading.Timer(0.01, signal.raise_signal, (number,)).start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def parse(arguments: Sequence[str]) -> Any:
    """Read a command and its options. Help, and what cannot be read, end in SystemExit, as tyro has it."""
    return tyro.cli(Command, prog="zest", description=DESCRIPTION, args=arguments, config=_STYLE)


def _run(arguments: list[str]) -> int:
    if arguments[:1] in (["--version"], ["-V"]):
        from zest_jax.version import __version__

        print(__version__)
        return DONE
    try:
        command: Any = parse(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else DONE if stop.code is None else WRONG_USE
    # Commands with subcommands hold the chosen one.
    command = getattr(command, "how", command) if isinstance(command, Reuse) else getattr(command, "what", command)
    debug = command.debug or os.environ.get("ZEST_DEBUG", "") not in ("", "0")
    with tidy_warnings():
        try:
            command.run()
            return DONE
        except BrokenPipeError:
            raise
        except KeyboardInterrupt as interrupt:
            note(f"interrupted{f'; {interrupt}' if str(interrupt) else ''}")
            return FAILED
        except Exception as error:
            if debug:
                traceback.print_exc()
            code, text = _explain(error)
            note(f"error: {in_words_of_the_command_line(text, command)}")
            return code


def _explain(error: Exception) -> tuple[int, str]:
    """Exit code and message of an error, with the notes it was given on its way."""
    # JAX's own, how to see more of its trace, has several lines.
    notes = [told for told in getattr(error, "__notes__", ()) if "\n" not in told]
    text = "; ".join([str(error) or type(error).__name__, *notes])
    if isinstance(error, UsageError | WrongUseError | FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return WRONG_USE, text
    if isinstance(error, ZestError | OSError):
        return FAILED, text
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        return FAILED, str(missing_extra(*extra))
    if isinstance(error, MemoryError):
        return FAILED, f"not enough memory ({text}); lower --batch-size, --limit or the number of probes"
    if isinstance(error, ValueError | TypeError) and _raised_by_us(error):
        return WRONG_USE, text
    return FAILED, f"{type(error).__name__}: {text} (unexpected; --debug shows where)"


def _raised_by_us(error: BaseException) -> bool:
    """Whether the error was raised in this package, which checks arguments, and not in a library below it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return module.partition(".")[0] == "zest_jax"


def _discard_stdout() -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # stdout is no real file, as in tests
        return


if __name__ == "__main__":
    sys.exit(main())
