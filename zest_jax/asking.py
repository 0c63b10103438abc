"""How one batch of questions reaches one model: composing, asking on the device or on the host, checking the answer."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zest_jax.blackbox.batches import default_batch_size
from zest_jax.blackbox.outputs import change, wrong_rows
from zest_jax.blackbox.protocol import BlackBox, HostBlackBox, InputSpec, JaxBlackBox, TextSpec
from zest_jax.blackbox.takes import check_takes
from zest_jax.errors import ModelOutputError
from zest_jax.probes.composition import compose_batch, probe_arrays
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.strings import StringComposer

Spec = InputSpec | TextSpec

Mode = Literal["auto", "loop", "callback"]

# Two answers to the same input may differ by this share of the outputs' spread (atomics, other kernels).
REPEAT_TOLERANCE = 1e-3
# Answers may differ by this share when the batch is rearranged: dynamic quantisation does that, mildly.
COMPANY_TOLERANCE = 2e-2


class Composer:
    """Holds the probes on the device and hands out the index arrays of a batch."""

    def __init__(self, probes: ProbeSet, devices: Sequence[jax.Device], size: int) -> None:
        mesh = Mesh(np.array(devices), ("batch",))
        self.rows = NamedSharding(mesh, PartitionSpec("batch"))
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.probes = probes
        self.distinct = probes.distinct
        self.size = size
        self._arrays: dict[Spec | None, Any] = {}

    def arrays(self, spec: Spec) -> Any:
        """What composition for such a model needs on the device: the same for all, but for the token ids of texts."""
        key = spec if isinstance(spec, TextSpec) else None
        if key not in self._arrays:
            self._arrays[key] = probe_arrays(self.probes, self.everywhere, spec)
        return self._arrays[key]

    @functools.cached_property
    def strings(self) -> StringComposer:
        """Composes texts for models that take strings."""
        return StringComposer(self.probes)

    def indices(self, queries: np.ndarray) -> tuple[Any, Any]:
        """Reference and mask of each query. Handing NumPy to the compiled function is cheaper than `device_put`."""
        found = self.distinct.reference[queries], self.distinct.packed[queries]
        return found if self.rows.mesh.size == 1 else jax.device_put(found, self.rows)

    def batch(self, start: int) -> np.ndarray:
        """The queries from `start`; the last batch repeats the last query, so that all batches have one shape."""
        return np.minimum(np.arange(start, start + self.size), len(self.distinct.reference) - 1)

    def start(self, start: int, askers: "Sequence[Asker]") -> list[Any]:
        return self.dispatch(self.batch(start), askers)

    def dispatch(self, queries: np.ndarray, askers: "Sequence[Asker]") -> list[Any]:
        reference, packed = self.indices(queries)
        prepared: dict[Spec, Any] = {}
        return [asker.start(reference, packed, prepared) for asker in askers]


class Asker:
    """One model while it is being asked: starts a batch on the device, finishes it on the host, checks the answer."""

    def __init__(self, box: BlackBox, composer: Composer) -> None:
        self.box = box
        self.composer = composer
        self.classes: int | None = None

    def start(self, reference: jax.Array, packed: jax.Array, prepared: dict[Spec, Any]) -> Any:
        """Compose for this model; models with the same spec share the result through `prepared`."""
        spec = self.box.spec
        if spec not in prepared:
            prepared[spec] = _compose(spec, self.composer.arrays(spec), reference, packed)
        return prepared[spec]

    def finish(self, started: Any) -> np.ndarray:
        raise NotImplementedError

    def check_shape(self) -> None:
        """Before any query, where the model can tell."""

    def check(self, outputs: np.ndarray, start: int, stop: int, probes: ProbeSet) -> None:
        size = self.composer.size
        if outputs.ndim != 2 or len(outputs) != size or outputs.shape[1] == 0:
            raise wrong_rows(self.box.label, outputs.shape, size)
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

    def check_repeats(self, answer: np.ndarray, start: int) -> None:
        """Ask the first batch again, as it was and in other places and company, and compare (once per model)."""
        queries = self.composer.batch(start)

        def again(rows: np.ndarray, nth: int) -> np.ndarray:
            with self.box.asked_again(nth):
                return self.finish(self.composer.dispatch(rows, [self])[0])

        moved = change(answer, again(queries, 1))
        if moved > REPEAT_TOLERANCE:
            raise ModelOutputError(
                f"{self.box.label} is not deterministic: asked the same {len(queries)} inputs twice, its outputs moved by "
                f"{moved:.1%} of their spread. Is dropout left on? Put the model in evaluation mode (`model.eval()`)"
            )
        half = len(queries) // 2
        if half == 0:
            return
        moved = change(answer[:half], again(rearranged(queries), 2)[-half:])
        if moved > COMPANY_TOLERANCE:
            raise ModelOutputError(
                f"the outputs of {self.box.label} depend on the place in the batch or on what else is in it: they moved by "
                f"{moved:.1%} of their spread when the batch was rearranged. Is dropout or batch normalisation in training "
                "mode? Put the model in evaluation mode (`model.eval()`). A model that is meant to be so (int8 with dynamic "
                "scales) can be signed with check=False"
            )


class _FusedAsker(Asker):
    """A JAX model: composing and answering are one compiled function when it is alone, two when models share a batch."""

    box: JaxBlackBox

    def __init__(self, box: JaxBlackBox, composer: Composer, alone: bool) -> None:
        super().__init__(box, composer)
        self.alone = alone
        self.state = jax.device_put(box.state, composer.everywhere)

    def check_shape(self) -> None:
        reference, packed = self.composer.indices(self.composer.batch(0))
        # The trace is kept: the first batch compiles from it.
        shape = _compose_and_answer.eval_shape(
            self.box.apply, self.box.spec, self.state, self.composer.arrays(self.box.spec), reference, packed
        ).shape
        if len(shape) != 2 or shape[0] != self.composer.size:
            raise wrong_rows(self.box.label, shape, self.composer.size)

    def start(self, reference: jax.Array, packed: jax.Array, prepared: dict[Spec, Any]) -> jax.Array:
        if self.alone:
            return _compose_and_answer(
                self.box.apply, self.box.spec, self.state, self.composer.arrays(self.box.spec), reference, packed
            )
        return _answer(self.box.apply, self.state, super().start(reference, packed, prepared))

    def finish(self, started: jax.Array) -> np.ndarray:
        return np.asarray(started)


class _LoopAsker(Asker):
    """A host model asked from the loop, while the device composes the next batch."""

    box: HostBlackBox

    def finish(self, started: jax.Array) -> np.ndarray:
        return self.box.ask(np.asarray(started))


class _StringsAsker(Asker):
    """A host model that takes strings; they are composed on the host."""

    box: HostBlackBox

    def start(self, reference: Any, packed: Any, prepared: dict[Spec, Any]) -> np.ndarray:
        if self.box.spec not in prepared:
            prepared[self.box.spec] = self.composer.strings(np.asarray(reference), np.asarray(packed))
        return prepared[self.box.spec]

    def finish(self, started: np.ndarray) -> np.ndarray:
        return self.box.ask(started)


class _CallbackAsker(Asker):
    """A host model asked from inside the compiled function."""

    box: HostBlackBox

    def check_shape(self) -> None:
        # A callback must declare its result, so the number of classes is learnt from one real batch.
        reference, packed = self.composer.indices(self.composer.batch(0))
        arrays = self.composer.arrays(self.box.spec)
        answer = self.box.ask(np.asarray(_compose(self.box.spec, arrays, reference, packed)))
        if answer.ndim != 2 or len(answer) != self.composer.size:
            raise wrong_rows(self.box.label, answer.shape, self.composer.size)
        self.classes = answer.shape[1]
        self.failure: BaseException | None = None
        spec, shape = self.box.spec, jax.ShapeDtypeStruct(answer.shape, jnp.float32)

        def compose_and_call(arrays: Any, reference: jax.Array, packed: jax.Array) -> jax.Array:
            composed: Any = compose_batch(arrays, reference, packed)
            return jax.pure_callback(self._call, shape, spec.prepare(composed))

        # Compiled here and not at module level: a module-level cache would keep the host model alive.
        self._compose_and_call = jax.jit(compose_and_call)

    def start(self, reference: jax.Array, packed: jax.Array, prepared: dict[Spec, Any]) -> jax.Array:
        return self._compose_and_call(self.composer.arrays(self.box.spec), reference, packed)

    def _call(self, prepared: Any) -> np.ndarray:
        try:
            answer = self.box.ask(np.asarray(prepared))
            if answer.shape != (self.composer.size, self.classes):
                raise wrong_rows(self.box.label, answer.shape, self.composer.size)
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


def asker_of(box: BlackBox, composer: Composer, mode: Mode, *, alone: bool) -> Asker:
    """Choose how a model is asked; `alone` when no other model shares its batches."""
    if mode not in ("auto", "loop", "callback"):
        raise ValueError(f"unknown mode {mode!r}; choose 'auto', 'loop' or 'callback'")
    if isinstance(box, JaxBlackBox):
        return _FusedAsker(box, composer, alone)
    assert isinstance(box, HostBlackBox)
    if isinstance(box.spec, TextSpec):
        if mode == "callback":
            raise ValueError(
                f"{box.label} takes strings, which no callback out of compiled code can carry; leave out `mode`"
            )
        return _StringsAsker(box, composer)
    if mode == "callback" and not box.in_callbacks:
        raise ValueError(
            f"{box.label} is asked over the network, which compiled code must not wait for; leave out `mode`"
        )
    return _CallbackAsker(box, composer) if mode == "callback" else _LoopAsker(box, composer)


def rearranged(queries: np.ndarray) -> np.ndarray:
    """A batch with its first half moved to the end; empty for a batch of one.

    There a mask that dropout draws by position is another one. The second half, which batch normalisation would mix in, is
    replaced.
    """
    half = len(queries) // 2
    return np.concatenate([queries[: len(queries) - half], queries[:half]]) if half else queries[:0]


def make_composer(
    boxes: Sequence[BlackBox], probes: ProbeSet, batch_size: int | None, devices: Sequence[jax.Device] | None
) -> Composer:
    """What composes the batches for these models, of the size and on the devices that `zest_jax.querying.stream` takes."""
    devices = list(devices or jax.local_devices())
    spread = len(devices) > 1 and any(isinstance(box, JaxBlackBox) for box in boxes)
    size = _checked_batch_size(batch_size, probes, boxes, len(devices) if spread else 1)
    return Composer(probes, devices if spread else devices[:1], size)


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


def check_box(box: object, probes: ProbeSet) -> None:
    """Refuse, by name, what is no black box, and a model that cannot be asked these questions.

    Raises:
        TypeError: it is no black box.
        ValueError: it takes texts and the probes are none, or the other way round; or sounds of another rate.
    """
    if not isinstance(box, JaxBlackBox | HostBlackBox):
        raise TypeError(
            f"a black box was expected, got {type(box).__name__}; wrap the model with from_flax, from_torch, "
            "from_onnx, from_jax or from_callable, a model of texts with from_texts, from_sklearn or from_transformers"
        )
    check_takes(box, probes.modality, probes.rate, what="the probes")


@functools.partial(jax.jit, static_argnums=0)
def _compose(spec: Spec, arrays: Any, reference: jax.Array, packed: jax.Array) -> Any:
    composed: Any = compose_batch(arrays, reference, packed)
    return spec.prepare(composed)


@functools.partial(jax.jit, static_argnums=0)
def _answer(apply: Callable, state: Any, prepared: jax.Array) -> jax.Array:
    return apply(state, prepared).astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _compose_and_answer(
    apply: Callable, spec: Spec, state: Any, arrays: Any, reference: jax.Array, packed: jax.Array
) -> jax.Array:
    composed: Any = compose_batch(arrays, reference, packed)
    return apply(state, spec.prepare(composed)).astype(jnp.float32)
