"""Nodes of a real Ray cluster that are killed while they sign: nothing lost, nothing doubled."""

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
        victim = machines.nodes[0]
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
