"""Find the [batch, classes] array in whatever a model answers.

Works on anything with `shape` and `ndim`: NumPy, JAX (traced or not) and PyTorch arrays alike.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zest_jax.errors import ModelOutputError

Output = int | str | None
"""Which output to take: an index, a name (key or attribute), or None for the only one that fits."""


def select_output(answer: Any, output: Output, label: str) -> Any:
    """Return the rank-2 array [batch, classes] in `answer`, in the type it came in.

    Args:
        answer: an array, or a tuple, list, mapping or object that holds arrays.
        output: the index or name of the array wanted. None takes `answer` itself, else its `logits`, else the only
            rank-2 array that it holds.
        label: the model, for the error messages.

    Raises:
        ModelOutputError: nothing there fits, or several arrays do and `output` does not choose.

    >>> select_output({"logits": np.zeros((4, 10)), "features": np.zeros((4, 64))}, None, "suspect").shape
    (4, 10)
    >>> select_output((np.zeros((4, 10)), np.zeros((4, 64))), 1, "suspect").shape
    (4, 64)
    """
    parts = _parts(answer)
    if output is None:
        chosen = _only_candidate(answer, parts, label)
    else:
        chosen = _named(answer, parts, output, label)
    if not _is_array(chosen) or chosen.ndim != 2:
        where = "" if output is None else f" at `output={output!r}`"
        raise ModelOutputError(
            f"{label} answered {_describe(chosen)}{where}, not one array [batch, classes]; "
            "choose another output with `output` (an index or a name), or wrap the model so that it returns that array"
        )
    return chosen


def as_rows(rows: Any, batch: int, label: str) -> np.ndarray:
    """Return `rows` as float32 NumPy [batch, classes].

    Raises:
        ModelOutputError: they are not numbers, or not as many rows as inputs.
    """
    array = np.asarray(rows)
    if array.dtype == object or not (np.issubdtype(array.dtype, np.number) or array.dtype.kind in "bV"):
        raise ModelOutputError(f"{label} answered {array.dtype} values; return numbers, one row per input")
    if np.iscomplexobj(array):
        raise ModelOutputError(f"{label} answered complex numbers; return real scores, one row per input")
    if array.shape[0] != batch:
        raise ModelOutputError(
            f"{label} answered {array.shape[0]} rows for {batch} inputs; it must return one row [classes] per input"
        )
    return np.ascontiguousarray(array, np.float32)


def traced_rows(answer: Any, output: Output, batch: int, label: str) -> jax.Array:
    """Return the chosen output as float32 [batch, classes]; the checks run once, when JAX traces the model."""
    rows = select_output(answer, output, label)
    if rows.shape[0] != batch:
        raise ModelOutputError(
            f"{label} answered {rows.shape[0]} rows for {batch} inputs; it must return one row [classes] per input"
        )
    return jnp.asarray(rows).astype(jnp.float32)


def rows_of_lists(answer: list[Any]) -> Any:
    """Nested lists of numbers as an array [batch, classes]; anything else stays as it is."""
    try:
        rows = np.asarray(answer)
    except ValueError:  # rows of different lengths
        return answer
    return rows if rows.ndim == 2 and rows.dtype != object else answer


def failed_when_asked(label: str, prepared: np.ndarray, error: Exception) -> ModelOutputError:
    """Build the error for a model that raised instead of answering."""
    if prepared.dtype == object:
        return ModelOutputError(f"{label} failed on {len(prepared)} texts: {_told(error)}")
    return ModelOutputError(
        f"{label} failed on inputs {list(prepared.shape)} {prepared.dtype}: {_told(error)}; "
        "check that it takes this size and channel order (`layout`)"
    )


def _told(error: Exception) -> str:
    """Kind and message of an error; of one in a TorchScript model without the interpreter's tracebacks before it.

    >>> _told(RuntimeError("The following ...\\nTraceback of TorchScript ...\\n  code\\nRuntimeError: no such shape\\n"))
    'RuntimeError: no such shape'
    >>> _told(ValueError("two\\nlines"))
    'ValueError: two\\nlines'
    """
    text = str(error).strip()
    if _TORCHSCRIPT not in text:
        return f"{type(error).__name__}: {text}"
    # What was raised comes last, from the start of a line; the code that is quoted before it is indented.
    last = [match.start() for match in _RAISED.finditer(text, text.rindex(_TORCHSCRIPT))]
    return text[last[-1] :] if last else f"{type(error).__name__}: {text.splitlines()[-1].strip()}"


_TORCHSCRIPT = "Traceback of TorchScript"
_RAISED = re.compile(r"^[\w.]+: ", re.MULTILINE)


def in_fixed_batches(ask: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, size: int, label: str) -> np.ndarray:
    """Ask a model that accepts only batches of `size`, however many `inputs` there are.

    The last batch is filled up with copies of its last input, whose answers are dropped.

    Returns:
        outputs float32 [n, classes].

    Raises:
        ModelOutputError: an answer is not one row per input.

    >>> in_fixed_batches(lambda x: x.sum(1, keepdims=True), np.ones((5, 3)), size=2, label="suspect").shape
    (5, 1)
    """
    answers = []
    # A batch of no inputs is passed on as it is: how many classes there are is the model's to say.
    for start in range(0, max(len(inputs), 1), max(size, 1)):
        part = inputs[start : start + size]
        full = part
        if 0 < len(part) < size:
            full = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        answer = np.asarray(ask(full), np.float32)
        if answer.ndim != 2 or len(answer) != len(full):
            raise wrong_rows(label, answer.shape, len(full))
        answers.append(answer[: len(part)])
    return answers[0] if len(answers) == 1 else np.concatenate(answers)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """How far outputs moved, root mean square, as a share of their spread over the batch.

    A hundredth of the largest output counts as spread too: where outputs hardly vary, rounding is no change.
    """
    spread = float(before.std(axis=0).mean()) + 0.01 * float(np.abs(before).max(initial=0)) + 1e-30
    return float(np.sqrt(np.mean(np.square(after - before, dtype=np.float64)))) / spread


def wrong_rows(label: str, shape: Any, size: int) -> ModelOutputError:
    """The error for outputs of a batch of `size` inputs that are not one row of scores per input."""
    return ModelOutputError(
        f"{label} answered a batch of {size} inputs with {shape}; one row of class scores per input is needed, "
        f"[{size}, classes]. If the model has several outputs, choose one with `output`"
    )


def _only_candidate(answer: Any, parts: dict[int | str, Any], label: str) -> Any:
    if _is_array(answer):
        return answer
    if "logits" in parts:
        return parts["logits"]
    if not isinstance(answer, Mapping | tuple | list) and _is_array(getattr(answer, "logits", None)):
        return answer.logits
    candidates = {name: part for name, part in parts.items() if _is_array(part) and part.ndim == 2}
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    if candidates:
        raise ModelOutputError(
            f"{label} answered {_describe_parts(parts)}: {len(candidates)} of them could be [batch, classes]; "
            "choose one with `output` (an index or a name)"
        )
    return answer


def _named(answer: Any, parts: dict[int | str, Any], output: int | str, label: str) -> Any:
    if isinstance(output, int):
        values = list(parts.values())
        if -len(values) <= output < len(values):
            return values[output]
        if _is_array(answer) and output in (0, -1):
            return answer
    elif output in parts:
        return parts[output]
    elif hasattr(answer, output) and not _is_array(answer):
        return getattr(answer, output)
    raise ModelOutputError(f"{label} has no output {output!r}; it answered {_describe(answer)}")


def _parts(answer: Any) -> dict[int | str, Any]:
    if isinstance(answer, Mapping):
        return dict(answer)
    fields = getattr(answer, "_fields", None)
    if isinstance(answer, tuple) and fields is not None:
        return dict(zip(fields, answer, strict=True))
    if isinstance(answer, tuple | list):
        return dict(enumerate(answer))
    return {}


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "ndim")


def _describe(value: Any) -> str:
    if _is_array(value):
        dtype = str(getattr(value, "dtype", "")).removeprefix("torch.")
        return f"{dtype} [{', '.join(str(n) for n in value.shape)}]".strip()
    parts = _parts(value)
    return _describe_parts(parts) if parts else f"a {type(value).__name__}"


def _describe_parts(parts: Mapping[int | str, Any]) -> str:
    shown = [f"[{name!r}] {_describe_shallow(part)}" for name, part in list(parts.items())[:6]]
    if len(parts) > 6:
        shown.append(f"... ({len(parts)} in all)")
    return "; ".join(shown)


def _describe_shallow(value: Any) -> str:
    return _describe(value) if _is_array(value) else f"a {type(value).__name__}"
