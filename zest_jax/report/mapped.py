"""Which models a heat map and a family tree show, of what was found, and the sections of a page that hold both."""

from typing import Any, NamedTuple

import numpy as np

from zest_jax.report.drawing import folded
from zest_jax.report.family_tree import (
    MOST_DRAWN,
    KnownTree,
    clustered_figure,
    tree_figure,
)
from zest_jax.report.page import Picture, Section, png_of
from zest_jax.report.tree_leaves import NAME_WIDTH, family_name
from zest_jax.screening.among import Among
from zest_jax.screening.exact import distances_among
from zest_jax.screening.families import Families, closest, pruned
from zest_jax.screening.findings import Findings
from zest_jax.screening.judging import one_alignment
from zest_jax.wording import counted, decimals, sentence

# Beside a suspect: so many rows can be read.
MOST_NEAREST = 40
UNRELATED = "unrelated on average"
# Where families are cut, in words.
RULES = {
    "given": "as given",
    "unrelated": "half the mean distance of the unrelated models",
    "median": "half the median distance of all pairs",
}


class Mapped(NamedTuple):
    """What is drawn.

    Attributes:
        distances: [models, models].
        labels: of the models.
        style: further arguments of `clustered_figure` and `tree_figure`.
        what: which models these are, in words.
        remarks: what is to be said of it, such as why these are not all models.
    """

    distances: np.ndarray
    labels: list[str]
    style: dict[str, Any]
    what: str
    remarks: tuple[str, ...]


def map_nearest(found: Findings) -> Mapped:
    """The suspect and the models nearest to it, up to 40; with a verdict, the mean of unrelated pairs as a line."""
    near = found.signatures[:MOST_NEAREST]
    drawn = [found.suspect, *near]
    align = one_alignment([each.class_names for each in drawn], align=found.align)
    labels = [f"{found.suspect.label} (suspect)", *(each.entry.name for each in found.nearest[: len(near)])]
    line = None if found.judgement is None or found.yardstick is None else (found.yardstick, UNRELATED)
    nearest = "the nearest model" if len(near) == 1 else f"the {len(near)} models nearest to it"
    remarks = []
    if len(near) < found.compared:
        remarks.append(f"drawn are the suspect and {nearest}, of {found.compared:,} compared")
    # Where none of the suspect's classes went by name, the table is as the map.
    if align != found.align and any(matched.method != "greedy" for matched in found.alignments[: len(near)]):
        remarks.append(
            "the models drawn do not all have the same class names, so all pairs are matched greedily here, and may be nearer "
            "than in the table"
        )
    distances = distances_among(drawn, align=align)
    return Mapped(
        distances, labels, {"marked": 0, "line": line}, f"{found.suspect.label} and {nearest}", tuple(remarks)
    )


def map_all(found: Among, known: Families) -> Mapped:
    """All models, or the 500 that have the nearest neighbours; with unrelated models, their mean distance as a line.

    Args:
        found: by `compare_all`.
        known: its families, by `find_families`.
    """
    kept = closest(found.distances, MOST_DRAWN)
    distances = found.distances[np.ix_(kept, kept)]
    remarks = []
    style: dict[str, Any] = {"threshold": known.threshold}
    if found.yardstick is not None:
        style["line"] = (found.yardstick, UNRELATED)
    if len(kept) < len(found.entries):
        remarks.append(
            f"drawn are the {len(kept)} models that have the nearest neighbours, of {len(found.entries):,}; the tree and its "
            "families are those of all"
        )
        tree = pruned(known.tree, kept, distances)
        style["known"] = KnownTree(tree, _family_of_each(found, known, kept))
    labels = [found.entries[i].name for i in kept]
    return Mapped(distances, labels, style, f"{len(kept)} models", tuple(remarks))


def no_families(known: Families) -> str:
    """That no models are a family, and what that means."""
    if known.rule != "median":
        return f"no two models are as near as {decimals(known.threshold)} ({RULES[known.rule]}), so none are a family"
    return (
        f"can't tell families: no pair is nearer than half the median distance, {decimals(known.threshold)}; where most models "
        "of a store are related, this rule finds nothing. Name models that are known to be unrelated to each other "
        "(--unrelated), or give a distance (--threshold)"
    )


def map_sections(mapped: Mapped) -> tuple[Section, Section]:
    """The heat map and the family tree."""
    distances, labels, style, what, remarks = mapped
    heat = Picture(
        name="heat-map",
        png=png_of(clustered_figure(distances, labels, **style)),
        alt=f"Heat map of the distances among {what}, ordered by the family tree at its side",
        caption="Distances of all pairs; dark is near. Rows and columns have the order of the tree, so that relatives are dark "
        "squares on the diagonal.",
    )
    tree = Picture(
        name="family-tree",
        png=png_of(tree_figure(distances, labels, **style)),
        alt=f"Family tree of {what} by average linkage",
        caption="The further to the right two branches meet, the nearer the models are. Groups join at the mean distance of "
        "their models (average linkage).",
    )
    notes = tuple(map(sentence, remarks))
    return (
        Section(name="heat-map", heading="Heat map", pictures=(heat,), notes=notes),
        Section(name="family-tree", heading="Family tree", pictures=(tree,), notes=notes),
    )


def families_in_words(known: Families, models: int) -> str:
    """How many models hang together."""
    alone = sum(len(group) == 1 for group in known.groups)
    inside, families = counted(models - alone, "model"), counted(len(known.large), "family", "families")
    return f"{inside} hang together in {families}; {counted(alone, 'model stands', 'models stand')} alone."


def _family_of_each(found: Among, known: Families, kept: list[int]) -> tuple[str, ...]:
    labels = [folded(entry.name, width=NAME_WIDTH, lines=1) for entry in found.entries]
    names = dict(enumerate(labels))
    for members in known.large:
        names.update(dict.fromkeys(members, family_name(found.distances, labels, members)))
    return tuple(names[i] for i in kept)
