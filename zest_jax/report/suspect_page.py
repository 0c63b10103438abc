"""The report on a suspect: which of the models it is nearest to, what that means, and what can be seen of it."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zest_jax.alignment import Alignment
from zest_jax.evidence import ReferenceDistances, reference_distances
from zest_jax.report.contributions import reference_figure
from zest_jax.report.mapped import MOST_NEAREST, map_nearest
from zest_jax.report.page import Column, Headline, Page, Picture, Section, Table, png_of
from zest_jax.report.parts import (
    CODE,
    HOW_TO_READ,
    NUMBER,
    comparison_rows,
    counted,
    decimals,
    facts_table,
    family_sections,
    fit_section,
    flattened,
    metadata_columns,
)
from zest_jax.report.references import choose, local_r2, reference_part
from zest_jax.screening import Findings, Near, load_models
from zest_jax.screening.exact import alignment_of
from zest_jax.screening.layout import entry_of
from zest_jax.signature import Signature
from zest_jax.version import __version__

if TYPE_CHECKING:  # probe sets need JAX, whose import takes a second
    from zest_jax.probes import ProbeSet

# Equal signatures differ by rounding.
EQUAL = 1e-9
WAYS = {
    "none": "by name; both models have the same classes in the same order",
    "names": "by name",
    "greedy": "by their weights: the nearest classes first (greedy)",
}


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
        files: the same of the models, by label, where they are in no store.
        progress: called with the number of pictures drawn, of `pictures_of(found, references)`.

    Raises:
        ValueError: `references` is below 1.
        ProbeMismatchError: `probes` is another probe set.
        StoreError, FileFormatError: a signature of the store cannot be read.
    """
    if references < 1:
        raise ValueError(f"`references` is {references}; give at least 1")
    suspect, nearest = found.suspect, found.nearest[0]
    near = load_models(found.models, [each.entry.name for each in found.nearest[:MOST_NEAREST]])
    model = near[0]
    matched = alignment_of(suspect, model, align=found.align)
    apart = reference_distances(suspect, model, matched)
    shown = choose(suspect, model, apart, probes, references)
    done = 0

    def step(pictures: int) -> None:
        nonlocal done
        done += pictures
        progress(done)

    maps = family_sections(map_nearest(found, near))
    step(2)
    parts = []
    for each in shown.references:
        parts.append(reference_part(suspect, model, matched, apart, each))
        step(1)
    evidence = Section(
        name="references",
        heading="References, seen by both models",
        paragraphs=(shown.choice,),
        parts=tuple(parts),
    )
    indices = [each.reference for each in shown.references]
    distances = _reference_section(found, model, matched, apart, indices)
    step(1)
    return Page(
        title=f"Is {suspect.label} made from one of these models?",
        subtitle=f"Model reuse report: {suspect.label} compared with {counted(found.compared, 'model')} of {name}",
        verdict=verdict_of(found),
        sections=(
            _nearest_section(found),
            *maps,
            evidence,
            distances,
            fit_section([suspect, model], [f"{suspect.label} (suspect)", f"{model.label} (nearest)"]),
            _settings_section(found, nearest, model, matched, name, (suspect_file, (files or {}).get(model.label))),
            Section(name="reading", heading="How to read this, and its limits", paragraphs=HOW_TO_READ),
        ),
        made=made,
    )


def pictures_of(found: Findings, references: int) -> int:
    """How many pictures `suspect_page` draws, about."""
    return 3 + min(references, len(found.suspect.segment_counts))


def verdict_of(found: Findings) -> Headline:
    """The verdict in plain words, or why there is none."""
    nearest, judged = found.nearest[0], found.judgement
    facts = [
        ("Nearest model", nearest.entry.name),
        ("Its distance", decimals(nearest.distance)),
        ("95% interval of the distance", _interval(nearest)),
        ("Models compared", _compared(found)),
    ]
    notes = []
    if nearest.distance < EQUAL:
        notes.append(
            f"The distance to {nearest.entry.name} is 0: the suspect has the very same weights, so it is that model, an exact "
            "copy, or the same signature."
        )
    if found.undefined:
        listed = ", ".join(found.undefined[:5]) + (", ..." if len(found.undefined) > 5 else "")
        notes.append(
            f"{counted(len(found.undefined), 'model has', 'models have')} no distance, since the classes that match carry no "
            f"weights: {listed}."
        )
    if judged is None:
        assert found.no_judgement is not None
        reason = f"There is no verdict: {found.no_judgement}."
        remedy = (
            "Name models that are known to be independent of each other and of the suspect (--unrelated) to get one."
            if found.yardstick is None
            else "Name unrelated models with as many classes as the nearest one, and a suspect of that kind, to get one."
        )
        return Headline(
            tone="none", headline="No verdict", paragraphs=(reason, remedy), facts=tuple(facts), notes=tuple(notes)
        )
    pairs = counted(judged.unrelated, "unrelated pair")
    as_near = "None" if not judged.nearer else f"{judged.nearer:,}"
    verb = "is" if judged.nearer <= 1 else "are"
    plain = (
        f"{found.suspect.label} is {judged.relative:.2f} times as far from {nearest.entry.name} as unrelated models are from "
        f"each other on average. {as_near} of {pairs} {verb} as near."
    )
    if judged.related is True:
        headline, tone, meaning = "Related", "related", "That is nearer than chance explains."
    elif judged.related is False:
        headline, tone, meaning = "No sign of a relation", "no-sign", "Unrelated models come as near by chance."
    else:
        headline, tone, meaning = (
            "Can't tell",
            "open",
            "The unrelated pairs are too few to tell that from chance; more unrelated models can.",
        )
    facts += [
        ("Relative distance", f"{judged.relative:.2f} (1: unrelated on average)"),
        ("p-value, at most", f"{judged.p_value:.2g}, corrected for {counted(found.compared, 'model')} compared"),
        (
            "Unrelated pairs as near",
            f"{judged.nearer:,} of {judged.unrelated:,} (95%: {judged.rate_interval.low:.2g} to {judged.rate_interval.high:.2g})",
        ),
    ]
    text = f"In full: {judged.text}"
    return Headline(
        tone=tone,
        headline=headline,
        paragraphs=(f"{plain} {meaning}",),
        facts=tuple(facts),
        notes=(text, *notes),
    )


def _compared(found: Findings) -> str:
    return f"{found.compared:,}" if found.exact == found.compared else f"{found.compared:,}, {found.exact:,} exactly"


def _interval(near: Near) -> str:
    if near.interval is None:
        return "-"
    return f"{decimals(near.interval.low)} to {decimals(near.interval.high)}"


def _nearest_section(found: Findings) -> Section:
    entries = [near.entry for near in found.nearest]
    noted, cells = metadata_columns(entries)
    relative = found.yardstick if found.judgement is not None else None
    numbers = ["Distance", "95% interval", *(["Relative"] if relative else [])]
    columns = (
        Column(name="Rank", kind=NUMBER),
        Column(name="Model"),
        *(Column(name=each, kind=NUMBER) for each in numbers),
        *noted,
        Column(name="Classes", kind=NUMBER),
        Column(name="R²", kind=NUMBER),
    )
    rows = [
        (
            str(near.rank),
            near.entry.name,
            decimals(near.distance),
            _interval(near),
            *([f"{near.distance / relative:.2f}"] if relative else []),
            *texts,
            str(near.entry.classes),
            decimals(near.entry.r2, 2),
        )
        for near, texts in zip(found.nearest, cells, strict=True)
    ]
    caption = f"The {counted(len(rows), 'model')} nearest to {found.suspect.label}, of {found.compared:,} compared"
    table = Table(caption=caption, columns=columns, rows=tuple(rows), heading=1)
    note = "The interval tells where a distance lies over the choice of references (bootstrap)."
    return Section(name="nearest", heading="Nearest models", tables=(table,), notes=(note,))


def _reference_section(
    found: Findings, model: Signature, matched: Alignment, apart: ReferenceDistances, shown: list[int]
) -> Section:
    suspect, nearest = found.suspect, found.nearest[0]
    drawn = [i for i in shown if apart.distances[i] == apart.distances[i]]
    figure = reference_figure(apart.distances, nearest.distance, shown=drawn)
    order = apart.shares.argsort(kind="stable")[::-1] if nearest.distance >= EQUAL else []
    largest = [int(i) for i in order[:5] if i not in shown]
    picture = Picture(
        name="distances-by-reference",
        png=png_of(figure),
        alt=f"Bars: distance of {suspect.label} and {model.label} at each of {len(apart.distances)} references, nearest first",
        caption=f"How far {suspect.label} and {model.label} are apart at each reference, over all matched classes. One model "
        "made from the other is near at nearly all of them.",
    )
    rows = [
        (
            str(i),
            "drawn above" if i in shown else "among the largest shares",
            decimals(float(apart.distances[i])),
            "-" if apart.shares[i] != apart.shares[i] else f"{apart.shares[i]:.1%}",
            decimals(local_r2(suspect, i), 2),
            decimals(local_r2(model, i), 2),
        )
        for i in [*shown, *largest]
    ]
    names = ("Distance there", "Share of the distance", "R² of the suspect", "R² of the nearest")
    table = Table(
        caption="References drawn above, and those that add most to the distance",
        columns=(Column(name="Reference", kind=NUMBER), Column(name=""), *(Column(name=n, kind=NUMBER) for n in names)),
        rows=tuple(rows),
    )
    note = (
        f"Shares of all {len(apart.distances)} references add up to 100%; a reference with large weights adds more than one with "
        "small ones."
    )
    return Section(
        name="distances",
        heading="Where the distance comes from",
        pictures=(picture,),
        tables=(table,) if rows else (),
        notes=(note,),
    )


def _settings_section(
    found: Findings,
    nearest: Near,
    model: Signature,
    matched: Alignment,
    name: str,
    files: tuple[str | None, str | None],
) -> Section:
    suspect = found.suspect
    rows = comparison_rows(found, name, suspect.probe_hash, __version__)
    rows += [
        ("Models compared", _compared(found)),
        ("Classes of suspect and nearest matched", WAYS.get(matched.method, matched.method)),
    ]
    settings = []
    for signature, entry, file in zip((suspect, model), (entry_of(suspect), nearest.entry), files, strict=True):
        told = {
            "signature (SHA-256, as in a store)": entry.digest,
            "signed by": f"zest_jax {signature.version}",
            "classes": str(signature.n_classes),
            "references": str(len(signature.segment_counts)),
            "weights per class": str(len(signature.weights)),
            **flattened(signature.settings),
        }
        if file is not None:
            told = {"file of the signature (SHA-256)": file, **told}
        settings.append(told)
    keys = dict.fromkeys([*settings[0], *settings[1]])
    table = Table(
        caption="How the two models were asked and fitted; ≠ marks what differs",
        columns=(
            Column(name="Setting"),
            Column(name=""),
            Column(name=f"{suspect.label} (suspect)", kind=CODE),
            Column(name=f"{model.label} (nearest)", kind=CODE),
        ),
        rows=tuple(
            (
                key,
                "" if settings[0].get(key) == settings[1].get(key) else "≠",
                settings[0].get(key, "-"),
                settings[1].get(key, "-"),
            )
            for key in keys
        ),
    )
    return Section(
        name="settings", heading="Settings and hashes", tables=(facts_table("What was compared", rows), table)
    )
