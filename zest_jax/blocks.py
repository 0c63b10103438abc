"""Cut the references of a ProbeSet into blocks that are fitted together, as soon as their answers are there."""

import dataclasses

import jax
import numpy as np

from zest_jax.probes.masks import unpack
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.solving import Design, LocalFits, SolveSettings, design, fit

# References fitted together, at most; fewer when their masks and outputs get large (in numbers held).
BLOCK_REFERENCES = 16
BLOCK_NUMBERS = 2**23


def check_determined(probes: ProbeSet, settings: SolveSettings) -> None:
    """Refuse fits that the masks do not determine, before any model is asked.

    Raises:
        ValueError: names the first reference whose masks do not determine its weights.
    """
    if settings.ridge == 0 and settings.underdetermined == "error":
        # Without an operator a design is only checked.
        check = dataclasses.replace(settings, solver="lstsq")
        blocks = Blocks(probes, check, [], block_size(probes, settings, classes=0))
        for start in range(0, probes.n_references, blocks.size):
            blocks.design(start)


def block_size(probes: ProbeSet, settings: SolveSettings, classes: int) -> int:
    """How many references are fitted together: as many as keep their masks and outputs small in memory."""
    rows = max_rows(probes)
    numbers = rows * (probes.max_segments + settings.intercept + classes)
    return min(BLOCK_REFERENCES, probes.n_references, max(1, BLOCK_NUMBERS // numbers))


def max_rows(probes: ProbeSet) -> int:
    """The most different masks that a reference can have: no more than were drawn, or than there are."""
    return min(probes.n_samples, 2 ** min(probes.max_segments, 62))


@dataclasses.dataclass(frozen=True)
class Block:
    """References start:stop, which are fitted together."""

    start: int
    stop: int
    design: Design
    queries: int


class Blocks:
    """Cuts the references into blocks of one shape, so that one compilation fits them all."""

    def __init__(self, probes: ProbeSet, settings: SolveSettings, devices: list[jax.Device], size: int) -> None:
        self.probes, self.settings, self.devices = probes, settings, devices
        # Known from the shape of the probes alone, so that other probes of that shape share the compilation.
        self.rows = max_rows(probes)
        share = max(len(devices), 1)
        self.size = -(-size // share) * share

    def design(self, start: int) -> Block:
        distinct, stop = self.probes.distinct, min(start + self.size, self.probes.n_references)
        begin, end = int(distinct.start[start]), int(distinct.start[stop])
        masks = np.zeros((self.size, self.rows, self.probes.max_segments), bool)
        count = np.zeros((self.size, self.rows), np.float32)
        n_segments = np.zeros(self.size, np.int32)
        n_segments[: stop - start] = self.probes.n_segments[start:stop]
        rows = (distinct.reference[begin:end] - start, _place(distinct.start[start : stop + 1]))
        masks[rows] = unpack(distinct.packed[begin:end], self.probes.max_segments)
        count[rows] = distinct.counts[begin:end]
        prepared = design(masks, count, n_segments, self.settings, first_reference=start)
        return Block(start, stop, prepared, end - begin)

    def next_complete(self, done: int, answered: int) -> Block | None:
        """The block after `done` references, once all questions of the first `answered` references are answered."""
        if done >= self.probes.n_references or min(done + self.size, self.probes.n_references) > answered:
            return None
        return self.design(done)

    def fit(self, block: Block, outputs: np.ndarray) -> LocalFits:
        n = block.stop - block.start
        start = self.probes.distinct.start[block.start : block.stop + 1]
        z = np.zeros((self.size, self.rows, outputs.shape[1]), np.float32)
        z[np.repeat(np.arange(n), np.diff(start)), _place(start)] = outputs
        return fit(block.design, z, self.settings, devices=self.devices).first(n)


def _place(start: np.ndarray) -> np.ndarray:
    """Position of each query within its reference, given where the references start."""
    return np.concatenate([np.arange(n) for n in np.diff(start)])
