"""The bare model: what signing is measured against."""

import time
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import zest_jax as zest
from zest_jax.blackbox.protocol import InputSpec, JaxBlackBox, Tokens
from zest_jax.probes.strings import StringComposer

# Different batches that lie ready; texts differ in length, and a model that takes strings is slower with longer ones.
READY = 8


def warm_up(box: Any, probes: zest.ProbeSet, size: int) -> None:
    """Compile what the timed runs compile: the first references have the shapes of all."""
    first = min(probes.n_references, 16)
    few = zest.ProbeSet(
        references=probes.references[:first],
        segments=probes.segments[:first],
        n_segments=probes.n_segments[:first],
        packed_masks=probes.packed_masks[:first, :100],
        fill=probes.fill if probes.fill.ndim == 1 else probes.fill[:first],
        modality=probes.modality,
        rate=probes.rate,
        stft=probes.stft,
    )
    zest.sign(box, few, batch_size=size, underdetermined="minimum-norm", progress=False)
    bare(box, few, size, 2)


def bare(box: Any, probes: zest.ProbeSet, size: int, batches: int) -> float:
    """Seconds that the model alone takes for so many batches of real perturbed inputs, which lie ready in memory."""
    ready = [ready_batch(box, probes, size, i) for i in range(READY if probes.modality == "text" else 1)]
    if isinstance(box, JaxBlackBox):
        forward = _forwards.setdefault(box, jax.jit(box.apply))
        ready = [jax.device_put(batch) for batch in ready]
        ask = lambda batch: np.asarray(forward(box.state, batch))  # noqa: E731
    else:
        ask = box.ask
    ask(ready[0])
    start = time.perf_counter()
    for i in range(batches):
        ask(ready[i % len(ready)])
    return time.perf_counter() - start


_forwards: weakref.WeakKeyDictionary[JaxBlackBox, Callable] = weakref.WeakKeyDictionary()


def ready_batch(box: Any, probes: zest.ProbeSet, size: int, seed: int) -> Any:
    """Questions drawn at random, composed and prepared as the model wants them."""
    if probes.modality == "text":
        rows = np.random.default_rng(seed).integers(0, probes.n_queries, size)
        strings = StringComposer(probes)(probes.distinct.reference[rows], probes.distinct.packed[rows])
        if box.spec.tokenizer is None:
            return strings
        return box.spec.prepare(Tokens(*box.spec.tokenizer.encode_with_lengths(list(strings))))
    assert isinstance(box.spec, InputSpec)
    plain = zest.compose(probes, 0, slice(size))
    return np.ascontiguousarray(box.spec.prepare(np.resize(plain, (size, *plain.shape[1:]))))
