"""Probes and models for signing many, and a Ray cluster of several nodes on this machine."""

import io
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zest_jax as zj
from zest_jax.many import Job

NORMALISE = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# Longer paths of sockets are refused.
SHORT = "/tmp" if os.path.isdir("/tmp") else None


@pytest.fixture(scope="session")
def probes(golden) -> zj.ProbeSet:
    """12 segments, 27 questions: every model is asked in a moment."""
    settings = {"rows": 2, "columns": 2}
    return zj.image_probes(golden.images, 3, 9, segmenter="grid", segmenter_settings=settings)


@pytest.fixture(scope="session")
def real(golden) -> list[Job]:
    """The golden ONNX models."""
    return [Job(name=name, model=str(path), load=NORMALISE) for name, path in golden.models.items()]


@pytest.fixture
def module(tmp_path) -> Callable[[str, str], Callable[[str], Job]]:
    """Write a Python module; returns a function that makes a job of one of its functions."""

    def write(name: str, code: str) -> Callable[[str], Job]:
        # Processes that sign keep modules, so every test has modules of its own.
        name = f"{name}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        return lambda function: Job(name=function, model=f"{name}:{function}", folder=str(tmp_path))

    return write


@pytest.fixture(scope="session")
def zip_of_the_future() -> Callable[[Path], Path]:
    """Write a PyTorch file whose directory asks for version 9.9 of ZIP, for which `zipfile` raises NotImplementedError."""

    def write(path: Path) -> Path:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("m/data.pkl", b"")
        changed = bytearray(content.getvalue())
        changed[changed.index(b"PK\x01\x02") + 6] = 99
        path.write_bytes(changed)
        return path

    return write


class Machines:
    """A Ray cluster: its head runs no model, each of its two nodes one at a time."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.settings = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
        # Dead nodes are noticed within a second, not ten.
        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 200, "health_check_failure_threshold": 3}
        head = {"num_cpus": 0, "_system_config": soon, **self.settings}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self.cluster.address)
        self.nodes = [self.start() for _ in range(2)]

    def start(self, **resources: float) -> Any:
        """Start another node."""
        return self.cluster.add_node(**{"num_cpus": 1, **self.settings, **resources})

    def kill(self, node: Any) -> None:
        """End a node as a power failure does."""
        self.cluster.remove_node(node, allow_graceful=False)

    def keep_two(self) -> None:
        """Replace nodes that were killed."""
        self.nodes = [node for node in self.nodes if node in self.cluster.worker_nodes]
        self.nodes += [self.start() for _ in range(2 - len(self.nodes))]


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """Started once; nobody is connected."""
    ray = pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="zest-", dir=SHORT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Machines()
        try:
            yield found
        finally:
            ray.shutdown()
            found.cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ray(machines) -> Any:
    """The module, connected to the cluster; the connection, and with it the processes that sign, are kept from test to test."""
    import ray

    machines.keep_two()
    if not ray.is_initialized():
        ray.init(machines.address, log_to_driver=False, logging_level=logging.ERROR)
    return ray
