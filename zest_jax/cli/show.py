"""`zest show`: what a signature or probe set was made from, and its picture."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from zest_jax.cli.console import escaped, note, pairs_of, print_json, result_console, short
from zest_jax.cli.files import UsageError, check_exists, check_output, kind_of, read_probes, read_signature
from zest_jax.cli.options import OFF, Common

if TYPE_CHECKING:
    from zest_jax.probes import ProbeSet
    from zest_jax.signature import Signature


@dataclasses.dataclass(frozen=True, kw_only=True)
class Show(Common):
    """Print what a signature or probe set was made from, and draw it.

    The picture of a signature shows one reference (an image, a text or a sound) and the model's weights over its
    super-pixels, words or time windows for one class; several signatures are drawn in one picture. That of a probe set shows
    its first references, and what of them is masked as one.
    """

    files: Positional[Annotated[tuple[Path, ...], arg(metavar="FILE ...", help_behavior_hint="(required)")]]
    """Signatures (.sig), or one probe set (.npz)."""

    output: Annotated[
        Path | None,
        arg(aliases=("-o",), metavar="FILE", help_behavior_hint="(default: FILE.png, in the current folder)"),
    ] = None
    """Where to draw the picture (.png, .pdf or .svg)."""

    picture: Annotated[bool, arg(help_behavior_hint="(default: drawn)")] = True
    """Draw no picture."""

    probes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: what the signature holds)")] = None
    """Probe set the signatures were made with, to draw another --reference than the one they hold."""

    reference: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the one explained best)")] = None
    """Which reference to draw, from 0; needs --probes unless the signature holds it."""

    class_index: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: chosen from the weights)")] = None
    """Which class to draw, from 0."""

    json: Annotated[bool, OFF] = False
    """Print JSON."""

    def run(self) -> None:
        files: list[Path] = list(self.files)
        if len(files) == 0:
            raise UsageError("no file given; name a signature or a probe set")
        if self.output is not None and not self.picture:
            raise UsageError("--output and --no-picture contradict each other; choose one")
        picture = self.output or Path(f"{files[0].name}.png")
        if self.picture:
            check_output(picture)
        for path in files:
            check_exists(path, "give a file that `zest sign` or `zest probes` wrote")
        # A damaged probe set is not told from another archive by its content.
        if (kind := kind_of(files[0])) == "probes" or (kind == "other" and files[0].suffix.lower() == ".npz"):
            if len(files) > 1:
                raise UsageError("a probe set is shown alone; give one file")
            self._show_probes(files[0], picture)
        else:
            self._show_signatures(picture)

    def _show_probes(self, path: Path, picture: Path) -> None:
        probes = read_probes(path)
        first = self.reference or 0
        if not 0 <= first < probes.n_references:
            raise UsageError(f"--reference is {first}; the probe set has references 0 to {probes.n_references - 1}")
        if self.picture:
            from zest_jax.report import probes_figure

            probes_figure(probes, first=first, path=picture)
            note(f"drew {picture}")
        if self.json:
            print_json({"file": str(path), **_of_probes(probes)})
        else:
            _print_pairs(path, _of_probes(probes))

    def _show_signatures(self, picture: Path) -> None:
        signatures = [read_signature(path) for path in self.files]
        # Before anything is printed, so that wrong options leave stdout empty.
        if self.picture:
            self._draw(signatures, picture)
        if self.json:
            summaries: list[dict[str, Any]] = [
                {"file": str(path), **s.summary()} for path, s in zip(self.files, signatures, strict=True)
            ]
            print_json(summaries[0] if len(summaries) == 1 else summaries)
        else:
            for path, signature in zip(self.files, signatures, strict=True):
                _print_pairs(path, _of_signature(signature))

    def _draw(self, signatures: "list[Signature]", picture: Path) -> None:
        from zest_jax.report import signature_figure

        given = self._reference(signatures)
        signature_figure(signatures, **given, class_index=self.class_index, path=picture)
        note(f"drew {picture}")

    def _reference(self, signatures: "list[Signature]") -> dict[str, Any]:
        """Which reference to draw, with its content and segments when they come from the probe set."""
        held = [s.preview.reference_index for s in signatures if s.preview is not None]
        if self.probes is None:
            if not held or self.reference not in (None, *held):
                has = f"only reference {', '.join(str(i) for i in sorted(set(held)))}" if held else "no reference"
                raise UsageError(
                    f"{self.files[0]} holds {has} to draw; to draw another, pass the probe set with --probes"
                )
            return {"reference": self.reference}
        probes = read_probes(self.probes)
        if probes.hash != signatures[0].probe_hash:
            from zest_jax.errors import ProbeMismatchError

            raise ProbeMismatchError(
                f"{self.files[0]} was signed with probe set {signatures[0].probe_hash[:16]}, {self.probes} is "
                f"{probes.hash[:16]}; pass the probe set that the model was signed with"
            )
        wanted = self.reference if self.reference is not None else held[0] if held else 0
        if not 0 <= wanted < probes.n_references:
            raise UsageError(f"--reference is {wanted}; the probe set has references 0 to {probes.n_references - 1}")
        return {
            "reference": wanted,
            "content": probes.references[wanted],
            "segments": probes.segments[wanted],
            "rate": probes.rate,
        }


def _of_signature(signature: "Signature") -> dict[str, Any]:
    from zest_jax.data.known import PLURAL

    summary = signature.summary()
    segments, r2 = summary["segments"], summary["r2"]
    spread = (
        f"{r2['p10']:.2f} to {r2['p90']:.2f} in 80% of the references" if r2["p10"] is not None else "no output varies"
    )
    pooled = "-" if r2["pooled"] is None else f"{r2['pooled']:.2f}"
    kept = signature.preview
    rate = "" if kept is None or kept.rate is None else f" at {kept.rate:,} Hz"
    classes = f"{signature.n_classes}"
    if signature.class_names:
        classes += f" ({short(signature.class_names)})"
    return {
        "kind": f"signature, made by zest_jax {signature.version}",
        "label": signature.label,
        "classes": classes,
        "references": f"{summary['references']} {PLURAL[_modality(signature)]}{rate}",
        _segments_of(signature): _counts(segments["min"], segments["max"], segments["sum"]),
        "R2 of linear fits": f"{pooled} over all ({spread})",
        "probe set": signature.probe_hash[:16],
        **_settings_of(signature),
    }


def _settings_of(signature: "Signature") -> dict[str, Any]:
    """Its settings, without those of the model that only inputs of another modality have."""
    model, modality = signature.settings.get("model"), _modality(signature)
    if modality == "image" or not isinstance(model, dict):
        return signature.settings
    other = set(_OF_IMAGES) if modality == "text" else {"channels_last"}
    if modality == "audio":
        # Layouts of images mean nothing here, and a range of 0 to 1 leaves sounds as they are.
        if model.get("layout") in ("NHWC", "NCHW"):
            other.add("layout")
        if list(model.get("value_range") or ()) == [0, 1]:
            other.add("value_range")
    return {**signature.settings, "model": {name: value for name, value in model.items() if name not in other}}


# What texts have not; sounds have some of it.
_OF_IMAGES = ("mean", "std", "value_range", "layout", "channels_last", "rate")


def _modality(signature: "Signature") -> str:
    # Signatures made before there were texts and sounds do not say.
    return signature.settings.get("modality", "image")


def _segments_of(signature: "Signature") -> str:
    """What the segments are, in the plural."""
    modality, kept = _modality(signature), signature.preview
    if modality == "audio":
        return "cells" if kept is not None and kept.segments.ndim == 2 else "time windows"
    return "words" if modality == "text" else "super-pixels"


def _counts(fewest: int, most: int, together: int) -> str:
    return f"{fewest} to {most} per reference, {together:,} in all"


def _of_probes(probes: "ProbeSet") -> dict[str, Any]:
    from zest_jax.data.known import PLURAL

    counts = probes.n_segments
    saved = 1 - probes.n_queries / (probes.n_references * probes.n_samples)
    settings = {name: value for name, value in probes.settings.items() if name != "reference_indices"}
    indices = probes.settings.get("reference_indices")
    return {
        "kind": "probe set",
        "probe set": probes.hash[:16],
        "references": f"{probes.n_references} {probes.describe_references().removeprefix('references ')}",
        f"{probes.segment_name}s": _counts(int(counts.min()), int(counts.max()), int(counts.sum())),
        "masks": f"{probes.n_samples:,} per reference",
        "queries": f"{probes.n_queries:,} per model, {saved:.0%} saved as repeats",
        **({} if probes.stft is None else {"transform": f"{probes.stft.n_fft} samples every {probes.stft.hop}"}),
        "fill": _fill(probes),
        "made by": settings,
        **({f"{PLURAL[probes.modality]} drawn": indices} if indices else {}),
    }


def _fill(probes: "ProbeSet") -> str:
    """What masked segments become, in words."""
    if probes.modality == "text":
        token = str(probes.fill[0])
        return short(token) if token else "nothing: masked words are taken out"
    if probes.fill.ndim > 1:
        return "per pixel" if probes.modality == "image" else "per sample"
    return short([round(float(v), 4) for v in probes.fill])


def _print_pairs(path: Path, pairs: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("file", str(path))
    for name, text in pairs_of(pairs):
        # A name with a line break must not look like a row of its own.
        table.add_row(name, escaped(text, keep=""))
    console = result_console()
    console.print(table)
    console.print()
