"""Phase 3a: stream the distinct questions of a ProbeSet through black boxes, one batch in memory at a time."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zest_jax.blackbox.protocol import BlackBox, HostBlackBox, InputSpec, JaxBlackBox
from zest_jax.errors import ModelOutputError
from zest_jax.probes.composition import ProbeArrays, compose_batch, probe_arrays
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.progress import progress_bar

Mode = Literal["auto", "loop", "callback"]

# Numbers that a batch of inputs holds by default. Measured in benchmarks/speed/sign.py: on CPU small batches stay in the
# cache, accelerators want many inputs at once.
BATCH_ELEMENTS = {"cpu": 2**18, "gpu": 2**24, "tpu": 2**24}
MIN_BATCH = 16

# Two answers to the same input may differ by this share of the outputs' spread (atomics, other kernels).
REPEAT_TOLERANCE = 1e-3
# Answers may differ by this share when the rest of the batch changes: dynamic quantisation does that, mildly.
COMPANY_TOLERANCE = 5e-2


@dataclasses.dataclass(frozen=True)
class Batch:
    """Queries start:stop of `ProbeSet.distinct`, and each model's outputs for them, float32 [stop - start, classes]."""

    start: int
    stop: int
    outputs: list[np.ndarray]


def default_batch_size(input_shape: tuple[int, ...], boxes: Sequence[BlackBox], n_devices: int = 1) -> int:
    """Choose a batch size from the size of an input, the backend, and the batch sizes that models insist on."""
    fixed = [box.fixed_batch for box in boxes if box.fixed_batch]
    wanted = BATCH_ELEMENTS.get(jax.default_backend(), 2**22) // math.prod(input_shape)
    size = max(MIN_BATCH, 2 ** int(math.log2(max(wanted, 1)))) * n_devices
    if fixed:
        step = math.lcm(*fixed, n_devices)
        size = max(1, size // step) * step
    return size


def ask_plain(box: BlackBox, inputs: np.ndarray, *, batch_size: int | None = None) -> np.ndarray:
    """Ask a model about plain inputs, batch by batch; the last batch is filled up so that one shape is enough.

    Args:
        inputs: [n, H, W, C], uint8 or float in [0, 1].

    Returns:
        outputs [n, classes] float32.
    """
    size = min(batch_size or default_batch_size(inputs.shape[1:], [box]), max(len(inputs), 1))
    if box.fixed_batch:
        size = max(1, size // box.fixed_batch) * box.fixed_batch
    answers = []
    for start in range(0, len(inputs), size):
        part = inputs[start : start + size]
        plain = part.astype(np.float32) / np.float32(255) if part.dtype == np.uint8 else part.astype(np.float32)
        full = np.concatenate([plain, np.repeat(plain[-1:], size - len(plain), axis=0)])
        answer = np.concatenate(
            [np.asarray(box(full[i : i + (box.fixed_batch or size)])) for i in range(0, size, box.fixed_batch or size)]
        )
        if answer.ndim != 2 or len(answer) != size:
            raise _shape_error(box, answer.shape, size)
        answers.append(answer[: len(part)].astype(np.float32))
    return np.concatenate(answers)


def query(
    box: BlackBox,
    probes: ProbeSet,
    *,
    batch_size: int | None = None,
    mode: Mode = "auto",
    devices: Sequence[jax.Device] | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Ask a model every question of a probe set and keep all answers (paper, Algorithm 1, line 6).

    `sign` does not need this: it fits as answers arrive. Use it to fit with something else, or to store the answers.

    Returns:
        outputs float32 [refs, samples, classes]; a repeated mask gets the answer of its first appearance.

    Raises:
        ModelOutputError: see `stream`.
    """
    _check_box(box)
    with progress_bar(f"asking {box.label}", probes.n_queries, unit="queries", show=progress) as update:
        answers = []
        for batch in stream([box], probes, batch_size=batch_size, mode=mode, devices=devices):
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

    Yields:
        Batch, with outputs checked: two-dimensional, always the same number of classes, finite.

    Raises:
        ModelOutputError: outputs are not [batch, classes], change shape, are NaN or infinite, or the model answers the same
            inputs differently (checked on the first batch); the message names model and input.
    """
    if not boxes:
        raise ValueError("no models were given; pass at least one black box")
    for box in boxes:
        _check_box(box)
    devices = list(devices or jax.local_devices())
    spread = len(devices) > 1 and any(isinstance(box, JaxBlackBox) for box in boxes)
    size = _checked_batch_size(batch_size, probes, boxes, len(devices) if spread else 1)
    composer = _Composer(probes, devices if spread else devices[:1], size)
    askers = [_asker(box, composer, mode, alone=len(boxes) == 1) for box in boxes]
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
            if start == first:
                asker.check_repeats(composer, answer, start)
        yield Batch(start, stop, [answer[: stop - start] for answer in outputs])


def _checked_batch_size(size: int | None, probes: ProbeSet, boxes: Sequence[BlackBox], n_devices: int) -> int:
    if size is None:
        return default_batch_size(probes.references.shape[1:], boxes, n_devices)
    if size < 1:
        raise ValueError(f"`batch_size` is {size}; give at least 1")
    for box in boxes:
        if box.fixed_batch and size % box.fixed_batch:
            raise ValueError(
                f"`batch_size` is {size} but {box.label} accepts only batches of {box.fixed_batch}; give a multiple of that"
            )
    return math.ceil(size / n_devices) * n_devices


class _Composer:
    """Holds the probes on the device and hands out the index arrays of a batch."""

    def __init__(self, probes: ProbeSet, devices: Sequence[jax.Device], size: int) -> None:
        mesh = Mesh(np.array(devices), ("batch",))
        self.rows = NamedSharding(mesh, PartitionSpec("batch"))
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.arrays = probe_arrays(probes, self.everywhere)
        self.distinct = probes.distinct
        self.size = size

    def indices(self, queries: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return jax.device_put((self.distinct.reference[queries], self.distinct.packed[queries]), self.rows)

    def batch(self, start: int) -> np.ndarray:
        """The queries from `start`; the last batch repeats the last query, so that all batches have one shape."""
        return np.minimum(np.arange(start, start + self.size), len(self.distinct.reference) - 1)

    def start(self, start: int, askers: "Sequence[_Asker]") -> list[Any]:
        return self.dispatch(self.batch(start), askers)

    def dispatch(self, queries: np.ndarray, askers: "Sequence[_Asker]") -> list[Any]:
        reference, packed = self.indices(queries)
        prepared: dict[InputSpec, jax.Array] = {}
        return [asker.start(reference, packed, prepared) for asker in askers]


class _Asker:
    """One model while it is being asked: starts a batch on the device, finishes it on the host, checks the answer."""

    def __init__(self, box: BlackBox, composer: _Composer) -> None:
        self.box = box
        self.composer = composer
        self.classes: int | None = None

    def start(self, reference: jax.Array, packed: jax.Array, prepared: dict[InputSpec, jax.Array]) -> Any:
        """Compose for this model; models with the same `InputSpec` share the result through `prepared`."""
        spec = self.box.spec
        if spec not in prepared:
            prepared[spec] = _compose(spec, self.composer.arrays, reference, packed)
        return prepared[spec]

    def finish(self, started: Any) -> np.ndarray:
        raise NotImplementedError

    def check_shape(self) -> None:
        """Before any query, where the model can tell."""

    def check(self, outputs: np.ndarray, start: int, stop: int, probes: ProbeSet) -> None:
        size = self.composer.size
        if outputs.ndim != 2 or len(outputs) != size or outputs.shape[1] == 0:
            raise _shape_error(self.box, outputs.shape, size)
        if self.classes is None:
            self.classes = outputs.shape[1]
        names = self.box.class_names
        if names is not None and len(names) != outputs.shape[1]:
            raise ValueError(
                f"{self.box.label} has {outputs.shape[1]} outputs but {len(names)} class names; give one name "
                "per output, in order"
            )
        if outputs.shape[1] != self.classes:
            raise ModelOutputError(
                f"{self.box.label} answered queries {start} to {stop - 1} with {outputs.shape[1]} classes, earlier ones with "
                f"{self.classes}; a black box must always have the same classes"
            )
        finite = np.isfinite(outputs[: stop - start]).all(axis=1)
        if not finite.all():
            bad = start + int(np.flatnonzero(~finite)[0])
            reference = int(probes.distinct.reference[bad])
            mask = np.unpackbits(probes.distinct.packed[bad], count=int(probes.n_segments[reference]))
            sample = int(np.flatnonzero(probes.distinct.inverse[reference] == bad)[0])
            raise ModelOutputError(
                f"{self.box.label} answered {np.count_nonzero(~finite)} of queries {start} to {stop - 1} with "
                "NaN or infinity, first "
                f"the perturbed input of reference {reference}, sample {sample} (mask {''.join(map(str, mask))}): "
                f"{outputs[bad - start][:5]}...; compose it with `compose(probes, {reference}, slice({sample}, "
                f"{sample + 1}))` and "
                "check the model's normalisation and precision"
            )

    def check_repeats(self, composer: _Composer, answer: np.ndarray, start: int) -> None:
        """Ask the first batch again, as it was and in other company, and compare (once per model)."""
        queries = composer.batch(start)
        spread = float(answer.std(axis=0).mean()) + 1e-6 * float(np.abs(answer).max(initial=0)) + 1e-30

        def again(rows: np.ndarray) -> np.ndarray:
            return self.finish(composer.dispatch(rows, [self])[0])

        change = _rms(again(queries) - answer) / spread
        if change > REPEAT_TOLERANCE:
            raise ModelOutputError(
                f"{self.box.label} is not deterministic: asked the same {len(queries)} inputs twice, its "
                f"outputs moved by {change:.1%} of "
                "their spread. Is dropout left on? Put the model in evaluation mode (`model.eval()`)"
            )
        half = len(queries) // 2
        if half == 0:
            return
        change = (
            _rms(again(np.concatenate([queries[:half], queries[: len(queries) - half]]))[:half] - answer[:half])
            / spread
        )
        if change > COMPANY_TOLERANCE:
            raise ModelOutputError(
                f"the outputs of {self.box.label} depend on what else is in the batch: they moved by "
                f"{change:.1%} of their spread when "
                "half of it was exchanged. Is batch normalisation in training mode? Put the model in "
                "evaluation mode (`model.eval()`)"
            )


class _FusedAsker(_Asker):
    """A JAX model: composing and answering are one compiled function when it is alone, two when models share a batch."""

    box: JaxBlackBox

    def __init__(self, box: JaxBlackBox, composer: _Composer, alone: bool) -> None:
        super().__init__(box, composer)
        self.alone = alone
        self.state = jax.device_put(box.state, composer.everywhere)

    def check_shape(self) -> None:
        reference, packed = self.composer.indices(self.composer.batch(0))
        # The trace is kept: the first batch compiles from it.
        shape = _compose_and_answer.eval_shape(
            self.box.apply, self.box.spec, self.state, self.composer.arrays, reference, packed
        ).shape
        if len(shape) != 2 or shape[0] != self.composer.size:
            raise _shape_error(self.box, shape, self.composer.size)

    def start(self, reference: jax.Array, packed: jax.Array, prepared: dict[InputSpec, jax.Array]) -> jax.Array:
        if self.alone:
            return _compose_and_answer(
                self.box.apply, self.box.spec, self.state, self.composer.arrays, reference, packed
            )
        return _answer(self.box.apply, self.state, super().start(reference, packed, prepared))

    def finish(self, started: jax.Array) -> np.ndarray:
        return np.asarray(started)


class _LoopAsker(_Asker):
    """A host model asked from the loop, while the device composes the next batch."""

    box: HostBlackBox

    def finish(self, started: jax.Array) -> np.ndarray:
        return _ask_in_chunks(self.box, np.asarray(started))


class _CallbackAsker(_Asker):
    """A host model asked from inside the compiled function."""

    box: HostBlackBox

    def check_shape(self) -> None:
        # A callback must declare its result, so the number of classes is learnt from one real batch.
        reference, packed = self.composer.indices(self.composer.batch(0))
        answer = _ask_in_chunks(self.box, np.asarray(_compose(self.box.spec, self.composer.arrays, reference, packed)))
        if answer.ndim != 2 or len(answer) != self.composer.size:
            raise _shape_error(self.box, answer.shape, self.composer.size)
        self.classes = answer.shape[1]
        self.failure: BaseException | None = None
        spec, shape = self.box.spec, jax.ShapeDtypeStruct(answer.shape, jnp.float32)

        def compose_and_call(arrays: ProbeArrays, reference: jax.Array, packed: jax.Array) -> jax.Array:
            return jax.pure_callback(self._call, shape, spec.prepare(compose_batch(arrays, reference, packed)))

        # Compiled here and not at module level: a module-level cache would keep the host model alive.
        self._compose_and_call = jax.jit(compose_and_call)

    def start(self, reference: jax.Array, packed: jax.Array, prepared: dict[InputSpec, jax.Array]) -> jax.Array:
        return self._compose_and_call(self.composer.arrays, reference, packed)

    def _call(self, prepared: Any) -> np.ndarray:
        try:
            answer = _ask_in_chunks(self.box, np.asarray(prepared))
            if answer.shape != (self.composer.size, self.classes):
                raise _shape_error(self.box, answer.shape, self.composer.size)
        except BaseException as error:
            # XLA would wrap it in an error of its own, or lose an interrupt; `finish` raises the original.
            self.failure = error
            return np.full((self.composer.size, self.classes or 1), np.nan, np.float32)
        return answer

    def finish(self, started: jax.Array) -> np.ndarray:
        answer = np.asarray(started)
        if self.failure is not None:
            raise self.failure
        return answer


def _asker(box: BlackBox, composer: _Composer, mode: Mode, *, alone: bool) -> _Asker:
    if mode not in ("auto", "loop", "callback"):
        raise ValueError(f"unknown mode {mode!r}; choose 'auto', 'loop' or 'callback'")
    if isinstance(box, JaxBlackBox):
        return _FusedAsker(box, composer, alone)
    assert isinstance(box, HostBlackBox)
    return _CallbackAsker(box, composer) if mode == "callback" else _LoopAsker(box, composer)


def _check_box(box: object) -> None:
    if not isinstance(box, JaxBlackBox | HostBlackBox):
        raise TypeError(
            f"a black box was expected, got {type(box).__name__}; wrap the model with from_flax, from_torch, "
            "from_onnx, from_jax or "
            "from_callable"
        )


def _ask_in_chunks(box: HostBlackBox, prepared: np.ndarray) -> np.ndarray:
    step = box.fixed_batch or len(prepared)
    answers = [np.asarray(box.ask(prepared[i : i + step]), np.float32) for i in range(0, len(prepared), step)]
    for answer in answers:
        if answer.ndim != 2 or len(answer) != step:
            raise _shape_error(box, answer.shape, step)
    return answers[0] if len(answers) == 1 else np.concatenate(answers)


def _shape_error(box: BlackBox, shape: Any, size: int) -> ModelOutputError:
    return ModelOutputError(
        f"{box.label} answered a batch of {size} inputs with {shape}; one row of class scores per input is "
        f"needed, [{size}, classes]. "
        "If the model has several outputs, choose one with `output`"
    )


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


@functools.partial(jax.jit, static_argnums=0)
def _compose(spec: InputSpec, arrays: ProbeArrays, reference: jax.Array, packed: jax.Array) -> jax.Array:
    return spec.prepare(compose_batch(arrays, reference, packed))


@functools.partial(jax.jit, static_argnums=0)
def _answer(apply: Callable, state: Any, prepared: jax.Array) -> jax.Array:
    return apply(state, prepared).astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _compose_and_answer(
    apply: Callable, spec: InputSpec, state: Any, arrays: ProbeArrays, reference: jax.Array, packed: jax.Array
) -> jax.Array:
    return apply(state, spec.prepare(compose_batch(arrays, reference, packed))).astype(jnp.float32)
