"""The report on a suspect: which of the models it is nearest to, what that means, and what can be seen of it."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from zest_jax.evidence import reference_distances
from zest_jax.report.contributions import distances_section, has_chart
from zest_jax.report.mapped import map_nearest, map_sections
from zest_jax.report.page import Column, Page, Section, Table
from zest_jax.report.provenance import HOW_TO_READ, metadata_columns, suspect_settings
from zest_jax.report.references import choose, reference_part
from zest_jax.report.verdict import interval_of, verdict_of
from zest_jax.screening import Findings
from zest_jax.signature import POOR_R2, Signature
from zest_jax.wording import counted, decimals

if TYPE_CHECKING:  # probe sets need JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

CLASS_DRAWN = (
    "The class drawn is that of the linear fit, not the model's own answer: of the classes that are matched, the one whose "
    "weights add up highest for the suspect at that reference. The model itself may answer otherwise."
)


def suspect_page(
    found: Findings,
    *,
    name: str,
    made: dt.date,
    probes: "ProbeSet | None" = None,
    references: int = 4,
    suspect_file: str | None = None,
    files: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Page:
    """Tell what was found out about a suspect.

    Args:
        found: by `investigate`.
        name: of the models among which its relatives were looked for, such as the path of the store.
        made: the day that the page gives as its own.
        probes: the probe set, for drawing any reference; None draws what the signatures keep.
        references: how many are drawn, at least 1.
        suspect_file: SHA-256 of the file that the suspect's signature was read from.
        files: the same of the models that came from files, by `Entry.digest`.
        progress: called with the number of pictures drawn, of `pictures_of(found, references, probes)`.

    Raises:
        ValueError: `references` is below 1.
        ProbeMismatchError: `probes` is another probe set.
        StoreError, FileFormatError: a signature of the store cannot be read.

    >>> from zest_jax.screening import investigate
    >>> from zest_jax.signature import Signature
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((2, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([30, 30]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> found = investigate(model("suspect", b.weights + 0.1), [a, b])
    >>> page = suspect_page(found, name="two models", made=dt.date(2026, 1, 1))
    >>> page.verdict.headline, len(list(page.pictures())) > 0
    ('No verdict', True)
    """
    if references < 1:
        raise ValueError(f"`references` is {references}; give at least 1")
    suspect, model = found.suspect, found.signatures[0]
    matched = found.alignments[0]
    apart = reference_distances(suspect, model, matched)
    shown = choose(suspect, model, apart, probes, references)
    done = 0

    def step(pictures: int) -> None:
        nonlocal done
        done += pictures
        progress(done)

    maps = map_sections(map_nearest(found))
    step(2)
    parts = []
    for each in shown.references:
        parts.append(reference_part(suspect, model, matched, apart, each))
        step(1)
    evidence = Section(
        name="references",
        heading="References, seen by both models",
        warnings=shown.warnings,
        paragraphs=(shown.choice, *((CLASS_DRAWN,) if parts else ())),
        parts=tuple(parts),
    )
    drawn = [each.reference for each in shown.references]
    distances = distances_section(suspect, model, apart, found.nearest[0].distance, drawn)
    step(len(distances.pictures))
    return Page(
        title=f"Is {suspect.label} made from one of these models?",
        subtitle=f"Model reuse report: {suspect.label} compared with {counted(found.compared, 'model')} of {name}",
        verdict=verdict_of(found),
        sections=(
            _nearest_section(found),
            *maps,
            evidence,
            distances,
            _fit_section([suspect, model], [f"{suspect.label} (suspect)", f"{model.label} (nearest)"]),
            suspect_settings(found, name, suspect_file=suspect_file, files=files),
            Section(name="reading", heading="How to read this, and its limits", paragraphs=HOW_TO_READ),
        ),
        made=made,
    )


def pictures_of(found: Findings, references: int, probes: "ProbeSet | None" = None) -> int:
    """How many pictures `suspect_page` draws, if none of them is damaged."""
    suspect, model = found.suspect, found.signatures[0]
    apart = reference_distances(suspect, model, found.alignments[0])
    chart = has_chart(apart, found.nearest[0].distance)
    return 2 + len(choose(suspect, model, apart, probes, references).references) + chart


def _nearest_section(found: Findings) -> Section:
    entries = [near.entry for near in found.nearest]
    noted, cells = metadata_columns(entries)
    relative = [found.relative(near) for near in found.nearest]
    judged = found.judgement is not None
    numbers = ["Distance", "95% interval", *(["Relative"] if judged else []), "R²"]
    columns = (
        Column(name="Rank", kind="number"),
        Column(name="Model"),
        *(Column(name=each, kind="number") for each in numbers),
        *noted,
        Column(name="Classes", kind="number"),
    )
    rows = [
        (
            str(near.rank),
            near.entry.name,
            decimals(near.distance),
            interval_of(near),
            *([decimals(value, 2)] if judged else []),
            decimals(near.entry.r2, 2),
            *texts,
            str(near.entry.classes),
        )
        for near, value, texts in zip(found.nearest, relative, cells, strict=True)
    ]
    caption = f"The {counted(len(rows), 'model')} nearest to {found.suspect.label}, of {found.compared:,} compared"
    table = Table(caption=caption, columns=columns, rows=tuple(rows), heading=1)
    note = "The interval tells where a distance lies over the choice of references (bootstrap)."
    return Section(name="nearest", heading="Nearest models", tables=(table,), notes=(note,))


def _fit_section(signatures: Sequence[Signature], names: Sequence[str]) -> Section:
    """How well linear models explain each model's answers."""
    rows, poor = [], []
    for name, signature in zip(names, signatures, strict=True):
        r2 = signature.summary()["r2"]
        rows.append((name, *(decimals(r2[part], 2) for part in ("pooled", "p10", "median", "p90"))))
        if signature.mean_r2() < POOR_R2:
            poor.append(f"{name} ({decimals(r2['pooled'], 2)})")
    warnings = ()
    if poor:
        warnings = (
            (
                f"linear explanations hardly fit {', '.join(poor)}: R² below {POOR_R2}, so distances say little. Sign again "
                "with --intercept or --targets logits, more masks or fewer segments, and check that the model gets its inputs "
                "as it was trained."
            ),
        )
    table = Table(
        caption="R² of the linear fits: the share of the answers' variance that they explain",
        columns=(Column(name="Model"), *(Column(name=n, kind="number") for n in ("Over all", "10%", "Median", "90%"))),
        rows=tuple(rows),
    )
    note = (
        "10%, median and 90%: that share of the references has a lower R² than this. Below 0 a fit is worse than a constant "
        "would be, which fits without an intercept can be."
    )
    return Section(name="fit", heading="Fit quality", warnings=warnings, tables=(table,), notes=(note,))
