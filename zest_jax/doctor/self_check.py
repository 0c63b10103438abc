"""Every phase, on this machine, against what the paper authors' code computes."""

import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import NamedTuple

import jax
import numpy as np

from zest_jax.alignment import Metric
from zest_jax.blackbox import from_jax
from zest_jax.distances import distance
from zest_jax.probes import ProbeSet, compose, segment_images
from zest_jax.signature import Signature
from zest_jax.signing import sign
from zest_jax.solving import Solver, SolveSettings, solve

__all__ = ["Check", "self_check"]

# What is agreed on: of composed inputs, of fits and distances relative to their size, and of planted weights.
COMPOSED, FITTED, PLANTED = 1e-5, 1e-4, 1e-3


class Check(NamedTuple):
    """What one part of the self-check found.

    Attributes:
        name: what was computed.
        passed: whether it agrees.
        computed: whether there was a result to compare; False after an error.
        text: how far it is off, or the error.
        seconds: that it took, compilation included.

    >>> check = Check(name="distances", passed=True, computed=True, text="off by 1.2e-07, within 0.0001", seconds=0.4)
    >>> f"{'ok' if check.passed else 'FAILED'}: {check.name}, {check.text}"
    'ok: distances, off by 1.2e-07, within 0.0001'
    """

    name: str
    passed: bool
    computed: bool
    text: str
    seconds: float


def self_check() -> Iterator[Check]:
    """Compute each phase on JAX's devices and compare it with the authors' values for three CIFAR-10 images.

    Yields one check for each of: segments, perturbed inputs, fits by both solvers, distances in all four metrics, and a model
    with planted weights signed from end to end on all devices. None raises: an error is a check that did not pass. It takes
    less than a minute; the values are those that the package's tests use.

    Yields:
        a check for each part, as it is done.

    >>> all(check.passed for check in self_check())
    True
    """
    with resources.as_file(resources.files("zest_jax.doctor") / "golden.npz") as path, np.load(path) as file:
        golden = {name: file[name] for name in file.files}
    probes = _probes(golden)
    checks: dict[str, Callable[[], tuple[float, float]]] = {
        "segments (Quickshift)": lambda: _segments(golden),
        "perturbed inputs": lambda: _composed(golden, probes),
        "fits (factored)": lambda: _fits(golden, probes, "factored"),
        "fits (lstsq)": lambda: _fits(golden, probes, "lstsq"),
        "distances": lambda: _distances(golden, probes),
        "a model signed from end to end": lambda: _signed(probes),
    }
    for name, check in checks.items():
        began = time.monotonic()
        try:
            found, most = check()
            computed, passed = True, bool(found <= most)
            text = f"off by {found:.1e}, {'within' if passed else 'more than'} {most:g}"
        except Exception as error:
            computed, passed, text = False, False, f"{type(error).__name__}: {error}"
        yield Check(name, passed, computed, text, time.monotonic() - began)


def _probes(golden: dict[str, np.ndarray]) -> ProbeSet:
    counts = golden["n_segments"][: len(golden["images"])]
    masks = np.unpackbits(golden["masks"], axis=-1, count=int(golden["n_segments"].max()))
    return ProbeSet.from_arrays(
        references=golden["images"],
        segments=golden["segments"].astype(np.int32),
        masks=masks[..., : counts.max()].astype(bool),
        fill=golden["mean"],
    )


def _segments(golden: dict[str, np.ndarray]) -> tuple[float, float]:
    """Share of the images whose partition is another one."""
    ours = segment_images(golden["images"])
    differ = 0
    for mine, theirs in zip(ours, golden["segments"], strict=True):
        pairs = np.unique(np.stack([mine.ravel(), theirs.ravel()]), axis=1).shape[1]
        differ += not pairs == len(np.unique(mine)) == len(np.unique(theirs))
    return differ / len(ours), 0


def _composed(golden: dict[str, np.ndarray], probes: ProbeSet) -> tuple[float, float]:
    """Largest difference of normalised pixels."""
    ours = (compose(probes, 0, slice(4)) - golden["mean"]) / golden["std"]
    return float(np.abs(ours - golden["perturbed"][0]).max()), COMPOSED


def _fits(golden: dict[str, np.ndarray], probes: ProbeSet, solver: Solver) -> tuple[float, float]:
    """Relative difference of the weights that are fitted to the stored answers."""
    fits = solve(probes, golden["logits"], settings=SolveSettings(solver=solver))
    ours = np.concatenate([w[:k] for w, k in zip(fits.weights, probes.n_segments, strict=True)])
    theirs = golden["signature_victim"][: len(ours)]
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)), FITTED


def _distances(golden: dict[str, np.ndarray], probes: ProbeSet) -> tuple[float, float]:
    """Largest relative difference of distances between the stored signatures."""
    made: dict[str, Signature] = {}
    for name in np.unique(golden["pairs"]).tolist():
        weights = golden[f"signature_{name}"]
        ones = np.ones((len(golden["n_segments"]), weights.shape[1]), np.float32)
        made[name] = Signature(
            weights=weights,
            segment_counts=golden["n_segments"],
            r2=ones,
            variance=ones,
            probe_hash=probes.hash,
            label=name,
        )
    metrics: list[Metric] = golden["metrics"].tolist()
    ours = np.array([[distance(made[a], made[b], metric=m) for m in metrics] for a, b in golden["pairs"].tolist()])
    return float(np.abs(ours / golden["distances"] - 1).max()), FITTED


def _signed(probes: ProbeSet) -> tuple[float, float]:
    """Relative difference of planted weights: the model is linear in the masks, and is asked as any JAX model is."""
    height, width, channels = probes.references.shape[1:]
    kernel = jax.random.normal(jax.random.key(0), (height, width, channels, 4))

    def model(weights: jax.Array, images: jax.Array) -> jax.Array:
        return jax.numpy.einsum("bhwc,hwck->bk", images, weights, precision="highest")

    box = from_jax(model, kernel, label="planted")
    signature = sign(box, probes, intercept=True, progress=False)
    # What a segment contributes: its pixels' values beyond the fill, which the intercept holds.
    shown = probes.references.astype(np.float64) / 255 - probes.fill
    planted = []
    for image, segments, count in zip(shown, probes.segments, probes.n_segments, strict=True):
        each = np.einsum("hwc,hwck->hwk", image, np.asarray(kernel, np.float64))
        planted += [each[segments == segment].sum(axis=0) for segment in range(count)]
    return float(np.linalg.norm(signature.weights - planted) / np.linalg.norm(planted)), PLANTED
