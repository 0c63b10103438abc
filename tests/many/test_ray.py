"""Models signed by the nodes of a real Ray cluster: nothing lost, nothing doubled, whatever a model or a node does."""

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

from zest_jax.errors import ClusterError, MissingExtraError
from zest_jax.many import Failed, Job, PlainLoop, RayTasks, Signed, sign_all
from zest_jax.many.job import attempt
from zest_jax.many.ray_cluster import connected, places
from zest_jax.many.ray_tasks import _Run, _Try
from zest_jax.screening import Store, verify

pytest.importorskip("lance")
pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def quietly(text: str) -> None:
    """Say nothing."""


class TestAddresses:
    """Refused before anything is asked; first, since a process has one connection at a time."""

    def join(self, address):
        with connected(address, room=0):
            raise AssertionError("it was joined")

    def test_where_nothing_answers(self, machines):
        with pytest.raises(
            ClusterError, match=r"nothing answers at 127.0.0.1:1 \(.*refused\); start the cluster's head there"
        ):
            self.join("127.0.0.1:1")

    def test_what_answers_but_is_no_ray(self, machines):
        import socket
        import threading

        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer():
                line, _ = server.accept()
                with line:
                    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            with pytest.raises(ClusterError, match="what answers at .* is no head of a Ray cluster"):
                self.join(f"127.0.0.1:{server.getsockname()[1]}")
            thread.join()

    def test_another_version_of_ray(self, machines, monkeypatch):
        import ray

        monkeypatch.setattr(ray, "__version__", "1.0.0")
        with pytest.raises(
            ClusterError, match=r"was started with other versions than this process has \(Ray 1.0.0, Python"
        ):
            self.join(machines.address)
        assert not ray.is_initialized()

    def test_without_ray(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(
            MissingExtraError, match=r'ray is not installed; install it with `pip install "zest_jax\[cluster\]"`'
        ):
            self.join(None)

    def test_another_cluster_than_that_of_this_process(self, ray):
        with pytest.raises(ClusterError, match="is connected to the Ray cluster .* already, not to 10.0.0.1:6379"):
            self.join("10.0.0.1:6379")


def test_signatures_are_those_of_the_loop(ray, tmp_path, probes, real):
    said = []
    found = sign_all(real, probes, tmp_path / "s", by=RayTasks(), say=said.append)
    assert said == ["Ray: 3 nodes (1 CPUs and 0 GPUs; 1 CPUs and 0 GPUs; 0 CPUs and 0 GPUs), 2 models at a time"]
    assert sorted(done.name for done in found.done) == sorted(job.name for job in real)
    assert all(done.where and done.tries == 1 for done in found.done)
    store = Store.open(tmp_path / "s")
    assert list(verify(store)) == []
    stored = store.load([job.name for job in real])
    for one, signature in zip(PlainLoop().outcomes(real, probes, quietly), stored, strict=True):
        assert isinstance(one, Signed)
        np.testing.assert_allclose(signature.weights, one.signature.weights, rtol=1e-6, atol=1e-6)
        assert signature.label == one.signature.label
        assert signature.settings["model"]["threads"] == 1
    again = sign_all(real, probes, tmp_path / "s", by=RayTasks())
    assert (again.done, len(again.present), again.version) == ((), 3, found.version)


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


def test_a_package_that_only_the_node_lacks_ends_the_run(ray, probes, real, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def make(): return lambda x: x.mean((1, 2))\n")
    (failed,) = filter(None, RayTasks().outcomes([Job(name="m", model="only_here:make")], probes, quietly))
    assert isinstance(failed, Failed)
    assert "there is no Python module 'only_here'" in failed.error
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ClusterError, match=r"the machine .* cannot import only_here, which is here \(there is no Python"
    ):
        list(RayTasks().outcomes([Job(name="m", model="only_here:make")], probes, quietly))


SHARING = """
import os, pathlib, time
HERE = pathlib.Path(__file__).parent
def make(name):
    (HERE / f"{name}.txt").write_text(" ".join(os.environ.get(each, "-") for each in
        ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION")))
    while len(list(HERE.glob("*.txt"))) < 2: time.sleep(0.02)
    return lambda x: x.mean((1, 2)) ** (1 + len(name))
def a(): return make("a")
def bb(): return make("bb")
"""


def test_models_share_a_gpu_and_its_memory(ray, machines, tmp_path, probes, module):
    """Each waits until the other has begun."""
    make = module("sharing", SHARING)
    node = machines.start(num_cpus=2, num_gpus=1)
    try:
        found = sign_all([make("a"), make("bb")], probes, tmp_path / "s", by=RayTasks(gpus=0.5))
    finally:
        machines.kill(node)
    assert (len(found.done), found.failed) == (2, ())
    assert [(tmp_path / f"{name}.txt").read_text() for name in ("a", "bb")] == ["0 0.375", "0 0.375"]


def test_a_file_that_is_another_one_on_the_node_is_refused(ray, probes, real, monkeypatch):
    monkeypatch.setattr("zest_jax.many.ray_tasks.identity_of", lambda model: "0" * 64)
    (failed,) = filter(None, RayTasks().outcomes(real[:1], probes, quietly))
    assert isinstance(failed, Failed)
    assert f"{real[0].model} is another file here (SHA-256 " in failed.error
    assert "than where it was asked for (0000000000000000)" in failed.error


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs a path that only one process has")
def test_a_path_that_the_node_does_not_have_ends_the_run(ray, probes, real):
    own = os.dup2(os.open(real[0].model, os.O_RDONLY), 912, inheritable=False)
    try:
        with pytest.raises(
            ClusterError, match=r"the machine .* has no file /proc/self/fd/912, which is here; models must be"
        ):
            list(RayTasks().outcomes([Job(name="own", model=f"/proc/self/fd/{own}")], probes, quietly))
    finally:
        os.close(own)


def test_files_that_go_or_cannot_be_read_fail_alone(ray, probes, real, tmp_path, zip_of_the_future):
    gone = dataclasses.replace(real[0], name="gone", model=str(tmp_path / "gone.onnx"))
    broken = Job(name="broken", model=str(zip_of_the_future(tmp_path / "broken.pt")))
    found = list(filter(None, RayTasks().outcomes([gone, broken, real[0]], probes, quietly)))
    kinds = [(one.job.name, type(one).__name__) for one in found]
    assert kinds == [("gone", "Failed"), ("broken", "Failed"), (real[0].name, "Signed")]
    for one, text in zip(found, ("there is no file", "zip file version 9.9"), strict=False):
        assert isinstance(one, Failed)
        assert text in one.error


def test_another_version_of_this_package_ends_the_run(ray, probes, real, monkeypatch):
    monkeypatch.setattr("zest_jax.many.ray_tasks.__version__", "99.0")
    with pytest.raises(
        ClusterError, match=r"the machine .* has zest_jax .*, and this process 99.0; install the same version"
    ):
        list(RayTasks().outcomes(real, probes, quietly))


def test_resources_that_no_node_has_are_refused_at_once(ray, probes, real):
    for how, message in (
        (RayTasks(cpus=2), r"no node of the Ray cluster has the 2 CPUs of a model; it is 3 nodes \(1 CPUs and 0 GPUs;"),
        (RayTasks(gpus=0.5), r"has the 1 CPUs and 0.5 GPUs of a model; .*; lower `cpus` and `gpus`, or start a node"),
    ):
        with pytest.raises(ClusterError, match=message):
            next(how.outcomes(real, probes, quietly))
    assert places(ray, 0.5, 0) == 4


def test_numbers_out_of_range_are_refused():
    for settings, message in (
        ({"cpus": 0}, "`cpus` is 0; give the CPUs of one model, above 0"),
        ({"gpus": 1.5}, "`gpus` is 1.5; give the GPUs of one model: a share of one, or a whole number"),
        ({"gpus": -1}, "`gpus` is -1"),
        ({"in_flight": 0}, "`in_flight` is 0; give at least 1"),
        ({"crashes": 0}, "`crashes` is 0; give at least 1"),
        ({"timeout": 0}, "`timeout` is 0; give the seconds that a model may take, above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            RayTasks(**settings)


def test_what_ends_the_run_loses_no_answer_that_is_there(probes, real, monkeypatch):
    run, first, second = object.__new__(_Run), *(_Try(job) for job in real[:2])
    signed = attempt(second.job, probes)
    run.running = {"first": first, "second": second}

    def outcome(stream, one):
        if one is first:
            raise ClusterError("no such file there")
        return signed

    monkeypatch.setattr(run, "_outcome", outcome)
    told = run._outcomes_of(["first", "second"])
    assert next(told) is signed
    with pytest.raises(ClusterError, match="no such file there"):
        next(told)


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
