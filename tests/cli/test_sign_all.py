"""`zest sign-all`: many models into a store, here or by Ray; interrupted, it goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import zest_jax as zj
from zest_jax.screening import Store, verify

pytest.importorskip("lance")
PROGRAM = (
    # A shell that runs the tests in the background hands down a SIGINT that is ignored.
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from zest_jax.cli.main import main; sys.exit(main())"
)
MODELS = """
import os, pathlib, time
def first(): return lambda x: x.mean((1, 2))
def exits(): os._exit(1)
def waits():
    def ask(x):
        pathlib.Path(__file__).with_name("waiting").touch()
        while not pathlib.Path(__file__).with_name("go").exists(): time.sleep(0.02)
        return x.mean((1, 2)) ** 2
    return ask
"""


def names_in(store: str | Path) -> list[str]:
    try:
        return [entry.name for entry in Store.open(store).entries()]
    except FileNotFoundError:
        return []


def wait_for(condition, running: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "sign-all", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_models_come_into_the_store_once(zest, session, here, models, normalise):
    command = ["sign-all", *models.values(), "--probes", session.probes, "--store", "s", *normalise, "--owner", "lab 3"]
    code, out, err = zest(*command)
    assert (code, out) == (0, "")
    assert "signing: 3 of 3 models, " in err
    assert "added 3 to s; " in err
    assert sorted(names_in("s")) == sorted(models)
    assert {entry.metadata.owner for entry in Store.open("s").entries()} == {"lab 3"}
    for name, path in session.signatures.items():
        (stored,) = Store.open("s").load([name])
        np.testing.assert_allclose(stored.weights, zj.Signature.load(path).weights, rtol=1e-6, atol=1e-6)
    code, out, err = zest(*command, "--json")
    assert code == 0
    assert re.search(r"added 0 to s, 3 were there already; \d+ s\n", err)
    found = json.loads(out)
    assert (found["signed"], found["present"], found["failed"]) == (0, 3, 0)
    assert [each["result"] for each in found["models"]] == ["present"] * 3


def test_failures_are_listed_and_the_others_are_stored(zest, session, here, models, normalise):
    (here / "cut.onnx").write_bytes(models["victim"].read_bytes()[:5000])
    command = ["sign-all", models["victim"], "cut.onnx", "--probes", session.probes, "--store", "s", *normalise]
    code, out, err = zest(*command)
    assert code == 1
    assert "error: 1 of 2 models could not be signed (the same command tries it again); the other is in s\n" in err
    assert out.split()[:4] == ["model", "machine", "tries", "error"]
    assert "is a truncated ONNX model" in " ".join(out.split())
    assert names_in("s") == ["victim"]
    code, out, err = zest(*command, "--json", "--debug")
    assert code == 1
    found = json.loads(out)["models"]
    assert [(each["name"], each["result"]) for each in found] == [("victim", "present"), ("cut", "failed")]
    assert "is a truncated ONNX model" in found[1]["error"]
    assert found[1]["model"] == str(here / "cut.onnx")
    assert "Traceback" in err


def test_a_folder_of_models_and_names_after_paths(zest, session, here, models, normalise):
    for lab in ("a", "b"):
        Path(lab).mkdir()
        shutil.copy(models["victim"], f"{lab}/model.onnx")
    command = ["sign-all", "a", "b", "--probes", session.probes, "--store", "s", *normalise, "--no-progress"]
    code, _, err = zest(*command)
    assert code == 2
    assert "would both be called 'model'; in a store names are unique: `--names path` calls" in err
    code, _, err = zest(*command, "--names", "path")
    assert (code, sorted(names_in("s"))) == (0, ["a/model", "b/model"])
    assert "signing" not in err


def test_a_signature_of_other_options_is_not_taken_for_the_model(zest, session, here, models, normalise):
    command = [
        "sign-all",
        models["victim"],
        models["victim"].parent / "victim.onnx",
        "--probes",
        session.probes,
        "--store",
        "s",
    ]
    code, _, err = zest(*command)
    assert code == 0
    assert re.search(r"warning: .*victim.onnx is given twice; it is taken once", err)
    code, out, err = zest(*command, *normalise)
    assert code == 1
    assert "signed with mean none, now 0.485,0.456,0.406; std none, now" in " ".join(out.split())
    assert "under the name of the model s holds something else (trying again does not change that)\n" in err
    assert zest("store", "remove", "s", "victim")[0] == 0
    assert zest(*command, *normalise)[0] == 0


def test_wrong_use(zest, session, here, models, tiny):
    sig, model, probes = session.signatures["victim"], models["victim"], session.probes
    assert zest("probes", session.pool, "-o", "other.npz", *tiny, "--seed", "1")[0] == 0
    assert zest("store", "add", "full", sig)[0] == 0
    for arguments, expected, message in (
        ([], 2, "no model given; name model files, or folders that hold them"),
        ([sig], 2, "is a signature, not a model"),
        (["none.onnx"], 2, "there is no file none.onnx"),
        (["https://host/model"], 2, "is asked over the network"),
        ([model, "--cpus", "2"], 2, "--cpus goes with --ray; without it models are signed here"),
        ([model, "--in-flight", "2"], 2, "--in-flight goes with --ray"),
        ([model, "--timeout", "60"], 2, "--timeout goes with --ray, whose processes can be ended"),
        ([model, "--ray", "--timeout", "0"], 2, "`--timeout` is 0.0; give the seconds that a model may take, above 0"),
        ([model, "--ray", "--cpus", "0"], 2, "`--cpus` is 0.0; give the CPUs of one model, above 0"),
        (["--ray", model], 2, "names an address, not a model; write the models before --ray"),
        ([model, "--ray", "nonsense"], 2, "'nonsense' is no address of a Ray cluster; give HOST:PORT of its head"),
        ([model, "--ray", "ray://host:10001"], 2, "ray://host:10001 is an address of Ray Client"),
        ([model, "--ray", "127.0.0.1:1"], 1, "nothing answers at 127.0.0.1:1"),
        (
            [model, "--store", "full", "--probes", "other.npz"],
            2,
            "give the probe set of the store, or name another store",
        ),
        ([model, "--store", "full", "--ridge", "1"], 2, "fitted with ridge 0.0, not 1.0 as for victim"),
        ([model, "--owner", ""], 2, "`--owner` is ''; give 1 to 200 printable characters"),
    ):
        code, out, err = zest("sign-all", "--probes", probes, "--store", "s", *arguments)
        assert (code, out) == (expected, ""), (arguments, err)
        assert message in " ".join(err.split()), (arguments, err)
    assert (
        "connecting to 127.0.0.1:1 (up to 20 s)"
        in zest("sign-all", model, "--probes", probes, "--store", "s", "--ray", "127.0.0.1:1")[2]
    )
    assert not Path("s").exists()


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise on Windows")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_process_has_stored_what_was_finished(zest, session, here, how):
    name = f"ended_{how.name}".lower()
    (here / f"{name}.py").write_text(MODELS)
    command = [f"{name}:first", f"{name}:waits", "--probes", session.probes, "--store", "s", "--batch-size", "16"]
    running = start(*command)
    wait_for(lambda: Path("waiting").exists(), running)
    running.send_signal(how)
    _, err = running.communicate(timeout=60)
    assert names_in("s") == [f"{name}:first"]
    if how == signal.SIGINT:
        assert running.returncode == 1
        assert "interrupted; 1 model was added to s; run the same command again to go on" in err
        assert "Traceback" not in err
    Path("go").touch()
    code, _, err = zest("sign-all", *command)
    assert code == 0
    assert "added 1 to s, 1 was there already" in err
    assert names_in("s") == [f"{name}:first", f"{name}:waits"]


@pytest.mark.slow
def test_a_ray_of_its_own_leaves_nothing_behind(session, here, models, normalise):
    pytest.importorskip("ray")
    (here / "own_ray.py").write_text(MODELS)
    home = tempfile.mkdtemp(prefix="zest-", dir="/tmp")
    try:
        # As a Ray that ran in this process before has left it; there is no token yet.
        environment = {"TMPDIR": home, "HOME": home, "RAY_AUTH_MODE": "token"}
        command = ["own_ray:first", "own_ray:exits", "--probes", session.probes, "--store", "s", "--ray", "--json"]
        running = start(*command, "--tries", "1", **environment)
        out, err = running.communicate(timeout=120)
        assert running.returncode == 1, err
        # What Ray prints of the dead process is not among the results.
        found = {each["name"]: each for each in json.loads(out)["models"]}
        assert found["own_ray:first"]["result"] == "signed"
        assert found["own_ray:exits"]["error"].startswith("its process died once")
        assert "Traceback" not in err

        assert not list(Path(home).glob("zest-ray-*"))
        assert not (Path(home) / ".ray").exists()
        if Path("/proc").is_dir():
            assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if home.encode() in read(p)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert list(verify(Store.open("s"))) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, ("token", 64)),
        ({"RAY_AUTH_MODE": "token"}, ("token", 64)),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "mine"}, ("token", 4)),
        ({"RAY_AUTH_MODE": "disabled"}, ("disabled", 0)),
    ],
)
def test_a_ray_of_its_own_has_a_token_unless_that_is_switched_off(monkeypatch, before, after):
    from zest_jax.cli.sign_all import _ray_kept_quiet

    environment = dict(before)
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with _ray_kept_quiet(local=True):
        assert (environment["RAY_AUTH_MODE"], len(environment.get("RAY_AUTH_TOKEN", ""))) == after


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_page_names_options_and_functions_that_exist(zest):
    import ast

    import zest_jax.many

    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    _, shown, _ = zest("sign-all", "--help")
    # Those of `ray start`; flags of XLA have underscores.
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+\b", page)) - {"--head", "--port", "--address"} <= set(
        re.findall(r"--[a-z][a-z-]+", shown)
    )
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    for node in ast.parse(block).body:
        if isinstance(node, ast.ImportFrom) and node.module == "zest_jax.many":
            assert {name.name for name in node.names} <= set(zest_jax.many.__all__)
