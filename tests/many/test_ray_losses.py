"""Models, nodes, the driver that die or hang while models are signed on a real Ray cluster: nothing lost, nothing doubled."""

import _thread
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from zest_jax.errors import ClusterError
from zest_jax.many import PlainLoop, RayTasks, Signed, sign_all
from zest_jax.screening import Store, verify

pytest.importorskip("lance")
pytest.importorskip("ray")
pytestmark = pytest.mark.slow


FAILING = """
import ctypes, os, pathlib
def begun(name):
    with open(pathlib.Path(__file__).with_suffix(".txt"), "a") as file: file.write(name + "\\n")
def exits():
    begun("exits")
    os._exit(1)
def crashes():
    begun("crashes")
    ctypes.string_at(0)
def terminated():
    begun("terminated")
    os.kill(os.getpid(), 15)
    while True: pass
def raises():
    begun("raises")
    def ask(x): raise RuntimeError("no such table")
    return ask
def constant(): return lambda x: x.mean((1, 2)) * 0 + 1
def threads():
    begun(os.environ["OMP_NUM_THREADS"] + os.environ["NPROC"] + os.environ["ZEST_CORES"])
    return lambda x: x.mean((1, 2))
"""


def test_poisonous_models_are_skipped_and_told_of(ray, tmp_path, probes, real, module):
    make = module("failing", FAILING)
    failing = ("exits", "terminated", "raises", "crashes", "constant")
    jobs = [*map(make, failing), *real, make("threads")]
    said = []
    with pytest.warns(UserWarning, match="constant: .*:constant gave the same outputs whatever was masked"):
        found = sign_all(jobs, probes, tmp_path / "s", by=RayTasks(crashes=2), say=said.append)
    assert {failed.job.name: failed.tries for failed in found.failed} == {
        "exits": 2, "terminated": 2, "raises": 1, "crashes": 2, "constant": 1
    }  # fmt: skip
    errors = {failed.job.name: failed.error for failed in found.failed}
    assert (
        errors["exits"]
        == errors["crashes"]
        == errors["terminated"]
        == ("its process died 2 times (a segmentation fault, no memory, or it ended itself); it is skipped")
    )
    assert "RuntimeError: no such table" in errors["raises"]
    assert all(failed.where for failed in found.failed if failed.job.name != "exits")
    assert "says nothing about the model" in errors["constant"]
    assert "crashes: its process died; it is tried again at the end (1 of 2)" in said
    assert sorted(entry.name for entry in Store.open(tmp_path / "s").entries()) == sorted(
        [*(job.name for job in real), "threads"]
    )
    begun = next(tmp_path.glob("failing*.txt")).read_text().split()
    assert sorted(begun) == ["111", *2 * ["crashes"], *2 * ["exits"], "raises", *2 * ["terminated"]]


HANGING = """
import ctypes, pathlib, time
def begun(name):
    with open(pathlib.Path(__file__).with_suffix(".txt"), "a") as file: file.write(name + "\\n")
def sleeps():
    begun("sleeps")
    def ask(x): time.sleep(600)
    return ask
def holds():
    begun("holds")
    # Holding the lock of Python, so that no thread or handler of signals could end it.
    ctypes.PyDLL(None).sleep(600)
"""


def test_models_that_hang_are_ended_and_the_others_signed(ray, tmp_path, probes, real, module):
    make = module("hanging", HANGING)
    found = sign_all([make("sleeps"), make("holds"), *real], probes, tmp_path / "s", by=RayTasks(timeout=15))
    assert [(failed.job.name, failed.tries) for failed in found.failed] == [("sleeps", 1), ("holds", 1)]
    for failed in found.failed:
        assert failed.error == "it was not signed after 15 s, so its process was ended; it is skipped"
        assert failed.where
    assert sorted(done.name for done in found.done) == sorted(job.name for job in real)
    assert sorted(next(tmp_path.glob("hanging*.txt")).read_text().split()) == ["holds", "sleeps"]


# Models that write down where they are asked, and, all but the first, wait for leave to answer.
WAITING = """
import os, pathlib, time
HERE = pathlib.Path(__file__).parent
def model(number):
    def make():
        first = []
        def ask(x):
            if not first:
                first.append(1)
                try:
                    import ray
                    node = ray.get_runtime_context().get_node_id()
                except Exception:
                    node = "here"
                with open(HERE / "asked.txt", "a") as file: file.write(f"m{number} {node} {os.getpid()}\\n")
            while number and not (HERE / "go").exists(): time.sleep(0.02)
            return x.mean((1, 2)) ** (1 + number / 7)
        return ask
    return make
m0, m1, m2, m3, m4, m5 = map(model, range(6))
"""


def asked(folder: Path) -> list[list[str]]:
    """Model, node and process of every time that a model was begun."""
    path = folder / "asked.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


class Meanwhile(threading.Thread):
    """Do something while models are signed; what goes wrong is raised in the end."""

    def __init__(self, act) -> None:
        super().__init__()
        self.act, self.error = act, None

    def run(self) -> None:
        try:
            self.act()
        except BaseException as error:
            self.error = error

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_) -> None:
        self.join()
        if self.error is not None:
            raise self.error


def test_a_node_killed_while_it_signs_loses_and_doubles_nothing(ray, machines, tmp_path, probes, module):
    make = module("waiting", WAITING)
    jobs, said, store = [make(f"m{i}") for i in range(6)], [], tmp_path / "s"

    def kill_one():
        # Both nodes are asking a model.
        wait_for(
            lambda: {node for name, node, _ in asked(tmp_path) if name != "m0"} >= {n.node_id for n in machines.nodes}
        )
        # On one machine Ray connects this process to any of the nodes; that one must stay.
        own = ray.get_runtime_context().get_node_id()
        victim = next(node for node in machines.nodes if node.node_id != own)
        machines.kill(victim)
        # Power fails for all processes of a machine; these here would live on for a moment.
        process = [int(process) for _, node, process in asked(tmp_path) if node == victim.node_id][-1]
        os.kill(process, signal.SIGKILL)
        (tmp_path / "go").touch()

    with Meanwhile(kill_one):
        found = sign_all(jobs, probes, store, by=RayTasks(), say=said.append)
    assert found.failed == ()
    assert any("its node or its result was lost" in text for text in said), said
    names = [job.name for job in jobs]
    assert sorted(done.name for done in found.done) == names
    stored = Store.open(store)
    assert sorted(entry.name for entry in stored.entries()) == names
    assert list(verify(stored)) == []
    # The model of the killed node was begun twice, on two nodes; no other was.
    times = Counter(name for name, *_ in asked(tmp_path))
    (lost,) = [name for name, count in times.items() if count == 2]
    assert sum(times.values()) == 7
    assert len({node for name, node, _ in asked(tmp_path) if name == lost}) == 2
    assert {done.name: done.tries for done in found.done} == {**dict.fromkeys(names, 1), lost: 2}
    for one, signature in zip(PlainLoop().outcomes(jobs, probes, print), stored.load(names), strict=True):
        assert isinstance(one, Signed)
        np.testing.assert_allclose(signature.weights, one.signature.weights, rtol=1e-6, atol=1e-6)


def test_an_interrupt_keeps_what_is_finished_and_frees_the_nodes(ray, tmp_path, probes, real, module):
    jobs, store = [module("waiting", WAITING)(f"m{i}") for i in range(4)], tmp_path / "s"

    def interrupt():
        wait_for(lambda: len({name for name, *_ in asked(tmp_path)} - {"m0"}) == 2)
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            Meanwhile(interrupt),
            pytest.raises(KeyboardInterrupt, match=r"1 model was added to .*; run the same command"),
        ):
            sign_all(jobs, probes, store, by=RayTasks())
    finally:
        signal.signal(signal.SIGINT, before)
    # Though nobody gives the others leave to answer.
    found = sign_all([jobs[0], *real], probes, store, by=RayTasks())
    assert (len(found.done), found.present, found.failed) == (3, ("m0",), ())


def test_a_driver_killed_while_models_are_signed_loses_and_doubles_nothing(ray, machines, tmp_path, probes, module):
    jobs, store = [module("waiting", WAITING)(f"m{i}") for i in range(4)], tmp_path / "s"
    probes.save(tmp_path / "probes.npz")
    program = "import sys; from zest_jax.cli.main import main; sys.exit(main())"
    arguments = [job.model for job in jobs] + ["--probes", "probes.npz", "--store", "s", "--ray", machines.address]
    driver = subprocess.Popen(
        [sys.executable, "-c", program, "sign-all", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )

    def stored() -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [entry.name for entry in Store.open(store).entries()]
        return []

    wait_for(lambda: stored() or driver.poll() is not None)
    driver.kill()
    _, err = driver.communicate()
    first = jobs[0].model
    assert stored() == [first], err
    (tmp_path / "go").touch()
    jobs = [dataclasses.replace(job, name=job.model) for job in jobs]
    found = sign_all(jobs, probes, store, by=RayTasks())
    assert (found.present, found.failed) == ((first,), ())
    assert sorted(stored()) == sorted(job.name for job in jobs)
    assert list(verify(Store.open(store))) == []


def test_a_node_that_comes_in_time_is_used_and_else_the_run_ends(ray, machines, tmp_path, probes, module):
    make, said = module("waiting", WAITING), []
    nodes = [machines.start(num_gpus=1)]

    def kill_both():
        for i in range(2):
            wait_for(lambda i=i: len(asked(tmp_path)) > i)
            machines.kill(nodes[i])

    def listen(text):
        said.append(text)
        if "waiting up to 2 s for one" in text and len(nodes) < 2:
            nodes.append(machines.start(num_gpus=1))

    how = RayTasks(gpus=0.5, patience=2, in_flight=1)
    with (
        Meanwhile(kill_both),
        pytest.raises(ClusterError, match=r"has the 1 CPUs and 0.5 GPUs.*and none came within 2 s"),
    ):
        sign_all([make("m1"), make("m2")], probes, tmp_path / "s", by=how, say=listen)
    assert said[0].endswith("1 model at a time")
    assert [name for name, *_ in asked(tmp_path)] == ["m1", "m1"]
    assert len({node for _, node, _ in asked(tmp_path)}) == 2
    assert sum("waiting up to 2 s for one" in text for text in said) == 2
    assert not (tmp_path / "s").exists()
