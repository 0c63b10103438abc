"""`zest export`: a checkpoint as a file that other programs read."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from zest_jax.cli.console import note
from zest_jax.cli.files import UsageError, check_output
from zest_jax.cli.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Common):
    """Write a checkpoint as an ONNX model.

    The model takes plain inputs (images [batch, height, width, channels] from 0 to 1), any number at once, and answers with
    logits. It is written only if ONNX Runtime gets from it what the checkpoint answers.
    """

    checkpoint: Positional[Annotated[Path, arg(metavar="CKPT")]]
    """Folder of a run of `zest train`, or one checkpoint in it (RUN/checkpoints/12)."""

    to: Literal["onnx"] = "onnx"
    """Format."""

    output: Annotated[
        Path | None,
        arg(aliases=("-o",), metavar="FILE", help_behavior_hint="(default: the run's name, in the current folder)"),
    ] = None
    """Where to write the model (.onnx)."""

    opset: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 18)")] = None
    """Version of ONNX's operators, 18 or higher."""

    tolerance: Annotated[float, arg(metavar="SHARE")] = 1e-4
    """Greatest difference between exported and own logits, as a share of the largest logit."""

    def run(self) -> None:
        path = self.checkpoint
        if path.is_file():
            raise UsageError(f"{path} is a file; give the folder of a run of `zest train`, or one checkpoint in it")
        if not path.exists():
            raise FileNotFoundError(
                f"there is no folder {path}; give the run of `zest train`, or one checkpoint in it (RUN/checkpoints/12)"
            )
        absolute = path.absolute()
        one = absolute.name.isdigit() and absolute.parent.name == "checkpoints"
        stem = f"{absolute.parents[1].name}-{absolute.name}" if one else absolute.name
        output = self.output or Path(f"{stem}.onnx")
        check_output(output)
        from zest_jax.export import export_onnx

        report = export_onnx(path, output, opset=self.opset, tolerance=self.tolerance)
        flags = f"; sign it with {' '.join(report.flags)}" if report.flags else ""
        note(
            f"wrote {output}: {report.takes}, logits within {report.difference:.1e} of the checkpoint's "
            f"(of the largest; fingerprint {report.fingerprint[:12]}){flags}"
        )
