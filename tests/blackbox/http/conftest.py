"""A linear model behind a local server, and a black box that asks it."""

import numpy as np
import pytest
from serving import WEIGHTS, Server, linear, serving
from worlds import make_probes

import zest_jax as zest

TEMPLATES = {"request": {"inputs": "$inputs"}, "answer": {"scores": "$outputs"}}
# Failed requests are repeated at once: nothing here is about waiting.
QUICK = {"backoff": 1e-3, "timeout": 20.0}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture
def server():
    with serving(linear) as running:
        yield running


@pytest.fixture
def ask(server: Server):
    """Make a black box of the server."""
    made = []

    def make(path: str = "/classify", *, journal=None, **settings):
        templates = TEMPLATES if path == "/classify" else {}
        made.append(zest.from_http(server.url(path), journal=journal, **{**QUICK, **templates, **settings}))
        return made[-1]

    yield make
    for box in made:
        box.close()


@pytest.fixture(scope="session")
def probes():
    return make_probes(n=5, samples=40)


@pytest.fixture(scope="session")
def expected(probes) -> zest.Signature:
    """What the same model gives when it is asked in this process."""
    box = zest.from_callable(lambda x: x.reshape(len(x), -1) @ WEIGHTS)
    return zest.sign(box, probes, batch_size=16)


@pytest.fixture
def images():
    return np.random.default_rng(3).uniform(0, 1, (21, 8, 8, 3)).astype(np.float32)


def wanted(images) -> np.ndarray:
    return images.reshape(len(images), -1) @ WEIGHTS


@pytest.fixture
def logits():
    """The answers of the model to images, asked directly."""
    return wanted
