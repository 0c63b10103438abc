"""The report on many models compared with each other: which are near each other, and which families they form."""

import datetime as dt
from collections.abc import Callable

import numpy as np

from zest_jax.report.family_tree import family_name
from zest_jax.report.mapped import map_all
from zest_jax.report.page import Column, Headline, Page, Section, Table
from zest_jax.report.parts import (
    CODE,
    HOW_TO_READ,
    NUMBER,
    comparison_rows,
    counted,
    decimals,
    facts_table,
    family_sections,
    metadata_columns,
)
from zest_jax.screening import Among, Store, families, family_tree, usual_threshold
from zest_jax.signature import POOR_R2, Signature
from zest_jax.version import __version__

# Rows of the table of models, names in a row of the table of families.
MOST_LISTED, MOST_MEMBERS = 100, 12


def zoo_page(
    found: Among,
    *,
    name: str,
    made: dt.date,
    top: int = 10,
    threshold: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Page:
    """Tell which of many models are near each other.

    Args:
        found: by `compare_all`.
        name: of the models, such as the path of the store.
        made: the day that the page gives as its own.
        top: how many of the nearest pairs are listed.
        threshold: distance below which models are a family; None for half the median, see `usual_threshold`.
        progress: called with the number of pictures drawn, of 2.

    Raises:
        ValueError: `threshold` is negative or not finite.
    """
    cut = usual_threshold(found.distances) if threshold is None else threshold
    tree = family_tree(found.distances)
    groups = families(tree, cut)
    large = sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))
    labels = [entry.name for entry in found.entries]
    maps = family_sections(map_all(found, threshold=cut))
    progress(2)
    return Page(
        title=f"The family tree of {name}",
        subtitle=f"Model reuse report: {counted(len(labels), 'model')} compared with each other",
        verdict=_headline(found, large, groups, cut, usual=threshold is None),
        sections=(
            _pairs_section(found, top),
            *maps,
            _families_section(found, large, labels, cut),
            _models_section(found),
            Section(
                name="settings",
                heading="Settings and hashes",
                tables=(
                    facts_table("What was compared", comparison_rows(found, name, _probe_hash(found), __version__)),
                ),
            ),
            Section(name="reading", heading="How to read this, and its limits", paragraphs=HOW_TO_READ),
        ),
        made=made,
    )


def _headline(
    found: Among, large: list[tuple[int, ...]], groups: tuple[tuple[int, ...], ...], cut: float, *, usual: bool
) -> Headline:
    alone = sum(len(group) == 1 for group in groups)
    n_pairs = len(found.entries) * (len(found.entries) - 1) // 2
    if large:
        inside = counted(sum(map(len, large)), "model")
        how_many = counted(len(large), "family", "families")
        first = f"{inside} hang together in {how_many}; {counted(alone, 'model stands', 'models stand')} alone."
    else:
        first = "No two models are near enough to be called a family."
    rule = "half the median distance of all pairs" if usual else "as given"
    second = (
        f"Families are cut at a distance of {decimals(cut)} ({rule}). That is a rule for looking, not a test: for a verdict on "
        "one model, make its own report with unrelated models (zest report SUSPECT.sig --unrelated ...)."
    )
    facts = [("Models", f"{len(found.entries):,}"), ("Pairs", f"{n_pairs:,}")]
    if found.pairs:
        nearest = found.pairs[0]
        facts.append(("Nearest pair", f"{nearest.a} and {nearest.b}, {decimals(nearest.distance)}"))
    notes = ()
    if found.undefined:
        notes = (
            (
                f"{counted(found.undefined, 'pair has', 'pairs have')} no distance, since the classes that match carry no "
                "weights; in the tree such a pair counts as the farthest."
            ),
        )
    headline = f"{counted(len(large), 'family', 'families')} among {counted(len(found.entries), 'model')}"
    return Headline(tone="none", headline=headline, paragraphs=(first, second), facts=tuple(facts), notes=notes)


def _pairs_section(found: Among, top: int) -> Section:
    rows = tuple((pair.a, pair.b, decimals(pair.distance)) for pair in found.pairs[:top])
    columns = (Column(name="Model"), Column(name="Model"), Column(name="Distance", kind=NUMBER))
    table = Table(caption=f"The {counted(len(rows), 'pair')} with the smallest distances", columns=columns, rows=rows)
    return Section(name="pairs", heading="Nearest pairs", tables=(table,))


def _families_section(found: Among, large: list[tuple[int, ...]], labels: list[str], cut: float) -> Section:
    if not large:
        return Section(
            name="families", heading="Families", paragraphs=(f"No group of models joins below {decimals(cut)}.",)
        )
    rows = []
    for members in large[:MOST_LISTED]:
        inside = found.distances[np.ix_(members, members)]
        outside = np.delete(found.distances[list(members)], members, axis=1)
        nearest_outside = "-"
        if outside.size and not np.isnan(outside).all():
            others = np.delete(np.arange(len(labels)), members)
            place = int(np.nanargmin(outside)) % outside.shape[1]
            nearest_outside = f"{labels[others[place]]}, {decimals(float(np.nanmin(outside)))}"
        listed = ", ".join(labels[i] for i in members[:MOST_MEMBERS])
        more = f" and {len(members) - MOST_MEMBERS} more" if len(members) > MOST_MEMBERS else ""
        rows.append(
            (
                family_name(found.distances, labels, members),
                str(len(members)),
                decimals(float(np.nanmax(inside))),
                nearest_outside,
                listed + more,
            )
        )
    columns = (
        Column(name="Family"),
        Column(name="Models", kind=NUMBER),
        Column(name="Widest distance", kind=NUMBER),
        Column(name="Nearest outside"),
        Column(name="Members"),
    )
    caption = (
        f"Groups that join below {decimals(cut)}, largest first; each is called after the model nearest to all of it"
    )
    notes = () if len(large) <= MOST_LISTED else (f"The {MOST_LISTED} largest of {len(large):,} families.",)
    table = Table(caption=caption, columns=columns, rows=tuple(rows))
    return Section(name="families", heading="Families", tables=(table,), notes=notes)


def _models_section(found: Among) -> Section:
    # Those that are hardly fitted come first where not all find room.
    entries = list(found.entries)
    notes = ()
    if len(entries) > MOST_LISTED:
        entries = sorted(entries, key=lambda entry: -1.0 if entry.r2 is None else entry.r2)[:MOST_LISTED]
        notes = (f"The {MOST_LISTED} models with the lowest R², of {len(found.entries):,}.",)
    noted, cells = metadata_columns(entries)
    poor = [entry.name for entry in found.entries if entry.r2 is None or entry.r2 < POOR_R2]
    warnings = ()
    if poor:
        listed = ", ".join(poor[:10]) + (", ..." if len(poor) > 10 else "")
        warnings = (
            f"linear explanations hardly fit {counted(len(poor), 'model')}: {listed}. Their distances say little.",
        )
    columns = (
        Column(name="Model"),
        Column(name="R²", kind=NUMBER),
        Column(name="Classes", kind=NUMBER),
        *noted,
        Column(name="Signature (SHA-256, as in a store)", kind=CODE),
    )
    rows = tuple(
        (entry.name, decimals(entry.r2, 2), str(entry.classes), *texts, entry.digest)
        for entry, texts in zip(entries, cells, strict=True)
    )
    caption = "R²: share of the answers' variance that the linear fits explain"
    table = Table(caption=caption, columns=columns, rows=rows)
    return Section(name="models", heading="Models and fit quality", warnings=warnings, tables=(table,), notes=notes)


def _probe_hash(found: Among) -> str:
    if isinstance(found.models, Store):
        return found.models.header.probe_hash
    first: Signature = found.models[0]
    return first.probe_hash
