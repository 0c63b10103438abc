"""`zest sign`: models in, signatures out, and what an interrupt leaves behind."""

import os
import pickle  # noqa: TID251  made here, to be refused
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import zest_jax as zj


def test_signature_is_that_of_the_library(session, models):
    box = zj.load_model(models["victim"], mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    expected = zj.sign(box, zj.ProbeSet.load(session.probes))
    found = zj.Signature.load(session.signatures["victim"])
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-4, atol=1e-5)
    assert found.label == "victim"
    assert not list(session.folder.glob("*.partial"))


def test_everything_but_the_file_goes_to_stderr(zest, session, here, models, normalise):
    command = ["sign", models["victim"], "--probes", session.probes, "-o", "v.sig", *normalise]
    code, out, err = zest(*command, "--label", "mine", "--no-progress")
    assert (code, out) == (0, "")
    assert "mine: " in err
    assert "layout NCHW" in err
    assert "wrote v.sig: 10 classes (logits), 36 weights per class, R2 of the linear fits 0." in err
    assert zj.Signature.load("v.sig").label == "mine"
    assert [path.name for path in here.iterdir()] == ["v.sig"]


def test_class_names_and_solve_options(zest, session, here, models, normalise):
    (here / "names.txt").write_text("\n".join(f"class {i}" for i in range(10)) + "\n")
    command = ["sign", models["victim"], "--probes", session.probes, "-o", "v.sig", *normalise]
    assert zest(*command, "--class-names", "names.txt", "--ridge", "0.5", "--intercept", "--model-output", "0")[0] == 0
    signature = zj.Signature.load("v.sig")
    assert signature.class_names == tuple(f"class {i}" for i in range(10))
    assert signature.settings["solve"]["ridge"] == 0.5
    assert signature.intercept is not None
    (here / "names.txt").write_text("one\ntwo\n")
    code, _, err = zest(*command, "--class-names", "names.txt")
    assert code == 2
    assert "10 outputs but 2 class names" in err


def test_mix_ups_are_explained(zest, session, here, models):
    sig, probes, model = session.signatures["victim"], session.probes, models["victim"]
    for arguments, expected, message in (
        ([sig, "--probes", probes, "-o", "x.sig"], 2, "is a signature, not a model; to compare signatures"),
        ([probes, "--probes", probes, "-o", "x.sig"], 2, "is a probe set, not a model; pass it with --probes"),
        ([model, "--probes", sig, "-o", "x.sig"], 2, "is a signature, not a probe set"),
        ([model, "--probes", model, "-o", "x.sig"], 2, "cannot be read as a probe set"),
        ([model, "--probes", "none.npz", "-o", "x.sig"], 2, "there is no file none.npz; make it with `zest probes"),
        (["none.onnx", "--probes", probes, "-o", "x.sig"], 2, "there is no file none.onnx"),
        ([model, "--probes", probes, "-o", probes], 2, "is the probe set itself"),
        ([model, "--probes", probes, "-o", "no/x.sig"], 2, "the folder no does not exist"),
        (["no.module:build", "--probes", probes, "-o", "x.sig"], 2, "there is no Python module 'no.module'"),
        ([model, "--probes", probes, "-o", "x.sig", "--device", "cpu"], 2, "device cannot be set for"),
        ([model, "--probes", probes, "-o", "x.sig", "--batch-size", "0"], 2, "`--batch-size` is 0"),
        ([model, "--probes", probes, "-o", "x.sig", "--model-output", "5"], 2, "output"),
        ([model, "--probes", probes, "-o", "x.sig", "--label", "a" * 461], 2, "`--label` is 'aaaa"),
        (
            [model, "--probes", probes, "-o", "x.sig", "--label", "a\n"],
            2,
            r"`--label` is 'a\n'; give 1 to 200 printable",
        ),
    ):
        code, out, err = zest("sign", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err
        assert "Traceback" not in err
    assert list(here.iterdir()) == []


def test_a_file_whose_name_no_store_takes_needs_a_label(zest, session, here, models, normalise):
    shutil.copy(models["victim"], "victim\t.onnx")
    command = ["sign", "victim\t.onnx", "--probes", session.probes, "-o", "x.sig", *normalise]
    code, _, err = zest(*command)
    assert code == 2
    assert r"`--label` is 'victim\t'; give 1 to 200 printable characters" in err
    assert "signing" not in err
    assert zest(*command, "--label", "victim")[0] == 0


def test_truncated_files_are_failures(zest, session, here, models):
    for source, name in ((session.probes, "p.npz"), (models["victim"], "m.onnx")):
        (here / name).write_bytes(source.read_bytes()[:5000])
    code, _, err = zest("sign", models["victim"], "--probes", "p.npz", "-o", "x.sig")
    assert code == 1
    assert "p.npz cannot be read as a probe set" in err
    code, _, err = zest("sign", "m.onnx", "--probes", session.probes, "-o", "x.sig")
    assert code == 1
    assert "m.onnx is a truncated ONNX model" in err


def test_pickles_are_refused(zest, session, here):
    pytest.importorskip("torch")
    with open("model.pkl", "wb") as file:
        pickle.dump({"a": 1}, file)
    code, _, err = zest("sign", "model.pkl", "--probes", session.probes, "-o", "x.sig")
    assert code == 1
    assert "model.pkl" in err
    assert "--trust" in err


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("np.full((len(x), 3), np.nan)", "NaN or infinity"),
        ("x.mean((1, 2)) + np.random.rand()", "not deterministic"),
        ("x", r"\[64, classes\]|rows|not one array"),
    ],
)
def test_unusable_answers_are_failures(zest, session, here, body, message):
    name = f"bad{abs(hash(body))}"
    (here / f"{name}.py").write_text(f"import numpy as np\n\ndef make():\n    return lambda x: {body}\n")
    code, out, err = zest("sign", f"{name}:make", "--probes", session.probes, "-o", "x.sig")
    assert (code, out) == (1, "")
    assert re.search(message, err), err
    assert not (here / "x.sig").exists()
    assert not list(here.glob(".*"))


def test_constant_outputs_are_told_and_have_no_distance(zest, session, here):
    (here / "constant_model.py").write_text(
        "import numpy as np\n\ndef make():\n    return lambda x: np.ones((len(x), 10), np.float32)\n"
    )
    code, _, err = zest("sign", "constant_model:make", "--probes", session.probes, "-o", "c.sig")
    assert code == 0
    assert "warning:" in err
    assert "same outputs whatever was masked" in err
    code, _, err = zest("distance", "c.sig", session.signatures["victim"])
    assert code == 1
    assert "says nothing about the model" in err


SLOW_MODEL = """
import os, signal
import numpy as np

asked = 0

def make():
    def slow(x):
        global asked
        asked += len(x)
        if asked > int(os.environ.get("STOP_AFTER", "1000000")):
            raise KeyboardInterrupt
        return x.reshape(len(x), -1)[:, ::97].astype(np.float32)
    return slow
"""


@pytest.fixture
def many_probes(zest, session, here):
    """48 references, enough for a checkpoint to hold some of them."""
    with np.load(session.pool) as pool:
        images = np.concatenate([pool["images"], pool["images"][:, ::-1], pool["images"][:, :, ::-1]])
    np.savez(here / "many.npz", images=images)
    grid = ["--segmenter", "grid", "--segmenter-settings", "rows=2,columns=2"]
    assert zest("probes", "many.npz", "-o", "p.npz", "--n-references", "48", "--n-samples", "40", *grid)[0] == 0
    return here / "p.npz"


def test_interrupted_run_leaves_nothing_half_written_and_is_continued(zest, here, many_probes, monkeypatch):
    (here / "slow_model.py").write_text(SLOW_MODEL)
    n_queries = zj.ProbeSet.load(many_probes).n_queries
    command = ["sign", "slow_model:make", "--probes", many_probes, "--batch-size", "16", "-o"]
    assert zest(*command, "whole.sig")[0] == 0
    slow_model: Any = sys.modules["slow_model"]

    monkeypatch.setenv("STOP_AFTER", str(n_queries * 3 // 4))
    slow_model.asked = 0
    code, out, err = zest(*command, "x.sig")
    assert (code, out) == (1, "")
    assert "interrupted; what is done so far is in x.sig.partial: run the same command again to go on from there" in err
    assert not (here / "x.sig").exists()

    code, _, err = zest("show", "x.sig.partial")
    assert code == 2
    assert "checkpoint of an unfinished `zest sign`" in err

    monkeypatch.delenv("STOP_AFTER")
    slow_model.asked = 0
    code, _, err = zest(*command, "x.sig")
    assert code == 0
    assert "going on from x.sig.partial" in err
    assert slow_model.asked < n_queries * 3 // 4
    np.testing.assert_array_equal(zj.Signature.load("x.sig").weights, zj.Signature.load("whole.sig").weights)
    names = {path.name for path in here.iterdir()} - {"__pycache__"}
    assert names == {"many.npz", "p.npz", "slow_model.py", "whole.sig", "x.sig"}


def test_interrupt_before_anything_is_done_says_so(zest, here, many_probes, monkeypatch):
    (here / "slow_model2.py").write_text(SLOW_MODEL)
    monkeypatch.setenv("STOP_AFTER", "40")
    code, _, err = zest("sign", "slow_model2:make", "--probes", many_probes, "--batch-size", "16", "-o", "x.sig")
    assert code == 1
    assert "interrupted; nothing was written" in err
    assert not list(here.glob("x.sig*"))


def test_partial_of_another_run_is_not_continued(zest, here, session, many_probes, monkeypatch):
    (here / "slow_model3.py").write_text(SLOW_MODEL)
    monkeypatch.setenv("STOP_AFTER", str(zj.ProbeSet.load(many_probes).n_queries * 3 // 4))
    command = ["sign", "slow_model3:make", "--batch-size", "16", "-o", "x.sig", "--probes"]
    assert zest(*command, many_probes)[0] == 1
    code, _, err = zest(*command, session.probes)
    assert code == 2
    assert "x.sig.partial belongs to another run" in err


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise on Windows")
def test_a_real_ctrl_c_ends_a_real_process_cleanly(here, session):
    (here / "sleepy.py").write_text(
        "import pathlib, time\n\ndef make():\n    def ask(x):\n        pathlib.Path('started').touch()\n"
        "        time.sleep(0.2)\n        return x.mean((1, 2))\n    return ask\n"
    )
    # A shell that runs the tests in the background hands down a SIGINT that is ignored.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from zest_jax.cli.main import main; sys.exit(main())"
    )
    arguments = ["sign", "sleepy:make", "--probes", str(session.probes), "-o", "x.sig", "--batch-size", "1"]
    running = subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (here / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "interrupted; nothing was written" in err
    assert "Traceback" not in err
    assert {path.name for path in here.iterdir()} <= {"sleepy.py", "started", "__pycache__"}
