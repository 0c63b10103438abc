"""Options that several commands share, as frozen dataclasses; their doc strings are the help texts.

Choices are spelt out here, and not imported, so that `zest --help` need not load JAX; a test compares them with the
package's own.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

if TYPE_CHECKING:
    from zest_jax.blackbox import BlackBox

Metric = Literal["cosine", "l1", "l2", "linf"]
Align = Literal["auto", "none", "greedy", "rowwise", "optimal"]


def commas(metavar: str, convert: Callable[[str], Any], *, default: str) -> tuple[Any, Any]:
    """Annotations of an option that is one word of comma-separated values."""

    def read(words: list[str]) -> Any:
        try:
            return convert(words[0])
        except ValueError as error:
            raise ValueError(f"{words[0]!r} is not {metavar} ({error})") from error

    spec = PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=lambda value: ["none" if value is None else str(value)],
    )
    return spec, arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


def floats(text: str) -> tuple[float, ...]:
    """Read "0.49,0.48,0.45" or one number."""
    return tuple(float(part) for part in text.split(","))


def two_floats(text: str) -> tuple[float, float]:
    """Read "0,255", the lower first."""
    values = floats(text)
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError("two numbers are needed, the lower first")
    return values[0], values[1]


def pixels(text: str) -> int | tuple[int, int]:
    """Read "224", or "192x256" as (height, width)."""
    parts = [int(part) for part in text.lower().split("x")]
    if len(parts) > 2 or min(parts) < 1:
        raise ValueError("one number for a square, or HEIGHTxWIDTH, in pixels")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def settings(text: str) -> dict[str, int | float | str]:
    """Read "rows=8,columns=8"."""
    found: dict[str, int | float | str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{part!r} has no NAME=VALUE form")
        found[name.strip().replace("-", "_")] = _number(value.strip())
    return found


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# Help texts of flags; tyro's own "(default: False)" reads badly.
OFF = arg(help_behavior_hint="(default: off)")

_PROVIDERS = commas("NAME,...", lambda text: tuple(text.split(",")), default="the CPU")
_FLOATS = commas("R,G,B", floats, default="none")
_RANGE = commas("LOW,HIGH", two_floats, default="0,1; 0,255 for an ONNX model that takes uint8")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    progress: Annotated[bool, arg(help_behavior_hint="(default: shown)")] = True
    """Leave out the progress bar on stderr (a line every 15 seconds when stderr is no terminal)."""

    debug: Annotated[bool, OFF] = False
    """Show the Python traceback of an error; so does ZEST_DEBUG=1 in the environment."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How models take their inputs and give their outputs."""

    mean: Annotated[tuple[float, ...] | None, *_FLOATS] = None
    """Images and sounds: subtracted from every pixel, per channel, or from every sample before the model sees it, in the units
    of --value-range: 0.485,0.456,0.406."""

    std: Annotated[tuple[float, ...] | None, *_FLOATS] = None
    """Images and sounds: divided by after that, per channel: 0.229,0.224,0.225."""

    value_range: Annotated[tuple[float, float] | None, *_RANGE] = None
    """Images: values between which the model expects pixels before normalisation, black first: 0,1 or 0,255 or -1,1. Sounds:
    those to which -1 and 1 are stretched, such as -32768,32768; 0,1 leaves them as they are."""

    layout: Literal["auto", "NCHW", "NHWC", "NT", "NCT", "NTC"] = "auto"
    """Order of the input's axes: of images NCHW (channels first) or NHWC (channels last), of sounds NT (samples alone), NCT
    or NTC; auto detects it for ONNX and takes the framework's habit otherwise."""

    model_rate: Annotated[
        int | None, arg(metavar="HZ", help_behavior_hint="(default: not checked; a checkpoint tells)")
    ] = None
    """Samples per second that the model expects of sounds; probes of another rate are refused."""

    model_output: Annotated[
        str | None, arg(metavar="NAME|INDEX", help_behavior_hint="(default: the only one of shape [batch, classes])")
    ] = None
    """Which of the model's outputs holds the class scores, by name or by number from 0."""

    returns: Literal["auto", "logits", "probabilities"] = "auto"
    """What the class scores are; auto finds out from the first answers."""

    class_names: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: from the model, else unknown)")
    ] = None
    """Text file with the name of each class, one a line, in the order of the outputs."""

    factory: Annotated[str | None, arg(metavar="MODULE:FUNCTION", help_behavior_hint="(default: none)")] = None
    """Python function that builds the network; for files that hold its weights only."""

    trust: Annotated[bool, OFF] = False
    """Open model files whose opening could run code of their author (pickles). Only for files whose origin you trust.
    """

    device: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: where the model is)")] = None
    """Device of a PyTorch model: cpu, cuda, cuda:1, ..."""

    threads: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per core)")] = None
    """Threads of an ONNX model."""

    providers: Annotated[tuple[str, ...] | None, *_PROVIDERS] = None
    """Execution providers of ONNX Runtime, first choice first; such as CUDAExecutionProvider,CPUExecutionProvider."""

    def load(
        self,
        model: str,
        *,
        label: str | None = None,
        factory: str | None = None,
        remote: Mapping[str, Any] | None = None,
    ) -> "BlackBox":
        """Open one model; `remote` holds what only models behind an HTTP address take."""
        from zest_jax.blackbox import load_model
        from zest_jax.blackbox.files import is_reference
        from zest_jax.cli.files import check_model
        from zest_jax.importing import importable_from

        check_model(model)
        factory = factory or self.factory
        settings = {**self.settings(), **(remote or {}), "factory": factory, "label": label}
        with importable_from(str(Path.cwd()) if factory is not None or is_reference(model) else None):
            return load_model(model, **settings)

    def settings(self) -> dict[str, Any]:
        """Keyword arguments of `load_model`."""
        output = self.model_output
        return {
            "trust": self.trust,
            "factory": self.factory,
            "class_names": self._names(),
            "mean": self.mean,
            "std": self.std,
            "value_range": self.value_range,
            "layout": None if self.layout == "auto" else self.layout,
            "rate": self.model_rate,
            "output": int(output) if output is not None and output.isdigit() else output,
            "returns": None if self.returns == "auto" else self.returns,
            "device": self.device,
            "threads": self.threads,
            "providers": self.providers,
        }

    def _names(self) -> list[str] | None:
        from zest_jax.cli.files import UsageError, check_exists

        if self.class_names is None:
            return None
        check_exists(self.class_names, "it names one class per line")
        try:
            names = [line.strip() for line in self.class_names.read_text(encoding="utf-8").splitlines()]
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{self.class_names} is not a text file in UTF-8 ({error}); --class-names names one class per line"
            ) from error
        return [name for name in names if name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """How models are asked and their local explanations fitted. Signatures compare only if these are the same."""

    targets: Literal["as-is", "logits", "probabilities"] = "as-is"
    """What is fitted: the outputs as they are, or brought to logits or probabilities; for models that answer
    differently."""

    ridge: Annotated[float, arg(metavar="STRENGTH")] = 0.0
    """Strength of the ridge penalty on the weights; 0 is plain least squares, as in the paper."""

    intercept: Annotated[bool, OFF] = False
    """Fit an intercept besides the weights of the segments (super-pixels, words or windows of time)."""

    kernel_width: Annotated[
        float | None, arg(metavar="WIDTH", help_behavior_hint="(default: all masks count the same)")
    ] = None
    """Width of LIME's kernel, which gives masks that keep nearly the whole input more weight; in cosine distance, LIME takes
    0.25."""

    underdetermined: Literal["error", "minimum-norm"] = "error"
    """When a reference has too few different masks for its segments: stop, or take the smallest weights that fit.
    """

    batch_size: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: from the input size and the device)")
    ] = None
    """Inputs asked at once; lower it when memory runs out."""

    check: Annotated[bool, arg(help_behavior_hint="(default: checked)")] = True
    """Do not ask the first batch twice more to see whether the model is deterministic."""

    mode: Literal["auto", "loop", "callback"] = "auto"
    """How models outside JAX are asked: from a loop, or from inside the compiled function; auto takes what was measured
    faster."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for `sign` and `sign_many`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def detected(box: "BlackBox") -> Iterator[tuple[str, str]]:
    """What was assumed or found out about a model, for the user to check."""
    from zest_jax.cli.console import pairs_of

    hidden = ("file_sha256", "endpoint")
    yield from ((name, text) for name, text in pairs_of(box.settings) if name not in hidden)
