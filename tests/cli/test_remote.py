"""`zest sign https://...`: cost first, nothing paid for twice, and what is said when something is wrong."""

import inspect
import os
import signal
import subprocess
import sys
import typing

import numpy as np
import pytest
from serving import WEIGHTS, linear, serving
from worlds import make_probes

import zest_jax as zj
from zest_jax.blackbox.http.encoding import Encoding
from zest_jax.blackbox.http.protocols import ProtocolName
from zest_jax.blackbox.http.scores import Answers
from zest_jax.cli.remote import RemoteOptions

TEMPLATES = ["--request", '{"inputs": "$inputs"}', "--answer", '{"scores": "$outputs"}']


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture
def server():
    with serving(linear) as running:
        yield running


@pytest.fixture
def probes(here):
    made = make_probes(n=5, samples=40)
    made.save(here / "p.npz")
    return made


@pytest.fixture
def command(server, probes):
    return ["sign", server.url(), "--probes", "p.npz", "-o", "x.sig", "--batch-size", "16", *TEMPLATES]


@pytest.fixture(scope="session")
def expected():
    box = zj.from_callable(lambda x: x.reshape(len(x), -1) @ WEIGHTS)
    return zj.sign(box, make_probes(n=5, samples=40), batch_size=16)


def close(found, expected):
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-5, atol=1e-5 * np.abs(expected.weights).max())


def test_cost_first_then_a_signature_and_a_journal(zest, here, server, probes, command, expected):
    code, out, err = zest(*command, "--budget", "500", "--dry-run")
    assert (code, out) == (0, "")
    line = f"asks at most {probes.n_queries + 32} inputs (32 of them to check that it is deterministic)"
    assert line in err
    assert server.posts == []
    assert not (here / "x.sig").exists()

    code, out, err = zest(*command, "--budget", "500", "--label", "suspect", "--no-progress")
    assert (code, out) == (0, "")
    assert err.index(line) < err.index("wrote x.sig")
    assert "protocol template" in err
    assert f"suspect: {server.asked} inputs sent so far in {len(server.posts)} requests, 0 of them repeated; " in err
    assert "answers are kept in x.sig.journal" in err
    close(zj.Signature.load("x.sig"), expected)
    assert {path.name for path in here.iterdir()} == {"p.npz", "x.sig", "x.sig.journal"}

    asked = server.asked
    code, _, err = zest(*command, "--budget", "500", "--ridge", "0.5")
    assert code == 0
    assert "asks 0 inputs in 0 requests" in err
    assert server.asked == asked
    code, out, _ = zest("show", "x.sig")
    assert code == 0
    assert "template" in out


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_kill_9_loses_no_answer(zest, here, server, probes, command, expected):
    """The server kills the client that asks request 9: what was answered before must never be asked again."""
    program = "import sys; from zest_jax.cli.main import main; sys.exit(main())"
    more = ["--in-flight", "1", "--inputs-per-request", "5", "--budget", "1000"]
    running = subprocess.Popen([sys.executable, "-c", program, *command, *more], stderr=subprocess.PIPE, text=True)
    server.before_answer = lambda number: number == 9 and os.kill(running.pid, signal.SIGKILL)
    _, err = running.communicate(timeout=300)
    assert running.returncode == -signal.SIGKILL, err
    assert len(server.posts) == 9
    paid = sum(len(seen.inputs) for seen in server.posts[:8])
    sent = sum(len(seen.inputs) for seen in server.posts)
    assert not (here / "x.sig").exists()
    # The answer to the ninth may have left, but nobody was there.
    server.posts[8].answered = False

    code, _, err = zest(*command, *more)
    assert code == 0, err
    assert f"budget 1,000 inputs, {sent} spent" in err
    close(zj.Signature.load("x.sig"), expected)
    # But for the checks, which ask the first batch twice more, and were done before the kill or after it.
    repeats = sum(count - 1 for count in server.answered.values())
    assert repeats == 32
    assert f"suspect: {sent}" not in err
    assert f"{server.asked} inputs sent so far" in err
    assert paid + sum(len(seen.inputs) for seen in server.posts[9:]) == sum(server.answered.values())


def test_failures_say_where_the_answers_are(zest, here, server, command):
    server.fault = lambda n: 403 if n == 3 else None
    code, out, err = zest(*command, "--in-flight", "1", "--inputs-per-request", "8", "--header", "X-Team: blue")
    assert (code, out) == (1, "")
    assert "refused the request with status 403 Forbidden, 'not now'" in err
    assert "what was answered so far is in x.sig.journal; the same command goes on from there" in err
    assert server.posts[0].headers["X-Team"] == "blue"
    assert "Traceback" not in err


def test_wrong_use_is_explained(zest, here, session, server, probes, command, models):
    url = server.url()
    base = ["--probes", "p.npz", "-o", "x.sig"]
    for arguments, expected, message in (
        ([*command[1:], "--budget", "10"], 1, "does not buy one reference with all its masks"),
        ([*command[1:], "--budget", "110"], 1, "(`--no-check` saves 32), or give `--budget"),
        ([url, *base], 2, "does not tell how it is asked"),
        ([url, *base, "--request", "{", "--answer", "[]"], 2, "`--request` is no JSON"),
        ([url, *base, "--request", "@none.json", "--answer", "@none.json"], 2, "there is no file none.json"),
        ([*command[1:], "--header", "Authorization: Bearer sk-123456"], 2, "holds its secret in the open"),
        ([*command[1:], "--header", "sk-123456"], 2, "has no NAME: VALUE form"),
        ([*command[1:], "--journal", "p.npz"], 1, "p.npz is no journal, or damaged"),
        ([*command[1:], "--device", "cpu"], 2, "device cannot be set for a remote model"),
        ([*command[1:], "--factory", "a:b"], 2, "leave out `--factory`"),
        ([models["victim"], *base, "--in-flight", "3"], 2, "in_flight cannot be set for an ONNX model"),
        (["https://me:sk-123456@host.example/predictions/m", *base], 2, "holds a name or password"),
        (["https://me:sk-123456@host.example:99999/predictions/m", *base], 2, "holds a name or password"),
        (["https://host.example/predictions/m?code=sk-123456", *base], 2, "sounds like a secret"),
        (
            [url, *base, "--request", '{"key": "sk-123456", "x": "$inputs"}', "--answer", "[]"],
            2,
            "sounds like a secret",
        ),
    ):
        code, out, err = zest("sign", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in err, (message, err)
        assert "sk-123456" not in err
        assert "Traceback" not in err
    assert server.posts == []
    assert not (here / "x.sig").exists()


def test_compare_asks_a_remote_and_a_local_model(zest, here, server, probes, models):
    (here / "local_twin.py").write_text(
        "import numpy as np\n"
        "weights = np.random.default_rng(1).normal(size=(8 * 8 * 3, 4)).astype(np.float32)\n"
        "def make():\n    return lambda x: x.reshape(len(x), -1) @ weights\n"
    )
    arguments = ["local_twin:make", server.url(), "--probes", "p.npz", *TEMPLATES]
    code, _, err = zest("compare", *arguments)
    assert code == 2
    assert "name a file for its answers with `--journal`" in err
    code, out, err = zest("compare", *arguments, "--journal", "j", "--json")
    assert code == 0, err
    assert '"distance": ' in out
    assert abs(float(out.split('"distance": ')[1].split(",")[0])) < 1e-5
    assert "answers are kept in j" in err
    code, _, err = zest("sign", "j", "--probes", "p.npz", "-o", "x.sig")
    assert code == 2
    assert "the journal of a remote model?" in err


def test_choices_and_defaults_are_those_of_the_package():
    hints = typing.get_type_hints(RemoteOptions)
    for name, library in (("protocol", ProtocolName), ("encoding", Encoding), ("answers", Answers)):
        (choices,) = (part for part in typing.get_args(hints[name]) if part is not type(None))
        assert {*typing.get_args(choices), "auto"} == set(typing.get_args(library)), name
    source, defaults = inspect.getsource(RemoteOptions), inspect.signature(zj.from_http).parameters
    for name in ("inputs_per_request", "in_flight", "timeout", "attempts", "longest_wait", "verify"):
        told = source.split(f"    {name}: ")[1].split("(default: ")[1].split(")")[0]
        assert float(told) == defaults[name].default, name


def test_texts_take_the_modality_of_the_probes(zest, here):
    from worlds import REVIEWS

    zj.text_probes(REVIEWS, 3, 20).save(here / "t.npz")
    (here / "request.json").write_text('{"inputs": "$inputs"}')
    with serving(lambda texts: [[text.count("good"), len(text)] for text in texts]) as server:
        arguments = ["--request", "@request.json", "--answer", '{"scores": "$outputs"}', "-o", "t.sig"]
        code, _, err = zest("sign", server.url(), "--probes", "t.npz", *arguments)
    assert code == 0, err
    assert zj.Signature.load("t.sig").settings["modality"] == "text"
