"""The report on many models compared with each other: which are near each other, and which families they form."""

import datetime as dt
from collections.abc import Callable, Mapping

from zest_jax.report.mapped import RULES, families_in_words, map_all, map_sections, no_families
from zest_jax.report.page import Column, Headline, Page, Section, Table
from zest_jax.report.provenance import HOW_TO_READ, metadata_columns, zoo_settings
from zest_jax.report.tree_leaves import family_name
from zest_jax.screening import Among, Families, extent, find_families
from zest_jax.signature import POOR_R2
from zest_jax.wording import counted, decimals, listed, sentence

# Rows of the table of models, names in a row of the table of families.
MOST_LISTED, MOST_MEMBERS = 100, 12


def zoo_page(
    found: Among,
    *,
    name: str,
    made: dt.date,
    top: int = 10,
    threshold: float | None = None,
    files: Mapping[str, str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Page:
    """Tell which of many models are near each other.

    Args:
        found: by `compare_all`.
        name: of the models, such as the path of the store.
        made: the day that the page gives as its own.
        top: how many of the nearest pairs are listed.
        threshold: distance at which models, or nearer ones, are a family; None for half the mean distance of the unrelated
            models, or without them half the median, see `find_families`.
        files: SHA-256 of the files of unrelated models that came from files, by `Entry.digest`.
        progress: called with the number of pictures drawn, of 2.

    Raises:
        ValueError: `threshold` is negative or not finite.

    >>> from zest_jax.screening import compare_all
    >>> from zest_jax.signature import Signature
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((2, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([30, 30]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> page = zoo_page(compare_all([a, b, model("copy", a.weights + 0.1)]), name="three models", made=dt.date(2026, 1, 1))
    >>> len(list(page.pictures())) > 0
    True
    """
    known = find_families(found.distances, threshold=threshold, unrelated=found.yardstick)
    labels = [entry.name for entry in found.entries]
    maps = map_sections(map_all(found, known))
    progress(2)
    return Page(
        title=f"The family tree of {name}",
        subtitle=f"Model reuse report: {counted(len(labels), 'model')} compared with each other",
        verdict=_headline(found, known),
        sections=(
            _pairs_section(found, top),
            *maps,
            _families_section(found, known, labels),
            _models_section(found),
            zoo_settings(found, name, f"at {decimals(known.threshold)}, {RULES[known.rule]}", files),
            Section(name="reading", heading="How to read this, and its limits", paragraphs=HOW_TO_READ),
        ),
        made=made,
    )


def _headline(found: Among, known: Families) -> Headline:
    models, large = len(found.entries), known.large
    how_many = counted(len(large), "family", "families")
    headline = f"{how_many} among {counted(models, 'model')}"
    paragraphs = [families_in_words(known, models) if large else sentence(no_families(known))]
    if not large and known.rule == "median":
        headline = f"Can't tell families among {counted(models, 'model')}"
    else:
        rule = RULES[known.rule] + (
            ", which tells families where most pairs are unrelated" if known.rule == "median" else ""
        )
        paragraphs.append(
            f"Families are cut at a distance of {decimals(known.threshold)} ({rule}). That is a rule for looking, not a test: "
            "for a verdict on one model, make its own report with unrelated models (zest report SUSPECT.sig --unrelated ...)."
        )
    facts = [("Models", f"{models:,}"), ("Pairs", f"{models * (models - 1) // 2:,}")]
    if found.pairs:
        nearest = found.pairs[0]
        facts.append(("Nearest pair", f"{nearest.a} and {nearest.b}, {decimals(nearest.distance)}"))
    if found.yardstick is not None:
        told = f"{decimals(found.yardstick)}, of {counted(len(found.unrelated), 'model')}"
        facts.append(("Mean distance of unrelated models", told))
    notes = (*map(sentence, found.remarks), *_doubts(found, known))
    return Headline(tone="none", headline=headline, paragraphs=tuple(paragraphs), facts=tuple(facts), notes=notes)


def _doubts(found: Among, known: Families) -> list[str]:
    """Where unrelated models do not suit the others."""
    doubts = []
    if known.rule != "unrelated":
        return doubts
    digests = {entry.digest for entry in found.unrelated}
    for members in known.large:
        inside = [found.entries[i].name for i in members if found.entries[i].digest in digests]
        if len(inside) > 1:
            doubts.append(f"{listed(inside, 5)} are named as unrelated to each other, and are in one family.")
    classes = found.unrelated[0].classes
    others = sum(entry.classes != classes for entry in found.entries)
    if others:
        doubts.append(
            f"{counted(others, 'model has', 'models have')} another number of classes than the unrelated models ({classes}), "
            "whose distance is no yardstick for them."
        )
    return doubts


def _pairs_section(found: Among, top: int) -> Section:
    rows = tuple((pair.a, pair.b, decimals(pair.distance)) for pair in found.pairs[:top])
    columns = (Column(name="Model"), Column(name="Model"), Column(name="Distance", kind="number"))
    table = Table(caption=f"The {counted(len(rows), 'pair')} with the smallest distances", columns=columns, rows=rows)
    return Section(name="pairs", heading="Nearest pairs", tables=(table,))


def _families_section(found: Among, known: Families, labels: list[str]) -> Section:
    large = known.large
    if not large:
        text = f"No group of models joins at {decimals(known.threshold)} or nearer."
        return Section(name="families", heading="Families", paragraphs=(text,))
    rows = []
    for members in large[:MOST_LISTED]:
        reach = extent(found.distances, members)
        outside = "-" if reach.nearest is None else f"{labels[reach.nearest]}, {decimals(reach.distance)}"
        name = family_name(found.distances, labels, members)
        inside = listed([labels[i] for i in members], MOST_MEMBERS)
        rows.append((name, f"{len(members):,}", decimals(reach.widest), outside, inside))
    columns = (
        Column(name="Family"),
        Column(name="Models", kind="number"),
        Column(name="Widest distance", kind="number"),
        Column(name="Nearest outside"),
        Column(name="Members"),
    )
    caption = (
        f"Groups that join at {decimals(known.threshold)} or nearer, largest first; each is called after the model nearest to "
        "all of it"
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
        warnings = (
            f"linear explanations hardly fit {counted(len(poor), 'model')}: {listed(poor, 10)}. Their distances say little.",
        )
    columns = (
        Column(name="Model"),
        Column(name="R²", kind="number"),
        Column(name="Classes", kind="number"),
        *noted,
        Column(name="Signature (SHA-256, as in a store)", kind="code"),
    )
    rows = tuple(
        (entry.name, decimals(entry.r2, 2), str(entry.classes), *texts, entry.digest)
        for entry, texts in zip(entries, cells, strict=True)
    )
    caption = "R²: share of the answers' variance that the linear fits explain"
    table = Table(caption=caption, columns=columns, rows=rows)
    return Section(name="models", heading="Models and fit quality", warnings=warnings, tables=(table,), notes=notes)
