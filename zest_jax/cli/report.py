"""`zest report`: what was found out about a suspect, or about a whole store, as one page to read and to hand on."""

import dataclasses
import datetime as dt
import hashlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from zest_jax.cli.console import note
from zest_jax.cli.distance import warn_of_poor_fits
from zest_jax.cli.entries import FilterOptions
from zest_jax.cli.files import UsageError, check_output, kind_of, read_probes, read_signature
from zest_jax.cli.options import Common, commas
from zest_jax.cli.screen import candidates_of, check_candidates, check_threshold, note_remarks, read_unrelated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zest_jax.probes import ProbeSet
    from zest_jax.report.page import Page
    from zest_jax.screening import Filter, Models, SearchSettings
    from zest_jax.signature import Signature

REFERENCES = 4
_TODAY = commas("YYYY-MM-DD", dt.date.fromisoformat, default="today, UTC")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report(Common):
    """Write one HTML page about a suspect: the verdict, the nearest models, heat map and family tree, references with the weights
    of both models, fit quality, settings and hashes. Without a suspect: about the models of the store and their families.

    The page holds its pictures and asks no other place for anything; they are written as PNGs into a folder beside it, too.
    """

    suspect: Positional[
        Annotated[str | None, arg(metavar="SUSPECT.sig", help_behavior_hint="(default: the models of the store)")]
    ] = None
    """Signature of the suspect, as `zest sign` made it; sign a model first, which `zest screen` does itself."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE.html")]
    """Where to write the page; its pictures go to FILE_files beside it."""

    store: Annotated[str | None, arg(metavar="STORE", help_behavior_hint="(this or --models is required)")] = None
    """Folder or URL of the store, as `zest store add` made it."""

    models: Annotated[
        tuple[Path, ...], arg(metavar="A.sig B.sig ...", help_behavior_hint="(this or --store is required)")
    ] = ()
    """Signatures to compare with instead of a store."""

    unrelated: Annotated[tuple[str, ...], arg(metavar="NAME|U.sig ...", help_behavior_hint="(default: none)")] = ()
    """Models known to be trained independently of each other and of the suspect: names in the store, or signatures. Without
    them there is no verdict; see `zest screen --help`. Without a suspect: models known to be independent of each other;
    families are told apart at half their mean distance."""

    top: Annotated[int, arg(metavar="N")] = 10
    """How many of the nearest models, or pairs, are listed; up to 40 of the models are drawn as well."""

    probes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: what the signatures keep)")] = None
    """Probe set that the models were signed with, to draw references."""

    references: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 4, with --probes)")] = None
    """How many references are drawn with --probes: from the one where both models agree most to that where they agree least."""

    threshold: Annotated[
        float | None,
        arg(metavar="DISTANCE", help_behavior_hint="(default: half the mean of --unrelated, or half the median)"),
    ] = None
    """Distance at which models, or nearer ones, are drawn and listed as a family; without a suspect."""

    candidates: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 200, or --top where that is more)")
    ] = None
    """Models to which exact distances are computed, the nearest by their sketches."""

    align: Literal["auto", "greedy"] = "auto"
    """How classes are matched: auto by name when both models have the same class names, else greedy."""

    where: Annotated[FilterOptions, arg(name="filter")] = dataclasses.field(default_factory=FilterOptions)

    exclude: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: none)")] = ()
    """Models of the store to leave out; the suspect's very own signature is left out by itself, and the next one judged."""

    version: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the newest)")] = None
    """Take the store as it was at this version."""

    made: Annotated[dt.date | None, *_TODAY] = None
    """Date that the page gives as its own; with it, the same inputs give the same page."""

    pictures: Annotated[bool, arg(help_behavior_hint="(default: written)")] = True
    """Write no PNGs beside the page."""

    def run(self) -> None:
        self._check()
        # Before the work begins: what is missing is told by its extra.
        importlib.import_module("jinja2")
        from zest_jax.report.page import write_page

        models, name = self._models()
        made = self.made or dt.datetime.now(dt.UTC).date()
        page = self._zoo(models, name, made) if self.suspect is None else self._suspect(models, name, made)
        written = write_page(page, self.output, pictures=self.pictures)
        beside = "" if len(written) == 1 else f", and {len(written) - 1} pictures into {written[1].parent}"
        note(f"wrote {self.output}{beside}")

    def _check(self) -> None:
        """Refuse what cannot be before the work begins."""
        if (self.store is None) == (not self.models):
            raise UsageError("give either --store or --models" + (", not both" if self.models else ""))
        if self.store is None and (self.where != FilterOptions() or self.exclude or self.version is not None):
            raise UsageError(
                "--version, --exclude and filters go with --store; with --models, name those that are meant"
            )
        for option in ("top", "references"):
            if (given := getattr(self, option)) is not None and given < 1:
                raise UsageError(f"--{option} is {given}; give at least 1")
        if self.suspect is None:
            for option in ("probes", "references", "candidates"):
                if getattr(self, option) is not None:
                    raise UsageError(f"--{option} goes with a suspect, and none is given")
        elif self.threshold is not None:
            raise UsageError("--threshold goes with a report of all models; leave the suspect or the threshold out")
        if self.references is not None and self.probes is None:
            raise UsageError("--references goes with --probes; without a probe set what the signatures keep is drawn")
        check_threshold(self.threshold, self.unrelated)
        check_candidates(self.candidates, self.top, useless="--models" if self.models else None)
        if self.output.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--output {self.output} does not end in .html; a report is an HTML page")
        check_output(self.output)
        from zest_jax.report.picture_folder import check_folder, picture_folder

        if self.pictures:
            check_folder(self.output)
            if (folder := picture_folder(self.output)).exists():
                check_output(folder / "heat-map.png")

    def _models(self) -> "tuple[Models, str]":
        """Among which relatives are looked for, and what that is called."""
        if self.store is not None:
            from zest_jax.screening import Store

            return Store.open(self.store, version=self.version), self.store
        signatures = [read_signature(path) for path in self.models]
        return signatures, "the signatures given"

    def _suspect(self, models: "Models", name: str, made: dt.date) -> "Page":
        from zest_jax.progress import progress_bar
        from zest_jax.report.about_suspect import pictures_of, suspect_page
        from zest_jax.screening import Store, investigate, itself_told

        assert self.suspect is not None
        suspect = read_signature(Path(self.suspect))
        probes = self._probes(suspect)
        known = read_unrelated(self.unrelated, models if isinstance(models, Store) else None)
        found = investigate(suspect, models, where=self._where(), settings=self._search(), unrelated=known)
        if (itself := itself_told(found)) is not None:
            note(itself)
        note_remarks(found)
        warn_of_poor_fits([suspect.label], [suspect])
        files = self._unrelated_files(known)
        if not isinstance(models, Store):
            files |= _by_digest(models, self.models)
        references = self.references or REFERENCES
        total = pictures_of(found, references, probes)
        with progress_bar("drawing", total, unit="pictures", show=self.progress) as update:
            page = suspect_page(
                found,
                name=name,
                made=made,
                probes=probes,
                references=references,
                suspect_file=_sha256(Path(self.suspect)),
                files=files,
                progress=lambda done: update(min(done, total)),
            )
            update(total)
        return page

    def _zoo(self, models: "Models", name: str, made: dt.date) -> "Page":
        from zest_jax.progress import progress_bar
        from zest_jax.report.about_zoo import zoo_page
        from zest_jax.screening import Store, compare_all

        known = read_unrelated(self.unrelated, models if isinstance(models, Store) else None)
        found = compare_all(models, where=self._where(), align=self.align, top=self.top, unrelated=known)
        for text in found.remarks:
            note(text)
        with progress_bar("drawing", 2, unit="pictures", show=self.progress) as update:
            return zoo_page(
                found,
                name=name,
                made=made,
                top=self.top,
                threshold=self.threshold,
                files=self._unrelated_files(known),
                progress=update,
            )

    def _where(self) -> "Filter":
        return dataclasses.replace(self.where.filter(), exclude=self.exclude)

    def _unrelated_files(self, known: "Sequence[Signature]") -> dict[str, str]:
        """Of the unrelated models that are in no store."""
        files = [Path(name) for name in self.unrelated if self.store is None or kind_of(name) == "signature"]
        # They are read after those of the store.
        return _by_digest(known[len(known) - len(files) :], files)

    def _search(self) -> "SearchSettings":
        from zest_jax.screening import SearchSettings

        return SearchSettings(top=self.top, candidates=candidates_of(self.candidates, self.top), align=self.align)

    def _probes(self, suspect: "Signature") -> "ProbeSet | None":
        if self.probes is None:
            return None
        probes = read_probes(self.probes)
        if probes.hash != suspect.probe_hash:
            raise UsageError(
                f"--probes {self.probes} is probe set {probes.hash[:16]}, and {self.suspect} was signed with "
                f"{suspect.probe_hash[:16]}; give the probe set that it was signed with"
            )
        return probes


def _by_digest(signatures: "Sequence[Signature]", files: "Sequence[Path]") -> dict[str, str]:
    """SHA-256 of files by those of the signatures in them."""
    from zest_jax.screening.layout import entry_of

    return {entry_of(each).digest: _sha256(file) for each, file in zip(signatures, files, strict=True)}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
