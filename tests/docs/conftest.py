"""The world of the documents, made once in a process."""

import contextlib
import functools
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.docs.running import Runner
from tests.docs.shrinking import CLUSTER, SERVER
from tests.docs.world import World, model_server, prepare_data_sets
from tests.many.conftest import SHORT


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """An empty one, which fills as documents ask for files."""
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory) -> str:
    """Folder of prepared TFDS data sets."""
    folder = tmp_path_factory.mktemp("tfds")
    prepare_data_sets(folder)
    return str(folder)


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, Callable[[], str]]]:
    """What SERVER and CLUSTER are; each is started when a document needs it, once, and ends with the module."""
    with contextlib.ExitStack() as stack:
        yield {
            SERVER: functools.cache(lambda: stack.enter_context(model_server()).url("")),
            CLUSTER: functools.cache(lambda: stack.enter_context(ray_cluster())),
        }


@pytest.fixture
def runner(world, data_sets, places, monkeypatch) -> Runner:
    """Runs documents."""
    if os.name == "nt":
        pytest.skip("documents are run by bash")
    monkeypatch.setenv("TFDS_DATA_DIR", data_sets)
    monkeypatch.setenv("COLUMNS", "200")
    return Runner(world, places)


@contextlib.contextmanager
def ray_cluster() -> Iterator[str]:
    """A Ray on this machine, to which this process is connected; gives its address. `--ray` takes it, with or without address."""
    import ray

    folder = tempfile.mkdtemp(prefix="zest-", dir=SHORT)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
            settings = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "log_to_driver": False}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
                ray.init("local", num_cpus=1, _temp_dir=folder, logging_level=logging.ERROR, **settings)
            yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
