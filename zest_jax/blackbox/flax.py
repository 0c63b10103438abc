"""Black boxes from Flax modules, NNX and Linen."""

import dataclasses
import functools
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen, nnx

from zest_jax.blackbox.function import arguments, hashable, is_hashable, unwrapped
from zest_jax.blackbox.outputs import Output, traced_rows
from zest_jax.blackbox.protocol import JaxBlackBox, Layout, Returns
from zest_jax.blackbox.settings import jax_spec, name_of, spec_of


def from_flax(
    model: nnx.Module,
    *,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    layout: Layout = "NHWC",
    rate: int | None = None,
    output: Output = None,
    returns: Returns = "auto",
    tokenizer: Any = None,
    lengths: bool = False,
) -> JaxBlackBox:
    """Make a black box of a Flax NNX module: `model(x)` with x as `from_jax` describes it.

    The black box keeps the parameters as they are now: later training of `model` does not change it, and asking it does
    not change `model` (running statistics and random counters that a forward pass updates are discarded). Training or
    evaluation mode is left as you set it, with a warning in training mode; call `model.eval()` first unless you want to
    sign a model in training mode.
    Two models of the same architecture share one compilation.

    Args:
        model: called with one argument, or with ids and lengths; returns scores [batch, classes], or several arrays from
            which `output` chooses.

    The other arguments are those of `from_jax`; `label` is the name of the class by default.

    Raises:
        TypeError: `model` is not an NNX module.
        ModelOutputError: when asked, if the answer is not one array [batch, classes].

    >>> import numpy as np
    >>> class Colour(nnx.Module):
    ...     def __init__(self, rngs):
    ...         self.head = nnx.Linear(3, 10, rngs=rngs)
    ...     def __call__(self, x):
    ...         return self.head(x.mean((1, 2)))
    >>> box = from_flax(Colour(nnx.Rngs(0)), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> box.label, box(np.zeros((4, 8, 8, 3), np.float32)).shape
    ('Colour', (4, 10))
    """
    if not isinstance(model, nnx.Module):
        hint = "; Linen modules go to `from_linen(module, variables)`" if isinstance(model, linen.Module) else ""
        raise TypeError(f"`from_flax` takes a flax.nnx.Module, got {type(model).__name__}{hint}")
    label = label or name_of(model)
    if training := _in_training_mode(model):
        warnings.warn(
            f"{label} is in training mode ({training}): dropout and batch normalisation behave as in training; call "
            "`model.eval()` first unless that is what you want to sign",
            stacklevel=2,
        )
    graphdef, variables = nnx.split(model)
    # Plain arrays: `nnx.merge` would hand the caller's own Variable objects to the copy, and a BatchNorm in training
    # mode would then write traced values into them.
    as_pure = getattr(nnx, "as_pure", None) or nnx.pure  # its name before Flax 0.12.7
    state = as_pure(variables)
    # A structure that holds arrays equals no other.
    structure = _first_equal(graphdef) if is_hashable(graphdef) else hashable(graphdef)
    return JaxBlackBox(
        _NnxApply(graphdef=structure, output=output, label=label),
        state,
        label=label,
        class_names=class_names,
        spec=jax_spec(spec_of(mean, std, value_range, layout, rate), tokenizer, lengths=lengths, label=label),
        returns=returns,
        settings={"adapter": "flax nnx", "output": output},
    )


def from_linen(
    module: linen.Module,
    variables: Mapping[str, Any],
    *,
    apply_kwargs: Mapping[str, Any] | None = None,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    layout: Layout = "NHWC",
    rate: int | None = None,
    output: Output = None,
    returns: Returns = "auto",
    tokenizer: Any = None,
    lengths: bool = False,
) -> JaxBlackBox:
    """Make a black box of a Flax Linen module: `module.apply(variables, x, **apply_kwargs)`.

    Args:
        module: the module, unbound.
        variables: what `module.init` returned or training left: {"params": ..., "batch_stats": ...}.
        apply_kwargs: what `apply` needs besides, such as {"train": False}. With "mutable", the updates are discarded.
            "rngs" is a mapping of keys and is the same for every batch.

    The other arguments are those of `from_jax`; `label` is the name of the class by default.

    Raises:
        TypeError: `module` is not a Linen module.
        ValueError: a value in `apply_kwargs` cannot be hashed.
        ModelOutputError: when asked, if the answer is not one array [batch, classes].

    >>> import numpy as np
    >>> head = linen.Dense(10)
    >>> variables = head.init(jax.random.key(0), np.zeros((1, 3)))
    >>> from_linen(head, variables)(np.zeros((4, 3), np.float32)).shape
    (4, 10)
    """
    if not isinstance(module, linen.Module):
        hint = "; NNX modules go to `from_flax(model)`" if isinstance(module, nnx.Module) else ""
        raise TypeError(f"`from_linen` takes a flax.linen.Module, got {type(module).__name__}{hint}")
    kwargs = dict(apply_kwargs or {})
    rngs = kwargs.pop("rngs", None)
    if isinstance(kwargs.get("mutable"), list):
        kwargs["mutable"] = tuple(kwargs["mutable"])
    for name, value in kwargs.items():
        if not is_hashable(value):
            raise ValueError(
                f"`apply_kwargs[{name!r}]` is a {type(value).__name__}, which cannot be hashed; "
                "pass plain values, and arrays through a wrapper of the module"
            )
    label = label or name_of(module)
    apply = _LinenApply(
        module=hashable(module),
        kwargs=tuple(sorted(kwargs.items())),
        output=output,
        label=label,
    )
    return JaxBlackBox(
        apply,
        (variables, rngs),
        label=label,
        class_names=class_names,
        spec=jax_spec(spec_of(mean, std, value_range, layout, rate), tokenizer, lengths=lengths, label=label),
        returns=returns,
        settings={"adapter": "flax linen", "output": output, "apply_kwargs": {k: repr(v) for k, v in kwargs.items()}},
    )


def _in_training_mode(model: nnx.Module) -> str:
    """Name the parts of `model` that behave as in training, or return an empty string."""
    found = Counter(
        f"{type(part).__name__} with {name}=False"
        for _, part in nnx.iter_graph(model)
        if isinstance(part, nnx.Module)
        for name in ("deterministic", "use_running_average")
        # Dropout at rate 0 changes nothing.
        if getattr(part, name, None) is False and getattr(part, "rate", getattr(part, "dropout_rate", None)) != 0
    )
    return ", ".join(f"{n} {what}" for what, n in sorted(found.items()))


@functools.lru_cache(maxsize=16)
def _first_equal(graphdef: Any) -> Any:
    """The first structure that was equal to this one: one and the same object is compared faster than two.

    Few are kept, since what a structure holds, such as a function with its closure, is kept with it.
    """
    return graphdef


@dataclasses.dataclass(frozen=True)
class _NnxApply:
    graphdef: Any
    output: Output
    label: str = dataclasses.field(compare=False)

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        # Every call of a compiled function asks for it, and walking through a whole model takes milliseconds.
        return hash((self.graphdef, self.output))

    def __getstate__(self) -> dict[str, Any]:
        # Strings have another hash in another process.
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    def __call__(self, state: Any, prepared: Any) -> jax.Array:
        model: Any = nnx.merge(unwrapped(self.graphdef), state)
        inputs = arguments(prepared)
        return traced_rows(model(*inputs), self.output, len(inputs[0]), self.label)


@dataclasses.dataclass(frozen=True)
class _LinenApply:
    module: Any
    kwargs: tuple[tuple[str, Any], ...]
    output: Output
    label: str = dataclasses.field(compare=False)

    def __call__(self, state: Any, prepared: Any) -> jax.Array:
        variables, rngs = state
        inputs = arguments(prepared)
        kwargs = dict(self.kwargs)
        if isinstance(kwargs.get("mutable"), tuple):
            kwargs["mutable"] = list(kwargs["mutable"])
        answer = unwrapped(self.module).apply(variables, *inputs, rngs=rngs, **kwargs)
        if kwargs.get("mutable"):
            answer = answer[0]
        return traced_rows(answer, self.output, len(inputs[0]), self.label)
