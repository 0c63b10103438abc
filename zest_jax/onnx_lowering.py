"""A JAX function as an ONNX graph: its jaxpr, operation by operation.

Only what classifiers are made of is known here; anything else is refused by name. What does not depend on the input is
computed now and stored. The graph takes any number of inputs: the function is traced with a batch of a size that nothing
else has, a large prime, by which the batch is known in every shape. (JAX's symbolic sizes would do that too, but `len(x)`
fails on them and strided slices become gathers.)
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from zest_jax.onnx_graph import (
    BATCH,
    Graph,
    UnsupportedOperationError,
    Value,
    constant,
    content_of,
    element_type,
    is_open,
)

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
    spec = jax.ShapeDtypeStruct((BATCH, *shape), dtype)
    closed = jax.make_jaxpr(fn)(spec)
    graph = _Lowering(spec)
    (out,) = graph.run(closed.jaxpr, closed.consts, [graph.input])
    aval: Any = closed.out_avals[0]  # to a type checker newer versions of JAX tell no shape
    graph.node("Identity", [graph.full(out, aval.shape)], output="logits")
    inputs = [helper.make_tensor_value_info("inputs", element_type(spec.dtype), ["batch", *map(int, shape)])]
    outputs = [helper.make_tensor_value_info("logits", element_type(aval.dtype), ["batch", *map(int, aval.shape[1:])])]
    opset_id = helper.make_opsetid("", opset)
    content = helper.make_graph(graph.nodes, name, inputs, outputs, list(graph.initializers.values()))
    model = helper.make_model(content, opset_imports=[opset_id], producer_name="zest_jax")
    model.ir_version = helper.find_min_ir_version_for([opset_id])
    return model


class _Lowering(Graph):
    """A graph that jaxprs are translated into."""

    # Walking the jaxpr.

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Value]) -> list[Value]:
        known: dict[Any, Value] = {}
        known.update(zip(jaxpr.constvars, (constant(np.asarray(const)) for const in consts), strict=True))
        known.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> Value:
            literal = isinstance(atom, core.Literal)
            return constant(np.asarray(atom.val, getattr(atom.aval, "dtype", None))) if literal else known[atom]

        for eqn in jaxpr.eqns:
            known.update(zip(eqn.outvars, self._outputs(eqn, [read(atom) for atom in eqn.invars]), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _outputs(self, eqn: Any, values: list[Value]) -> list[Value]:
        name, params = eqn.primitive.name, eqn.params
        if name in _CALLS:
            inner = params.get("jaxpr") or params.get("call_jaxpr")
            jaxpr, consts = (inner.jaxpr, inner.consts) if hasattr(inner, "jaxpr") else (inner, [])
            return self.run(jaxpr, consts, values)
        out = eqn.outvars[0].aval
        sizes = [size for atom in (*eqn.invars, *eqn.outvars) for size in atom.aval.shape]
        if all(value.content is not None for value in values) and not any(map(is_open, sizes)):
            operands = [np.broadcast_to(content_of(v), a.aval.shape) for v, a in zip(values, eqn.invars, strict=True)]
            made = eqn.primitive.bind(*map(jnp.asarray, operands), **params)
            return [constant(np.asarray(each)) for each in (made if eqn.primitive.multiple_results else [made])]
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

    def _broadcast_in_dim(self, eqn: Any, x: Value, *_: Value) -> Value:
        shape: list[Any] = [1] * len(eqn.params["shape"])
        for axis, size in zip(eqn.params["broadcast_dimensions"], x.shape, strict=True):
            shape[axis] = size
        return self.reshaped(x, shape)

    def _ne(self, eqn: Any, a: Value, b: Value) -> Value:
        return self.elementwise("Not", self.elementwise("Equal", a, b))

    def _rsqrt(self, eqn: Any, x: Value) -> Value:
        return self.elementwise("Reciprocal", self.elementwise("Sqrt", x))

    def _square(self, eqn: Any, x: Value) -> Value:
        return self.elementwise("Mul", x, x)

    def _integer_pow(self, eqn: Any, x: Value) -> Value:
        return self.elementwise("Pow", x, np.asarray(eqn.params["y"], eqn.invars[0].aval.dtype))

    def _clamp(self, eqn: Any, low: Value, x: Value, high: Value) -> Value:
        return self.elementwise("Min", self.elementwise("Max", x, low), high)

    def _select_n(self, eqn: Any, which: Value, *cases: Value) -> Value:
        if len(cases) != 2 or eqn.invars[0].aval.dtype != np.bool_:
            raise UnsupportedOperationError("`select_n` between more than two cases is not translated to ONNX")
        return self.elementwise("Where", which, cases[1], cases[0])

    def _convert_element_type(self, eqn: Any, x: Value) -> Value:
        if eqn.invars[0].aval.dtype == eqn.outvars[0].aval.dtype:
            return x
        return self.elementwise("Cast", x, to=element_type(eqn.outvars[0].aval.dtype))

    # Operations on whole tensors.

    def _reshape(self, eqn: Any, x: Value, *_: Value) -> Value:
        return self.reshaped(x, eqn.outvars[0].aval.shape)

    _squeeze = _expand_dims = _reshape

    def _transpose(self, eqn: Any, x: Value) -> Value:
        return self.transposed(x, eqn.params["permutation"])

    def _concatenate(self, eqn: Any, *parts: Value) -> Value:
        return self._of(eqn, "Concat", *parts, axis=eqn.params["dimension"])

    def _slice(self, eqn: Any, x: Value) -> Value:
        starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
        strides = eqn.params["strides"] or (1,) * len(starts)
        cut = zip(range(len(starts)), starts, limits, strides, x.shape, strict=True)
        axes = [i for i, start, limit, stride, size in cut if (start, stride) != (0, 1) or limit != size]
        arrays = [np.array([int(part[i]) for i in axes], np.int64) for part in (starts, limits, range(99), strides)]
        return self._of(eqn, "Slice", x, *arrays)

    def _split(self, eqn: Any, x: Value) -> list[Value]:
        axis, start, parts = eqn.params["axis"], 0, []
        for atom in eqn.outvars:
            end = start + atom.aval.shape[axis]
            ends = [np.array([number], np.int64) for number in (start, end, axis)]
            parts.append(Value(self.node("Slice", [x, *ends]), tuple(atom.aval.shape)))
            start = end
        return parts

    def _pad(self, eqn: Any, x: Value, value: Value) -> Value:
        config = eqn.params["padding_config"]
        if any(between or low < 0 or high < 0 for low, high, between in config):
            raise UnsupportedOperationError("`pad` that cuts or spreads is not translated to ONNX")
        sizes = np.array([low for low, _, _ in config] + [high for _, high, _ in config], np.int64)
        return self._of(eqn, "Pad", x, sizes, value)

    def _reduce(self, eqn: Any, x: Value, *, op: str) -> Value:
        return self._of(eqn, op, x, np.array(eqn.params["axes"], np.int64), keepdims=0)

    _reduce_sum = functools.partialmethod(_reduce, op="ReduceSum")
    _reduce_max = functools.partialmethod(_reduce, op="ReduceMax")
    _reduce_min = functools.partialmethod(_reduce, op="ReduceMin")

    def _reduce_logical(self, eqn: Any, x: Value, *, op: str) -> Value:
        numbers = self.elementwise("Cast", x, to=onnx.TensorProto.INT32)
        return self.elementwise("Cast", self._reduce(eqn, numbers, op=op), to=onnx.TensorProto.BOOL)

    _reduce_or = functools.partialmethod(_reduce_logical, op="ReduceMax")
    _reduce_and = functools.partialmethod(_reduce_logical, op="ReduceMin")

    def _dot_general(self, eqn: Any, a: Value, b: Value) -> Value:
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

    def _conv_general_dilated(self, eqn: Any, x: Value, kernel: Value) -> Value:
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
        return self.transposed(Value(y, shape), np.argsort(out).tolist())

    def _reduce_window_max(self, eqn: Any, x: Value) -> Value:
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
        return self.transposed(Value(y, shape), np.argsort(order).tolist())

    def _gather(self, eqn: Any, table: Value, indices: Value) -> Value:
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
        picked = Value(self.node("Gather", [table, clipped], axis=0), (*row.shape, *sizes))
        if "FILL" not in str(eqn.params["mode"]):
            return picked
        there = self.reshaped(self.elementwise("Equal", row, clipped), (*row.shape, *(1 for _ in sizes)))
        return self.elementwise("Where", there, picked, np.asarray(np.nan, eqn.outvars[0].aval.dtype))

    def _scan(self, eqn: Any, *values: Value) -> list[Value]:
        """A loop of known length, step after step."""
        p = eqn.params
        n_consts, n_carry = _scanned(p)
        consts, carry, rows = values[:n_consts], list(values[n_consts:][:n_carry]), values[n_consts + n_carry :]
        carry_avals = [atom.aval for atom in eqn.outvars[:n_carry]]
        row_avals = [atom.aval for atom in eqn.outvars[n_carry:]]
        stacks: list[list[Value]] = [[] for _ in row_avals]
        steps = range(p["length"])
        for step in reversed(steps) if p["reverse"] else steps:
            now = [Value(self.node("Gather", [x, np.asarray(step)], axis=0), tuple(x.shape[1:])) for x in rows]
            made = self.run(p["jaxpr"].jaxpr, p["jaxpr"].consts, [*consts, *carry, *now])
            carry = [self.full(x, aval.shape) for x, aval in zip(made, carry_avals)]
            for stack, row, aval in zip(stacks, made[len(carry) :], row_avals, strict=True):
                stack.append(self.reshaped(self.full(row, aval.shape[1:]), (1, *aval.shape[1:])))
        stacks = [stack[::-1] if p["reverse"] else stack for stack in stacks]
        stacked = [Value(self.node("Concat", s, axis=0), a.shape) for s, a in zip(stacks, row_avals, strict=True)]
        return [*carry, *stacked]

    def _of(self, eqn: Any, op: str, *inputs: Value | np.ndarray, **attrs: Any) -> Value:
        return Value(self.node(op, inputs, **attrs), tuple(eqn.outvars[0].aval.shape))


# Operations of one line each that broadcast, and those that need whole tensors.
_SHAPELESS = ("ne", "rsqrt", "square", "integer_pow", "clamp", "select_n", "convert_element_type")
_WHOLE = (
    "reshape", "squeeze", "expand_dims", "transpose", "concatenate", "slice", "split", "pad", "reduce_sum", "reduce_max",
    "reduce_min", "reduce_or", "reduce_and", "dot_general", "conv_general_dilated", "reduce_window_max", "gather", "scan",
)  # fmt: skip


def _scanned(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many inputs of a `scan` are constants, and how many are carried from step to step."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    # JAX 0.12 has them in groups: constants, carry, rows.
    consts, carry, _ = params["ft_in"].unpack()
    return len(consts), len(carry)
