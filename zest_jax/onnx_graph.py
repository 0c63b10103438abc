"""An ONNX graph that grows node by node, for a batch of any size.

A value may be kept smaller than JAX says it is, with 1 where it was broadcast: elementwise operations of ONNX broadcast by
themselves, and only the others get it expanded (`Graph.full`).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import onnx
from onnx import helper, numpy_helper

# A size that nothing else has, a large prime, by which the batch is known in every shape.
BATCH = 1_000_003


class UnsupportedOperationError(ValueError):
    """The function does something that is not translated; the message names it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph: its name, or its content where it does not depend on the input."""

    name: str | None
    shape: tuple[Any, ...]
    content: np.ndarray | None = None


class Graph:
    """Nodes and constants, each constant once, from one input.

    Args:
        spec: of the input, with `BATCH` in place of its number.
    """

    def __init__(self, spec: jax.ShapeDtypeStruct) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[Any, onnx.TensorProto] = {}
        self.input = Value("inputs", spec.shape)
        self._count = 0

    def node(
        self, op: str, inputs: Sequence["Value | np.ndarray | str"], output: str | None = None, **attrs: Any
    ) -> str:
        self._count += 1
        output = output or f"t{self._count}"
        names = [self._name(value) for value in inputs]
        self.nodes.append(helper.make_node(op, names, [output], name=f"{op}_{self._count}", **attrs))
        return output

    def _name(self, value: "Value | np.ndarray | str") -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Value):
            if value.name is not None:
                return value.name
            value = content_of(value)
        value = np.asarray(value)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self.initializers:
            self.initializers[key] = numpy_helper.from_array(value, f"c{len(self.initializers)}")
        return self.initializers[key].name

    @functools.cached_property
    def _batch(self) -> str:
        return self.node("Shape", [self.input], start=0, end=1)

    def full(self, value: Value, shape: Sequence[Any]) -> Value:
        """The value with all of its elements where broadcasting was put off."""
        if tuple(value.shape) == tuple(shape):
            return value
        if value.content is not None and not any(map(is_open, shape)):
            return constant(np.broadcast_to(value.content, tuple(map(int, shape))))
        parts = [self._batch if is_open(size) else np.array([size], np.int64) for size in shape]
        if any(is_open(size) and size != BATCH for size in shape):
            raise UnsupportedOperationError(
                "a broadcast over the batch merged with another axis is not translated to ONNX"
            )
        wanted = self.node("Concat", parts, axis=0)
        return Value(self.node("Expand", [value, wanted]), tuple(shape))

    def reshaped(self, value: Value, shape: Sequence[Any]) -> Value:
        if tuple(value.shape) == tuple(shape):
            return value
        if value.content is not None:
            return constant(value.content.reshape(tuple(map(int, shape))))
        sizes = [-1 if is_open(size) else int(size) for size in shape]
        if sizes.count(-1) > 1:
            raise UnsupportedOperationError("a reshape splits the batch")
        return Value(self.node("Reshape", [value, np.array(sizes, np.int64)]), tuple(shape))

    def transposed(self, value: Value, order: Sequence[int]) -> Value:
        if list(order) == sorted(order):
            return value
        if value.content is not None:
            return constant(value.content.transpose(order))
        return Value(self.node("Transpose", [value], perm=list(order)), tuple(value.shape[i] for i in order))

    def elementwise(self, op: str, *values: Value | np.ndarray, **attrs: Any) -> Value:
        shapes = [value.shape for value in values]
        rank = max(map(len, shapes))
        padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
        shape = tuple(
            next((size for size in sizes if is_open(size) or size != 1), 1) for sizes in zip(*padded, strict=True)
        )
        return Value(self.node(op, values, **attrs), shape)


def constant(content: np.ndarray) -> Value:
    """A value that does not depend on the input."""
    return Value(None, content.shape, content)


def content_of(value: Value) -> np.ndarray:
    """What is in a constant."""
    assert value.content is not None
    return value.content


def is_open(size: Any) -> bool:
    """Whether a size is that of the batch, or of what the batch was merged with."""
    return size > 0 and size % BATCH == 0


def element_type(dtype: Any) -> int:
    """The number that ONNX has for a type."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
