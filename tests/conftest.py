"""Fixtures that many tests share."""

import functools
import json
import pathlib
import sys
from collections.abc import Mapping

import numpy as np
import pytest

GOLDEN_DIR = pathlib.Path(__file__).parent / "golden"


class Golden:
    """What the paper authors' code computes; `tests/golden/README.md` says what is what.

    Arrays are read when first asked for and cannot be written to, so that no test can spoil another's.
    """

    dir: pathlib.Path = GOLDEN_DIR
    #: The three black boxes: "victim", "victim_epoch3" (related) and "unrelated".
    models: Mapping[str, pathlib.Path] = {path.stem: path for path in sorted(GOLDEN_DIR.glob("models/*.onnx"))}

    @functools.cached_property
    def _probes(self) -> dict[str, np.ndarray]:
        return _read("probes.npz")

    @property
    def images(self) -> np.ndarray:
        """The references: uint8 [16, 32, 32, 3]."""
        return self._probes["images"]

    @property
    def segments(self) -> np.ndarray:
        """The authors' Quickshift: int32 [16, 32, 32]."""
        return self._probes["segments"]

    @property
    def n_segments(self) -> np.ndarray:
        """K of each reference: int64 [16]."""
        return self._probes["n_segments"]

    @functools.cached_property
    def masks(self) -> np.ndarray:
        """Bool [16, 256, largest K]; columns from `n_segments[i]` on are padding."""
        shape = tuple(self._probes["masks_shape"])
        bits = np.unpackbits(self._probes["masks"], count=int(np.prod(shape)))
        return _frozen(bits.reshape(shape).astype(bool))

    @property
    def perturbed_first4(self) -> np.ndarray:
        """The first four perturbed inputs of each reference, normalised: float32 [16, 4, 32, 32, 3]."""
        return self._probes["perturbed_first4"]

    @property
    def mean(self) -> np.ndarray:
        """Per channel, for pixels in [0, 1]; also what masked pixels are filled with."""
        return self._probes["mean"]

    @property
    def std(self) -> np.ndarray:
        """Per channel, for pixels in [0, 1]."""
        return self._probes["std"]

    @functools.cached_property
    def logits(self) -> dict[str, np.ndarray]:
        """Of each model, the derived ones included: float32 [16, 256, classes]."""
        return {name.removeprefix("logits_"): array for name, array in _read("outputs.npz").items()}

    @functools.cached_property
    def signatures(self) -> dict[str, np.ndarray]:
        """Of each model, the derived ones included, reference after reference: float32 [sum of n_segments, classes]."""
        return _read("signatures.npz")

    @functools.cached_property
    def distances(self) -> dict[tuple[str, str], dict[str, float]]:
        """(a, b) -> l1, l2, linf and cosine after the authors' greedy alignment."""
        return {(a, b): d for pair, d in _json("distances.json").items() for a, b in [pair.split("|")]}

    @functools.cached_property
    def derived_columns(self) -> dict[str, list[int]]:
        """Which columns of "victim" and "unrelated" the two derived models consist of."""
        return _json("derived_columns.json")

    def weights(self, model: str) -> np.ndarray:
        """The signature of `model` padded with zeros: float32 [16, largest K, classes]."""
        flat, counts = self.signatures[model], self.n_segments
        padded = np.zeros((len(counts), counts.max(), flat.shape[1]), flat.dtype)
        padded[np.arange(counts.max()) < counts[:, None]] = flat
        return padded


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _read(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN_DIR / name, allow_pickle=False) as data:
        return {key: _frozen(data[key]) for key in data.files}


def _json(name: str) -> dict:
    return json.loads((GOLDEN_DIR / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def golden() -> Golden:
    """What the paper authors' code computes on 16 images and three ONNX models."""
    return Golden()


@pytest.fixture(autouse=True)
def _modules_of_tests_are_forgotten(tmp_path_factory):
    """Modules from temporary folders go when their test does: many tests have a `nets` of their own."""
    yield
    temporary = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(temporary):
            del sys.modules[name]
