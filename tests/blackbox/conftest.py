"""What the tests of the adapters share: golden images and answers, and a way past the run-time type checks."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("victim", "victim_epoch3", "unrelated")


class Answers:
    """Perturbed inputs in [0, 1] [n, 32, 32, 3] and the logits that the authors' code got for them."""

    def __init__(self) -> None:
        probes = np.load(GOLDEN / "probes.npz")
        shape = probes["masks_shape"]
        masks = np.unpackbits(probes["masks"])[: np.prod(shape)].reshape(shape)[:, ::32]  # 8 masks of each reference
        self.mean, self.std = probes["mean"].tolist(), probes["std"].tolist()
        images = probes["images"].astype(np.float32) / 255
        kept = np.take_along_axis(masks[:, :, None, :], probes["segments"].reshape(16, 1, -1)[:, :, None], 3)
        kept = kept.reshape(16, -1, 32, 32, 1).astype(bool)
        self.inputs = np.where(kept, images[:, None], np.float32(self.mean)).reshape(-1, 32, 32, 3)
        stored = np.load(GOLDEN / "outputs.npz")
        self.logits = {name: stored[f"logits_{name}"][:, ::32].reshape(len(self.inputs), -1) for name in NAMES}

    def model(self, name: str) -> Path:
        return GOLDEN / "models" / f"{name}.onnx"


@pytest.fixture(scope="session")
def answers() -> Answers:
    return Answers()


@pytest.fixture
def unchecked_types():
    """Turn off the run-time type checks of the test session, to see the errors that users without them see."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def images() -> np.ndarray:
    """Six small images [6, 8, 8, 3] in [0, 1]."""
    return np.random.default_rng(0).random((6, 8, 8, 3), np.float32)
