"""Many models: a store of signatures, and the search for those that are nearest to a suspect."""

from zest_jax.screening.entries import Entry, Filter, Metadata
from zest_jax.screening.families import FamilyTree, central, closest, families, family_tree, usual_threshold
from zest_jax.screening.judging import Judgement, common_alignment, judge, unrelated_distances
from zest_jax.screening.search import Hit, Screening, SearchSettings, distance_table, distances_from, screen
from zest_jax.screening.sketch import SketchSettings
from zest_jax.screening.store import Added, Removed, Store, StoreVersion
from zest_jax.screening.verification import Problem, verify

__all__ = [
    "Added",
    "Entry",
    "FamilyTree",
    "Filter",
    "Hit",
    "Judgement",
    "Metadata",
    "Problem",
    "Removed",
    "Screening",
    "SearchSettings",
    "SketchSettings",
    "Store",
    "StoreVersion",
    "central",
    "closest",
    "common_alignment",
    "distance_table",
    "distances_from",
    "families",
    "family_tree",
    "judge",
    "screen",
    "unrelated_distances",
    "usual_threshold",
    "verify",
]
