"""`zest sign`: ask a model about the probes and write its signature."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from zest_jax.cli.console import note
from zest_jax.cli.distance import warn_of_poor_fits
from zest_jax.cli.files import UsageError, check_output, read_probes
from zest_jax.cli.options import OFF, Common, ModelOptions, SolveOptions, detected
from zest_jax.cli.remote import RemoteOptions, answers_in, closed_in_the_end, is_url, tell_costs, tell_sent
from zest_jax.names import check_text

if TYPE_CHECKING:
    from zest_jax.blackbox import BlackBox
    from zest_jax.probes import ProbeSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sign(Common):
    """Ask a model about the probes and write its signature.

    An interrupted run leaves FILE.partial beside the output; the same command goes on from there.
    """

    model: Positional[Annotated[str, arg(metavar="MODEL")]]
    """An ONNX file; a TorchScript, torch.export or PyTorch file; safetensors weights (with --factory); the folder of a
    run of `zest train`, or one checkpoint in it (RUN/checkpoints/12); or MODULE:FUNCTION, a Python function that returns
    the model; or the URL of a service (https://...), see --journal and --budget."""

    probes: Annotated[Path, arg(metavar="FILE")]
    """Probe set, as `zest probes` wrote it."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE")]
    """Where to write the signature (.sig)."""

    label: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the file's or run's name)")] = None
    """What reports and stores call the model: 1 to 200 printable characters."""

    dry_run: Annotated[bool, OFF] = False
    """Of a remote model: say what signing would cost, and ask nothing."""

    how: Annotated[ModelOptions, arg(name="model")] = dataclasses.field(default_factory=ModelOptions)
    remote: RemoteOptions = dataclasses.field(default_factory=RemoteOptions)
    solve: SolveOptions = dataclasses.field(default_factory=SolveOptions)

    def run(self) -> None:
        check_output(self.output)
        if self.label is not None:
            check_text("label", self.label)
        for name, path in (("the model", Path(self.model)), ("the probe set", self.probes)):
            if path.exists() and self.output.exists() and self.output.samefile(path):
                raise UsageError(f"--output {self.output} is {name} itself; name another file")
        probes = read_probes(self.probes)
        journal = self.output.with_name(self.output.name + ".journal") if is_url(self.model) else None
        remote = self.remote.settings(journal=journal, modality=None if journal is None else probes.modality)
        box = self.how.load(self.model, label=self.label, remote=remote)
        with closed_in_the_end([box]):
            # The file's name, where none was given: a store takes not every one, and asking may cost.
            check_text("label", box.label)
            self._sign(box, probes)

    def _sign(self, box: "BlackBox", probes: "ProbeSet") -> None:
        from zest_jax.signing import sign

        note(f"{box.label}: {', '.join(f'{name} {text}' for name, text in detected(box))}")
        if self.dry_run or not self.progress:
            tell_costs([box], probes, self.solve)
        if self.dry_run:
            return
        partial = self.output.with_name(self.output.name + ".partial")
        if partial.exists():
            note(f"going on from {partial}")
        with kept_on_interrupt(partial, box):
            signature = sign(box, probes, progress=self.progress, checkpoint=partial, **self.solve.arguments())
        signature.save(self.output)
        partial.unlink(missing_ok=True)
        note(
            f"wrote {self.output}: {signature.n_classes} classes ({signature.settings.get('outputs')}), "
            f"{len(signature.weights):,} weights per class, R2 of the linear fits {signature.mean_r2():.2f}"
        )
        tell_sent([box])
        warn_of_poor_fits([box.label], [signature])


@contextlib.contextmanager
def kept_on_interrupt(partial: Path, box: "BlackBox") -> Iterator[None]:
    """Tell, on Ctrl-C, what became of the work."""
    try:
        yield
    except KeyboardInterrupt:
        kept = [str(path) for path in (answers_in(box), partial) if path is not None and path.exists()]
        if kept:
            raise KeyboardInterrupt(
                f"what is done so far is in {' and '.join(kept)}: run the same command again to go on from there"
            ) from None
        raise KeyboardInterrupt("nothing was written") from None
    except Exception:
        if (answers := answers_in(box)) is not None:
            note(f"what was answered so far is in {answers}; the same command goes on from there")
        if partial.exists():
            note(f"what is done so far is in {partial}; delete it to start anew")
        raise
