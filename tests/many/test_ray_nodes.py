"""Nodes of a real Ray cluster that are killed while they sign: nothing lost, nothing doubled."""

import os
import signal
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

# Models that write down where they are asked, and wait for leave to answer.
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
            while not (HERE / "go").exists(): time.sleep(0.02)
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
        wait_for(lambda: len({node for _, node, _ in asked(tmp_path)}) == 2)
        victim = machines.nodes[0]
        machines.kill(victim)
        # Power fails for all processes of a machine; these here would live on for a moment.
        (process,) = [int(process) for _, node, process in asked(tmp_path) if node == victim.node_id]
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


def test_without_a_node_that_could_sign_the_run_waits_and_then_ends(ray, machines, tmp_path, probes, real, module):
    make, said = module("waiting", WAITING), []
    node = machines.start(num_gpus=1)

    def kill_it():
        wait_for(lambda: asked(tmp_path))
        machines.kill(node)

    how = RayTasks(gpus=0.5, patience=2, in_flight=1)
    with (
        Meanwhile(kill_it),
        pytest.raises(ClusterError, match=r"has the 1 CPUs and 0.5 GPUs.*and none came within 2 s"),
    ):
        sign_all([make("m0"), make("m1")], probes, tmp_path / "s", by=how, say=said.append)
    assert said[0].endswith("1 model at a time")
    assert any("waiting up to 2 s for one" in text for text in said)
    assert not (tmp_path / "s").exists()


def test_a_node_that_comes_in_time_is_used(ray, machines, tmp_path, probes, module):
    make = module("waiting", WAITING)
    nodes = [machines.start(num_gpus=1)]

    def kill_it():
        wait_for(lambda: asked(tmp_path))
        machines.kill(nodes[0])

    def replace_it(text):
        if "waiting up to 60 s for one" in text:
            nodes.append(machines.start(num_gpus=1))
            (tmp_path / "go").touch()

    with Meanwhile(kill_it):
        found = sign_all([make("m0"), make("m1")], probes, tmp_path / "s", by=RayTasks(gpus=1), say=replace_it)
    machines.kill(nodes[1])
    assert sorted(done.name for done in found.done) == ["m0", "m1"]
    assert len({node for _, node, _ in asked(tmp_path)}) == 2
