"""Phase 3a: stream the distinct questions of a ProbeSet through black boxes, one batch in memory at a time."""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from zest_jax.asking import Mode, asker_of, check_box, make_composer
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.cost import check_costs
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.progress import progress_bar

__all__ = ["Batch", "query", "stream"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Answers to some of the questions.

    Attributes:
        start: the first query of `ProbeSet.distinct` that is answered here.
        stop: the first that is not.
        outputs: of each model, float32 [stop - start, classes].

    >>> from zest_jax import from_jax, image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 2, 20, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> batch = next(stream([from_jax(lambda x: x.mean((1, 2)))], probes, batch_size=8))
    >>> batch.start, batch.stop, batch.outputs[0].shape
    (0, 8, (8, 3))
    """

    start: int
    stop: int
    outputs: list[np.ndarray]


def query(
    box: BlackBox,
    probes: ProbeSet,
    *,
    batch_size: int | None = None,
    mode: Mode = "auto",
    check: bool = True,
    devices: Sequence[jax.Device] | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Ask a model every question of a probe set and keep all answers (paper, Algorithm 1, line 6).

    `sign` does not need this: it fits as answers arrive. Use it to fit with something else, or to store the answers.

    Args:
        box: the model.
        probes: what it is asked.
        batch_size: as for `stream`.
        mode: as for `stream`.
        check: as for `stream`.
        devices: as for `stream`.
        progress: show a bar on stderr; None: when stderr is a terminal.

    Returns:
        outputs float32 [refs, samples, classes]; a repeated mask gets the answer of its first appearance.

    Raises:
        ModelOutputError: see `stream`.
        BudgetError: the budget of a remote model does not reach (before any query).

    >>> from zest_jax import from_jax, image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 2, 20, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> outputs = query(from_jax(lambda x: x.mean((1, 2))), probes)
    >>> outputs.shape
    (2, 20, 3)
    >>> whole = probes.references[0].mean((0, 1)) / 255                              # the first mask keeps everything
    >>> bool(np.allclose(outputs[0, 0], whole, atol=1e-5))
    True
    """
    check_box(box, probes)
    check_costs([box], probes, show=progress, batch_size=batch_size, devices=devices, check=check)
    with progress_bar(f"asking {box.label}", probes.n_queries, unit="queries", show=progress) as update:
        answers = []
        for batch in stream([box], probes, batch_size=batch_size, mode=mode, check=check, devices=devices):
            answers.append(batch.outputs[0])
            update(batch.stop)
    return np.concatenate(answers)[probes.distinct.inverse]


def stream(
    boxes: Sequence[BlackBox],
    probes: ProbeSet,
    *,
    batch_size: int | None = None,
    mode: Mode = "auto",
    devices: Sequence[jax.Device] | None = None,
    first: int = 0,
    check: bool = True,
) -> Iterator[Batch]:
    """Ask several models the distinct questions of a probe set, in order, composing each batch once.

    Args:
        boxes: the models. A `JaxBlackBox` runs in the same compiled function as composition (when there is one model),
            sharded over `devices`. A `HostBlackBox` answers on the host.
        batch_size: inputs asked at once, by default from the input size and the backend.
        mode: how host models are asked. "loop": the next batch is composed on the device while the model answers this one
            (the default: measured faster). "callback": inside the compiled function, through `jax.pure_callback`.
        devices: which devices share the work, by default all local ones. Composition for host models uses the first.
        first: query to begin with, to go on with an interrupted run.
        check: ask the first batch twice more, as it was and rearranged, to find models that are not deterministic.
        probes: what they are asked.

    Yields:
        Batch, with outputs checked: two-dimensional, always the same number of classes, finite.

    Raises:
        ModelOutputError: outputs are not [batch, classes], change shape, are NaN or infinite, or the model answers the same
            inputs differently (checked on the first batch); the message names model and input.
        ValueError: no models are given.

    >>> from zest_jax import from_jax, image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 2, 20, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> box = from_jax(lambda x: x.mean((1, 2)))
    >>> [(batch.start, batch.stop) for batch in stream([box], probes, batch_size=16)], probes.n_queries
    ([(0, 16), (16, 25)], 25)
    """
    if not boxes:
        raise ValueError("no models were given; pass at least one black box")
    for box in boxes:
        check_box(box, probes)
    composer = make_composer(boxes, probes, batch_size, devices)
    size = composer.size
    askers = [asker_of(box, composer, mode, alone=len(boxes) == 1) for box in boxes]
    for asker in askers:
        asker.check_shape()

    queries = range(first, probes.n_queries, size)
    pending = composer.start(first, askers) if len(queries) else None
    for start in queries:
        stop = min(start + size, probes.n_queries)
        assert pending is not None
        current, pending = pending, None
        if stop < probes.n_queries:
            # Dispatch is asynchronous: the device works on the next batch while the models answer this one.
            pending = composer.start(stop, askers)
        outputs = [asker.finish(prepared) for asker, prepared in zip(askers, current, strict=True)]
        for asker, answer in zip(askers, outputs, strict=True):
            asker.check(answer, start, stop, probes)
            if check and start == first:
                asker.check_repeats(answer, start)
        yield Batch(start, stop, [answer[: stop - start] for answer in outputs])
