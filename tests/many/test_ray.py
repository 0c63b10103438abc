"""Models signed by the nodes of a real Ray cluster give what the loop gives; what a node or the cluster lacks is told."""

import dataclasses
import os
import sys
import threading

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
