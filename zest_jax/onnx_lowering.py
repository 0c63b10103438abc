"""A JAX function as an ONNX graph: its jaxpr, operation by operation.

Only what classifiers are made of is known here; anything else is refused by name. What does not depend on the input is
computed now and stored. The graph takes any number of inputs: the function is traced with a batch of a size that nothing
else has, a large prime, by which the batch is known in every shape. (JAX's symbolic sizes would do that too, but `len(x)`
fails on them and strided slices become gathers.)

A value may be kept smaller than JAX says it is, with 1 where it was broadcast: elementwise operations of ONNX broadcast by
themselves, and only the others get it expanded.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend import core
from onnx import helper, numpy_helper

_BATCH = 1_000_003

_ELEMENTWISE = {
    "abs": "Abs",
    "add": "Add",
    "add_any": "Add",
    "and": "And",
    "ceil": "Ceil",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "pow": "Pow",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
_LOGICAL = {"and", "or", "not"}
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}
_UNCHANGED = {"copy", "copy_p", "stop_gradient", "optimization_barrier", "sharding_constraint"}


class UnsupportedOperationError(ValueError):
    """The function does something that is not translated; the message names it."""


def onnx_model(
    fn: Callable[[jax.Array], jax.Array], shape: Sequence[int], dtype: Any, *, name: str, opset: int
) -> onnx.ModelProto:
    """Translate `fn`, from inputs [batch, *shape] to outputs [batch, ...], with a batch of any size.

    Raises:
        UnsupportedOperationError: an operation is unknown here.

    >>> model = onnx_model(lambda x: jnp.tanh(x).sum(1) + 1, (3,), jnp.float32, name="sum", opset=18)
    >>> [node.op_type for node in model.graph.node]
    ['Tanh', 'ReduceSum', 'Add', 'Identity']
    """
    spec = jax.ShapeDtypeStruct((_BATCH, *shape), dtype)
    closed = jax.make_jaxpr(fn)(spec)
    graph = _Graph(spec)
    (out,) = graph.run(closed.jaxpr, closed.consts, [graph.input])
    (aval,) = closed.out_avals
    graph.node("Identity", [graph.full(out, aval.shape)], output="logits")
    inputs = [helper.make_tensor_value_info("inputs", _type(spec.dtype), ["batch", *map(int, shape)])]
    outputs = [helper.make_tensor_value_info("logits", _type(aval.dtype), ["batch", *map(int, aval.shape[1:])])]
    opset_id = helper.make_opsetid("", opset)
    content = helper.make_graph(graph.nodes, name, inputs, outputs, list(graph.initializers.values()))
    model = helper.make_model(content, opset_imports=[opset_id], producer_name="zest_jax")
    model.ir_version = helper.find_min_ir_version_for([opset_id])
    return model


@dataclasses.dataclass(frozen=True, eq=False)
class _Value:
    """A tensor of the graph: its name, or its content where it does not depend on the input."""

    name: str | None
    shape: tuple[Any, ...]
    content: np.ndarray | None = None


class _Graph:
    def __init__(self, spec: jax.ShapeDtypeStruct) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[Any, onnx.TensorProto] = {}
        self.input = _Value("inputs", spec.shape)
        self._count = 0

    # Building.

    def node(
        self, op: str, inputs: Sequence["_Value | np.ndarray | str"], output: str | None = None, **attrs: Any
    ) -> str:
        self._count += 1
        output = output or f"t{self._count}"
        names = [self._name(value) for value in inputs]
        self.nodes.append(helper.make_node(op, names, [output], name=f"{op}_{self._count}", **attrs))
        return output

    def _name(self, value: "_Value | np.ndarray | str") -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, _Value):
            if value.name is not None:
                return value.name
            value = _content(value)
        value = np.asarray(value)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self.initializers:
            self.initializers[key] = numpy_helper.from_array(value, f"c{len(self.initializers)}")
        return self.initializers[key].name

    @functools.cached_property
    def _batch(self) -> str:
        return self.node("Shape", [self.input], start=0, end=1)

    def full(self, value: _Value, shape: Sequence[Any]) -> _Value:
        """The value with all of its elements where broadcasting was put off."""
        if tuple(value.shape) == tuple(shape):
            return value
        if value.content is not None and not any(map(_is_open, shape)):
            return _constant(np.broadcast_to(value.content, tuple(map(int, shape))))
        parts = [self._batch if _is_open(size) else np.array([size], np.int64) for size in shape]
        if any(_is_open(size) and size != _BATCH for size in shape):
            raise UnsupportedOperationError(
                "a broadcast over the batch merged with another axis is not translated to ONNX"
            )
        wanted = self.node("Concat", parts, axis=0)
        return _Value(self.node("Expand", [value, wanted]), tuple(shape))

    def reshaped(self, value: _Value, shape: Sequence[Any]) -> _Value:
        if tuple(value.shape) == tuple(shape):
            return value
        if value.content is not None:
            return _constant(value.content.reshape(tuple(map(int, shape))))
        sizes = [-1 if _is_open(size) else int(size) for size in shape]
        if sizes.count(-1) > 1:
            raise UnsupportedOperationError("a reshape splits the batch")
        return _Value(self.node("Reshape", [value, np.array(sizes, np.int64)]), tuple(shape))

    def transposed(self, value: _Value, order: Sequence[int]) -> _Value:
        if list(order) == sorted(order):
            return value
        if value.content is not None:
            return _constant(value.content.transpose(order))
        return _Value(self.node("Transpose", [value], perm=list(order)), tuple(value.shape[i] for i in order))

    def elementwise(self, op: str, *values: _Value | np.ndarray, **attrs: Any) -> _Value:
        shapes = [value.shape for value in values]
        rank = max(map(len, shapes))
        padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
        shape = tuple(
            next((size for size in sizes if _is_open(size) or size != 1), 1) for sizes in zip(*padded, strict=True)
        )
        return _Value(self.node(op, values, **attrs), shape)

    # Walking the jaxpr.

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[_Value]) -> list[_Value]:
        known: dict[Any, _Value] = {}
        known.update(zip(jaxpr.constvars, (_constant(np.asarray(const)) for const in consts), strict=True))
        known.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> _Value:
            literal = isinstance(atom, core.Literal)
            return _constant(np.asarray(atom.val, getattr(atom.aval, "dtype", None))) if literal else known[atom]

        for eqn in jaxpr.eqns:
            known.update(zip(eqn.outvars, self._outputs(eqn, [read(atom) for atom in eqn.invars]), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _outputs(self, eqn: Any, values: list[_Value]) -> list[_Value]:
        name, params = eqn.primitive.name, eqn.params
        if name in _CALLS:
            inner = params.get("jaxpr") or params.get("call_jaxpr")
            jaxpr, consts = (inner.jaxpr, inner.consts) if hasattr(inner, "jaxpr") else (inner, [])
            return self.run(jaxpr, consts, values)
        out = eqn.outvars[0].aval
        sizes = [size for atom in (*eqn.invars, *eqn.outvars) for size in atom.aval.shape]
        if all(value.content is not None for value in values) and not any(map(_is_open, sizes)):
            operands = [np.broadcast_to(_content(v), a.aval.shape) for v, a in zip(values, eqn.invars, strict=True)]
            made = eqn.primitive.bind(*map(jnp.asarray, operands), **params)
            return [_constant(np.asarray(each)) for each in (made if eqn.primitive.multiple_results else [made])]
        if name in _UNCHANGED:
            return values
        if name in _ELEMENTWISE and not (name in _LOGICAL and out.dtype != np.bool_):
            return [self.elementwise(_ELEMENTWISE[name], *values)]
        if name in ("broadcast_in_dim", *_SHAPELESS):
            return [getattr(self, f"_{name}")(eqn, *values)]
        lower = getattr(self, f"_{name}", None)
        if lower is None or name not in _WHOLE:
            raise UnsupportedOperationError(f"the operation `{name}` is not translated to ONNX")
        whole = [self.full(value, atom.aval.shape) for value, atom in zip(values, eqn.invars, strict=True)]
        made = lower(eqn, *whole)
        return made if isinstance(made, list) else [made]

    # Operations that broadcast.

    def _broadcast_in_dim(self, eqn: Any, x: _Value, *_: _Value) -> _Value:
        shape: list[Any] = [1] * len(eqn.params["shape"])
        for axis, size in zip(eqn.params["broadcast_dimensions"], x.shape, strict=True):
            shape[axis] = size
        return self.reshaped(x, shape)

    def _ne(self, eqn: Any, a: _Value, b: _Value) -> _Value:
        return self.elementwise("Not", self.elementwise("Equal", a, b))

    def _rsqrt(self, eqn: Any, x: _Value) -> _Value:
        return self.elementwise("Reciprocal", self.elementwise("Sqrt", x))

    def _square(self, eqn: Any, x: _Value) -> _Value:
        return self.elementwise("Mul", x, x)

    def _integer_pow(self, eqn: Any, x: _Value) -> _Value:
        return self.elementwise("Pow", x, np.asarray(eqn.params["y"], eqn.invars[0].aval.dtype))

    def _clamp(self, eqn: Any, low: _Value, x: _Value, high: _Value) -> _Value:
        return self.elementwise("Min", self.elementwise("Max", x, low), high)

    def _select_n(self, eqn: Any, which: _Value, *cases: _Value) -> _Value:
        if len(cases) != 2 or eqn.invars[0].aval.dtype != np.bool_:
            raise UnsupportedOperationError("`select_n` between more than two cases is not translated to ONNX")
        return self.elementwise("Where", which, cases[1], cases[0])

    def _convert_element_type(self, eqn: Any, x: _Value) -> _Value:
        if eqn.invars[0].aval.dtype == eqn.outvars[0].aval.dtype:
            return x
        return self.elementwise("Cast", x, to=_type(eqn.outvars[0].aval.dtype))

    # Operations on whole tensors.

    def _reshape(self, eqn: Any, x: _Value, *_: _Value) -> _Value:
        return self.reshaped(x, eqn.outvars[0].aval.shape)

    _squeeze = _expand_dims = _reshape

    def _transpose(self, eqn: Any, x: _Value) -> _Value:
        return self.transposed(x, eqn.params["permutation"])

    def _concatenate(self, eqn: Any, *parts: _Value) -> _Value:
        return self._of(eqn, "Concat", *parts, axis=eqn.params["dimension"])

    def _slice(self, eqn: Any, x: _Value) -> _Value:
        starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
        strides = eqn.params["strides"] or (1,) * len(starts)
        cut = zip(range(len(starts)), starts, limits, strides, x.shape, strict=True)
        axes = [i for i, start, limit, stride, size in cut if (start, stride) != (0, 1) or limit != size]
        arrays = [np.array([int(part[i]) for i in axes], np.int64) for part in (starts, limits, range(99), strides)]
        return self._of(eqn, "Slice", x, *arrays)

    def _split(self, eqn: Any, x: _Value) -> list[_Value]:
        axis, start, parts = eqn.params["axis"], 0, []
        for atom in eqn.outvars:
            end = start + atom.aval.shape[axis]
            ends = [np.array([number], np.int64) for number in (start, end, axis)]
            parts.append(_Value(self.node("Slice", [x, *ends]), tuple(atom.aval.shape)))
            start = end
        return parts

    def _pad(self, eqn: Any, x: _Value, value: _Value) -> _Value:
        config = eqn.params["padding_config"]
        if any(between or low < 0 or high < 0 for low, high, between in config):
            raise UnsupportedOperationError("`pad` that cuts or spreads is not translated to ONNX")
        sizes = np.array([low for low, _, _ in config] + [high for _, high, _ in config], np.int64)
        return self._of(eqn, "Pad", x, sizes, value)

    def _reduce(self, eqn: Any, x: _Value, *, op: str) -> _Value:
        return self._of(eqn, op, x, np.array(eqn.params["axes"], np.int64), keepdims=0)

    _reduce_sum = functools.partialmethod(_reduce, op="ReduceSum")
    _reduce_max = functools.partialmethod(_reduce, op="ReduceMax")
    _reduce_min = functools.partialmethod(_reduce, op="ReduceMin")

    def _reduce_logical(self, eqn: Any, x: _Value, *, op: str) -> _Value:
        numbers = self.elementwise("Cast", x, to=onnx.TensorProto.INT32)
        return self.elementwise("Cast", self._reduce(eqn, numbers, op=op), to=onnx.TensorProto.BOOL)

    _reduce_or = functools.partialmethod(_reduce_logical, op="ReduceMax")
    _reduce_and = functools.partialmethod(_reduce_logical, op="ReduceMin")

    def _dot_general(self, eqn: Any, a: _Value, b: _Value) -> _Value:
        (in_a, in_b), (batch_a, batch_b) = eqn.params["dimension_numbers"]
        rank_a, rank_b = len(a.shape), len(b.shape)
        if not batch_a and tuple(in_a) == (rank_a - 1,) and tuple(in_b) == (0,) and rank_b == 2:
            return self._of(eqn, "MatMul", a, b)
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        names_a = [next(letters) for _ in range(rank_a)]
        names_b = [next(letters) for _ in range(rank_b)]
        for i, j in (*zip(in_a, in_b, strict=True), *zip(batch_a, batch_b, strict=True)):
            names_b[j] = names_a[i]
        kept = [names_a[i] for i in batch_a]
        kept += [names_a[i] for i in range(rank_a) if i not in (*in_a, *batch_a)]
        kept += [names_b[j] for j in range(rank_b) if j not in (*in_b, *batch_b)]
        return self._of(eqn, "Einsum", a, b, equation=f"{''.join(names_a)},{''.join(names_b)}->{''.join(kept)}")

    def _conv_general_dilated(self, eqn: Any, x: _Value, kernel: _Value) -> _Value:
        p, (lhs, rhs, out) = eqn.params, eqn.params["dimension_numbers"]
        if set(p["lhs_dilation"]) - {1} or p["batch_group_count"] != 1:
            raise UnsupportedOperationError("a transposed convolution is not translated to ONNX")
        y = self.node(
            "Conv",
            [self.transposed(x, lhs), self.transposed(kernel, rhs)],
            strides=list(p["window_strides"]),
            pads=[low for low, _ in p["padding"]] + [high for _, high in p["padding"]],
            dilations=list(p["rhs_dilation"]),
            group=p["feature_group_count"],
        )
        shape = tuple(eqn.outvars[0].aval.shape[i] for i in out)
        return self.transposed(_Value(y, shape), np.argsort(out).tolist())

    def _reduce_window_max(self, eqn: Any, x: _Value) -> _Value:
        p, last = eqn.params, len(x.shape) - 1
        ends = [p[name][i] for name in ("window_dimensions", "window_strides") for i in (0, last)]
        if set(ends) - {1} or {*p["base_dilation"], *p["window_dilation"]} - {1}:
            raise UnsupportedOperationError("max pooling over channels or with dilation is not translated to ONNX")
        inner = range(1, last)
        order = (0, last, *inner)
        y = self.node(
            "MaxPool",
            [self.transposed(x, order)],
            kernel_shape=[p["window_dimensions"][i] for i in inner],
            strides=[p["window_strides"][i] for i in inner],
            pads=[p["padding"][i][0] for i in inner] + [p["padding"][i][1] for i in inner],
        )
        shape = tuple(eqn.outvars[0].aval.shape[i] for i in order)
        return self.transposed(_Value(y, shape), np.argsort(order).tolist())

    def _gather(self, eqn: Any, table: _Value, indices: _Value) -> _Value:
        """Rows of a table, as an embedding looks them up; those that are not there are NaN, or the nearest."""
        numbers, (rows, *sizes) = eqn.params["dimension_numbers"], table.shape
        rank = len(indices.shape) - 1
        as_rows = (tuple(range(rank, rank + len(sizes))), (0,), (0,))
        found = tuple(map(tuple, (numbers.offset_dims, numbers.collapsed_slice_dims, numbers.start_index_map)))
        if found != as_rows or tuple(eqn.params["slice_sizes"]) != (1, *sizes) or indices.shape[-1] != 1:
            raise UnsupportedOperationError("`gather` of anything but rows is not translated to ONNX")
        number = eqn.invars[1].aval.dtype.type
        row = self.reshaped(indices, indices.shape[:-1])
        clipped = self.elementwise("Min", self.elementwise("Max", row, number(0)), number(rows - 1))
        picked = _Value(self.node("Gather", [table, clipped], axis=0), (*row.shape, *sizes))
        if "FILL" not in str(eqn.params["mode"]):
            return picked
        there = self.reshaped(self.elementwise("Equal", row, clipped), (*row.shape, *(1 for _ in sizes)))
        return self.elementwise("Where", there, picked, np.asarray(np.nan, eqn.outvars[0].aval.dtype))

    def _scan(self, eqn: Any, *values: _Value) -> list[_Value]:
        """A loop of known length, step after step."""
        p = eqn.params
        consts, carry = list(values[: p["num_consts"]]), list(values[p["num_consts"] :][: p["num_carry"]])
        rows = values[p["num_consts"] + p["num_carry"] :]
        carry_avals = [atom.aval for atom in eqn.outvars[: p["num_carry"]]]
        row_avals = [atom.aval for atom in eqn.outvars[p["num_carry"] :]]
        stacks: list[list[_Value]] = [[] for _ in row_avals]
        steps = range(p["length"])
        for step in reversed(steps) if p["reverse"] else steps:
            now = [_Value(self.node("Gather", [x, np.asarray(step)], axis=0), tuple(x.shape[1:])) for x in rows]
            made = self.run(p["jaxpr"].jaxpr, p["jaxpr"].consts, [*consts, *carry, *now])
            carry = [self.full(x, aval.shape) for x, aval in zip(made, carry_avals)]
            for stack, row, aval in zip(stacks, made[len(carry) :], row_avals, strict=True):
                stack.append(self.reshaped(self.full(row, aval.shape[1:]), (1, *aval.shape[1:])))
        stacks = [stack[::-1] if p["reverse"] else stack for stack in stacks]
        stacked = [_Value(self.node("Concat", s, axis=0), a.shape) for s, a in zip(stacks, row_avals, strict=True)]
        return [*carry, *stacked]

    def _of(self, eqn: Any, op: str, *inputs: _Value | np.ndarray, **attrs: Any) -> _Value:
        return _Value(self.node(op, inputs, **attrs), tuple(eqn.outvars[0].aval.shape))


# Operations of one line each that broadcast, and those that need whole tensors.
_SHAPELESS = ("ne", "rsqrt", "square", "integer_pow", "clamp", "select_n", "convert_element_type")
_WHOLE = (
    "reshape", "squeeze", "expand_dims", "transpose", "concatenate", "slice", "split", "pad", "reduce_sum", "reduce_max",
    "reduce_min", "reduce_or", "reduce_and", "dot_general", "conv_general_dilated", "reduce_window_max", "gather", "scan",
)  # fmt: skip


def _constant(content: np.ndarray) -> _Value:
    return _Value(None, content.shape, content)


def _content(value: _Value) -> np.ndarray:
    assert value.content is not None
    return value.content


def _is_open(size: Any) -> bool:
    return size > 0 and size % _BATCH == 0


def _type(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
