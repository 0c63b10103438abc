"""Black boxes from PyTorch modules."""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zest_jax.blackbox.outputs import Output, as_rows, failed_when_asked, select_output
from zest_jax.blackbox.protocol import HostBlackBox, Layout, Returns
from zest_jax.blackbox.settings import CommonSettings, name_of, spec_of
from zest_jax.errors import missing_extra

if TYPE_CHECKING:
    import torch

ChannelsLast = bool | Literal["auto"]

# Inputs on which "auto" times the two memory formats: enough for a stable order, few enough not to be noticed.
_TIMED_INPUTS = 64


class TorchSettings(CommonSettings, total=False):
    """The keyword arguments of `from_torch`, shared by the adapters that load PyTorch files."""

    device: "str | torch.device | None"
    channels_last: ChannelsLast
    layout: Layout


def import_torch() -> Any:
    """Return the `torch` module, or raise `MissingExtraError` naming the extra that installs it."""
    try:
        import torch
    except ImportError as error:
        raise missing_extra("torch", "torch") from error
    return torch


def from_torch(
    module: "torch.nn.Module | Callable[[torch.Tensor], Any]",
    *,
    device: "str | torch.device | None" = None,
    channels_last: ChannelsLast = "auto",
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    layout: Layout = "NCHW",
    rate: int | None = None,
    output: Output = None,
    returns: Returns = "auto",
    fixed_batch: int | None = None,
    settings: dict[str, Any] | None = None,
) -> HostBlackBox:
    """Make a black box of a PyTorch module; it is asked under `torch.inference_mode`.

    Training or evaluation mode is left as you set it, with a warning in training mode; call `module.eval()` first
    unless you want to sign a model in training mode.

    Args:
        module: gets images [batch, C, H, W] or sounds [batch, samples] in the floating-point type of its parameters; returns
            scores [batch, classes], or a tuple, mapping or object (Hugging Face style) of tensors from which `output` chooses.
        device: None keeps the module where its parameters are; otherwise the module is moved there, in place.
        channels_last: the memory format of the inputs. "auto" times both on the first batch and keeps the faster one;
            the choice is recorded in `settings["channels_last"]`.
        layout: "NCHW" as is usual in PyTorch, or "NHWC"; of sounds "NCT" [batch, 1, samples], "NTC", else [batch, samples].
        output: index, key or attribute of the output to take; None for `logits` or the only [batch, classes] one.
        fixed_batch: the only batch size that `module` accepts, None for any.
        settings: further entries for the black box's `settings`.

    The other arguments are those of `from_jax`; `label` is the name of the class by default.

    Raises:
        MissingExtraError: PyTorch is not installed.
        TypeError: `module` cannot be called.
        ModelOutputError: when asked, if the module raises or its answer is not one tensor [batch, classes].
        ValueError: `channels_last` is none of its values.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 10)).eval()
    >>> from_torch(net, label="suspect")(np.zeros((4, 8, 8, 3), np.float32)).shape
    (4, 10)
    """
    import_torch()
    if not callable(module):
        hint = "; a state_dict goes to `from_state_dict(path, factory)`" if isinstance(module, dict) else ""
        raise TypeError(f"`from_torch` takes a torch.nn.Module or a callable, got {type(module).__name__}{hint}")
    if channels_last not in (True, False, "auto"):
        raise ValueError(f"`channels_last` is {channels_last!r}; choose True, False or 'auto'")
    if device is not None and (found := _as_module(module)) is not None:
        module = found.to(device)
    label = label or name_of(module)
    if bool(getattr(module, "training", False)):
        warnings.warn(_training_warning(module, label), stacklevel=2)
    return TorchBlackBox(
        module,
        device=device,
        channels_last=channels_last,
        output=output,
        label=label,
        class_names=class_names,
        spec=spec_of(mean, std, value_range, layout, rate),
        returns=returns,
        fixed_batch=fixed_batch,
        settings=settings,
    )


class TorchBlackBox(HostBlackBox):
    """A PyTorch module that answers NumPy arrays. Made by `from_torch`."""

    def __init__(
        self,
        module: "torch.nn.Module | Callable[[torch.Tensor], Any]",
        *,
        device: "str | torch.device | None",
        channels_last: ChannelsLast,
        output: Output,
        settings: dict[str, Any] | None,
        **kwargs: Any,
    ) -> None:
        torch = import_torch()
        found = _as_module(module)
        parameters = [] if found is None else [*found.parameters(), *found.buffers()]
        floating = [p for p in parameters if p.is_floating_point()]
        self._module = module
        self._device = torch.device(device) if device is not None else (parameters[0].device if parameters else "cpu")
        self._dtype = floating[0].dtype if floating else torch.float32
        self._training = bool(getattr(module, "training", False))
        self._output = output
        detected = {
            "adapter": "torch",
            "device": str(self._device),
            "dtype": str(self._dtype).removeprefix("torch."),
            "training": self._training,
            "channels_last": channels_last,
            "output": output,
        }
        super().__init__(settings={**detected, **(settings or {})}, **kwargs)
        # None: not yet decided.
        self._channels_last: bool | None = None if channels_last == "auto" else channels_last

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        if self._channels_last is None:
            self._choose_memory_format(prepared)
        answer = self._forward(prepared, channels_last=bool(self._channels_last))
        rows = select_output(answer, self._output, self.label)
        return as_rows(rows.float().cpu().numpy() if hasattr(rows, "cpu") else rows, len(prepared), self.label)

    def _forward(self, prepared: np.ndarray, *, channels_last: bool) -> Any:
        torch = import_torch()
        # An array that came from JAX is read-only memory of JAX's; an in-place layer must not write into it.
        inputs = torch.from_numpy(prepared if prepared.flags.writeable else prepared.copy())
        inputs = inputs.to(device=self._device, dtype=self._dtype)
        if channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        try:
            with torch.inference_mode():
                return self._module(inputs)
        except Exception as error:
            raise failed_when_asked(self.label, prepared, error) from error

    def _choose_memory_format(self, prepared: np.ndarray) -> None:
        # In training mode every forward pass may update running statistics, so there are no passes to spare; a fixed
        # batch is left alone too: its module may be compiled for one memory format.
        if prepared.ndim != 4 or self._training or self.fixed_batch is not None:
            self._channels_last = False
        else:
            few = prepared[:_TIMED_INPUTS]
            seconds = {False: float("inf"), True: float("inf")}
            for attempt in range(3):
                for choice in seconds:
                    self._synchronize()
                    start = time.perf_counter()
                    self._forward(few, channels_last=choice)
                    self._synchronize()
                    if attempt > 0:  # the first pass warms up
                        seconds[choice] = min(seconds[choice], time.perf_counter() - start)
            self._channels_last = seconds[True] < seconds[False]
        self.settings["channels_last"] = self._channels_last

    def _synchronize(self) -> None:
        torch = import_torch()
        if torch.device(self._device).type == "cuda":
            torch.cuda.synchronize(self._device)


def _training_warning(module: Any, label: str) -> str:
    nn = import_torch().nn
    moody = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)
    found = _as_module(module)
    kinds = [
        type(m).__name__ for m in ([] if found is None else found.modules()) if isinstance(m, moody) and m.training
    ]
    named = ", ".join(f"{n} {kind}" for kind, n in Counter(kinds).items())
    return (
        f"{label} is in training mode{f' ({named})' if named else ''}: dropout and batch normalisation behave as in "
        "training; call `model.eval()` first unless that is what you want to sign"
    )


def _as_module(value: Any) -> "torch.nn.Module | None":
    return value if isinstance(value, import_torch().nn.Module) else None
