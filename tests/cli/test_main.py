"""What all commands share: help, exit codes, where things are printed, how errors look."""

import dataclasses
import inspect
import os
import re
import subprocess
import sys
import typing
import warnings

import jax
import numpy as np
import pytest

import zest_jax
import zest_jax.distances
from zest_jax.alignment import AlignMethod
from zest_jax.alignment import Metric as LibraryMetric
from zest_jax.asking import Mode
from zest_jax.cli import options, pools
from zest_jax.cli.main import Command, main
from zest_jax.data.reading import Color
from zest_jax.data.sound_set import Channels
from zest_jax.probes import segment_sounds, segment_texts
from zest_jax.probes.segmentation import segmentation_settings
from zest_jax.references import ReferenceMethod
from zest_jax.signing import Targets
from zest_jax.solving import SolveSettings

COMMANDS = ["probes", "sign", "sign-all", "distance", "compare", "show", "screen", "report"]


def process(*arguments, **kwargs):
    command = [
        sys.executable,
        "-c",
        "import sys; from zest_jax.cli.main import main; sys.exit(main())",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **kwargs)


def test_version(zest):
    assert zest("--version") == (0, zest_jax.__version__ + "\n", "")


def test_help_names_every_command_and_the_exit_codes(zest):
    code, out, err = zest("--help")
    assert code == 0
    assert err == ""
    assert all(f"• {command}" in out for command in COMMANDS)
    assert "Exit codes: 0 done, 2 wrong use, 1 failure" in " ".join(out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_with_its_default(zest, command):
    code, out, err = zest(command, "--help")
    assert code == 0
    assert err == ""
    entries = [line for line in out.replace("│", "").splitlines() if line.strip().startswith("-")]
    assert len(entries) > 5
    text = " ".join(out.replace("│", "").split())
    for entry in entries:
        option = [word for word in entry.split() if word.startswith("--")][-1].rstrip(",")
        if option != "--help":
            explanation = text.rpartition(f"{option} ")[2]
            assert "(" in explanation[:600], option
    # Help that tyro makes up itself, or a default that reads like Python, would be our oversight.
    assert "None" not in out
    assert "default: False" not in out
    assert "default: True" not in out


def fields_of(kind: type) -> typing.Iterator[tuple[type, str]]:
    for field in dataclasses.fields(kind):
        inner = typing.get_type_hints(kind)[field.name]
        subcommands = [part for part in typing.get_args(inner) if dataclasses.is_dataclass(part)]
        for part in subcommands:
            yield from fields_of(typing.cast(type, part))
        if subcommands:
            continue
        yield kind, field.name
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            yield from fields_of(inner)


def test_every_option_has_a_help_text():
    for command in typing.get_args(Command):
        for owner, name in fields_of(typing.get_args(command)[0]):
            sources = [inspect.getsource(base) for base in owner.__mro__ if base is not object]
            found = [source.partition(f"    {name}: ")[2] for source in sources]
            assert any(found), (owner, name)
            # A subclass that changes a default keeps the text.
            if (
                name not in ("probe", "pool", "how", "remote", "solve", "comparison", "data", "where", "noted")
                or owner.__name__ == "TrainingData"
            ):
                assert any('"""' in after.partition("\n\n")[0] for after in found), (owner, name)


def test_choices_are_those_of_the_package():
    hints = {
        pools.PoolOptions: {"color": Color, "channels": Channels},
        pools.ProbeOptions: {"references": ReferenceMethod},
        options.SolveOptions: {"mode": Mode, "targets": Targets},
    }
    for kind, expected in hints.items():
        for name, library in expected.items():
            assert set(typing.get_args(typing.get_type_hints(kind)[name])) == set(typing.get_args(library)), name
    assert set(typing.get_args(options.Metric)) == set(typing.get_args(LibraryMetric))
    assert set(typing.get_args(options.Align)) == set(typing.get_args(AlignMethod))
    cutters = {
        "image": lambda: segmentation_settings("knife"),
        "text": lambda: segment_texts(["a"], "knife"),  # pyright: ignore[reportArgumentType]
        "audio": lambda: segment_sounds(np.zeros((1, 9)), 8000, method="knife"),
    }
    for modality, cut in cutters.items():
        with pytest.raises(ValueError, match="unknown") as caught:
            cut()
        known = set(re.findall(r"'([\w-]+)'", str(caught.value))) - {"knife"}
        assert set(pools.SEGMENTERS[modality]) == known
    chosen = typing.get_type_hints(pools.ProbeOptions)["segmenter"]
    assert set(typing.get_args(chosen)) == {"auto", *(name for names in pools.SEGMENTERS.values() for name in names)}
    underdetermined = typing.get_type_hints(SolveSettings)["underdetermined"]
    assert typing.get_type_hints(options.SolveOptions)["underdetermined"] == underdetermined


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["probes"],
        ["probes", "images", "-o", "x.npz", "--bogus", "1"],
        ["probes", "images", "-o", "x.npz", "--n-references", "many"],
        ["probes", "images", "-o", "x.npz", "--segmenter", "knife"],
        ["probes", "images", "-o", "x.npz", "--size", "0"],
        ["probes", "images", "-o", "x.npz", "--fill", "1,2,3"],
        ["probes", "images", "-o", "x.npz", "--segmenter-settings", "rows"],
        ["sign", "model.onnx", "-o", "x.sig"],
        ["sign", "model.onnx", "--probes", "p.npz", "-o", "x.sig", "--mean", "a,b"],
        ["sign", "model.onnx", "--probes", "p.npz", "-o", "x.sig", "--value-range", "1,0"],
        ["distance"],
        ["show"],
    ],
)
def test_wrong_use_exits_with_2_and_says_so_on_stderr(zest, here, arguments):
    code, out, err = zest(*arguments)
    assert code == 2
    assert out == ""
    assert err.strip()
    assert "Traceback" not in err


def test_debug_shows_the_traceback(zest, here, monkeypatch):
    missing = ["distance", "a.sig", "b.sig"]
    assert "Traceback" not in zest(*missing)[2]
    assert "Traceback" in zest(*missing, "--debug")[2]
    monkeypatch.setenv("ZEST_DEBUG", "1")
    code, _, err = zest(*missing)
    assert code == 2
    assert "Traceback" in err
    assert "error: there is no file a.sig; make it with `zest sign" in err


def test_unexpected_errors_are_failures_not_wrong_use(zest, session, monkeypatch):
    def broken(*_, **__):
        return int("x")

    def library(*_, **__):
        return typing.get_type_hints(0)

    for raised in (broken, library):
        monkeypatch.setattr(zest_jax.distances, "distance_matrix", raised)
        code, out, err = zest("distance", *session.signatures.values())
        assert (code, out) == (1, "")
        assert "unexpected; --debug shows where" in err


def test_notes_of_an_error_are_told(zest, session, monkeypatch):
    def broken(*_, **__):
        error = ValueError("nothing there")
        error.add_note("while reading image 2 of 3")
        raise error

    monkeypatch.setattr(zest_jax.distances, "distance_matrix", broken)
    _, _, err = zest("distance", *session.signatures.values())
    assert "nothing there; while reading image 2 of 3" in err


def test_how_to_see_more_of_jax_s_trace_is_not_told(zest, session, monkeypatch):
    monkeypatch.setattr(zest_jax.distances, "distance_matrix", lambda *_, **__: jax.jit(lambda x: x[:, 0])(1.0))
    _, _, err = zest("distance", *session.signatures.values())
    assert "Too many indices" in err
    assert "JAX_TRACEBACK_FILTERING" not in err


def test_a_library_that_only_a_factory_needs_is_named_with_its_extra(zest, session, here, monkeypatch):
    (here / "needs_torch.py").write_text("import torch\ndef build(): return torch.nn.Identity()\n")
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = zest("sign", "needs_torch:build", "--probes", session.probes, "-o", "x.sig")
    assert code == 1
    assert 'torch is not installed; install it with `pip install "zest_jax[torch]"`' in err


def test_running_out_of_memory_is_a_failure_with_advice(zest, session, monkeypatch):
    def hungry(*_, **__):
        raise MemoryError("1 TiB")

    monkeypatch.setattr(zest_jax.distances, "distance_matrix", hungry)
    code, _, err = zest("distance", *session.signatures.values())
    assert code == 1
    assert "not enough memory (1 TiB)" in err


def test_warnings_are_one_line_each(zest, session, monkeypatch):
    def warn(*_, **__):
        warnings.warn("first line\nsecond line", stacklevel=1)
        raise OSError("disk full")

    monkeypatch.setattr(zest_jax.distances, "distance_matrix", warn)
    code, _, err = zest("distance", *session.signatures.values())
    assert code == 1
    assert err == "warning: first line second line\nerror: disk full\n"


def test_closed_pipe_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    program = "import sys; from zest_jax.cli.main import main; sys.exit(main())"
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", program, "--help"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == ""


def test_a_real_process_keeps_stdout_for_the_result(session):
    done = process("distance", *session.signatures.values(), "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")
    assert done.stderr == ""
    wrong = process("distance", session.probes, session.probes)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: ")


def test_main_returns_and_does_not_exit():
    assert main(["sign", "--help"]) == 0
    assert main(["sign"]) == 2


def test_the_paper_is_measured_in_a_clone_of_the_repository(zest, here):
    code, _, err = zest("paper", "all")
    assert code == 2
    assert "zest paper runs in a clone of the repository, where benchmarks/paper is" in err


@pytest.mark.parametrize("command", ["probes", "sign", "compare", "show"])
def test_help_does_not_speak_of_images_alone(zest, command):
    code, out, _ = zest(command, "--help")
    assert code == 0
    words = " ".join(out.replace("│", " ").split())
    for match in re.finditer("super-pixels", words):
        around = words[match.start() - 40 : match.end() + 40]
        assert "super-pixels, words or" in around or "Images: how many are cut into super-pixels" in around
    for alone in ("the whole image", "every pixel before", "IMAGES"):
        assert alone not in words
