"""Many models: a store of signatures, and the search for those that are nearest to a suspect."""

from zest_jax.screening.additions import Added
from zest_jax.screening.among import Among, Pair, compare_all
from zest_jax.screening.entries import Entry, Filter, Metadata
from zest_jax.screening.families import (
    Extent,
    Families,
    FamilyTree,
    central,
    closest,
    extent,
    families,
    family_tree,
    find_families,
    pair_distances,
    pruned,
    usual_threshold,
)
from zest_jax.screening.findings import Findings, Near, investigate
from zest_jax.screening.judging import (
    Judgement,
    check_unrelated,
    common_alignment,
    judge,
    one_alignment,
    unrelated_distances,
)
from zest_jax.screening.models import Models, load_models
from zest_jax.screening.removals import Removed
from zest_jax.screening.sameness import Same, itself_told, same_as
from zest_jax.screening.search import Hit, Screening, SearchSettings, distance_table, distances_from, screen
from zest_jax.screening.sketch import SketchSettings
from zest_jax.screening.store import Store, StoreVersion
from zest_jax.screening.verification import Problem, verify

__all__ = [
    "Added",
    "Among",
    "Entry",
    "Extent",
    "Families",
    "FamilyTree",
    "Filter",
    "Findings",
    "Hit",
    "Judgement",
    "Metadata",
    "Models",
    "Near",
    "Pair",
    "Problem",
    "Removed",
    "Same",
    "Screening",
    "SearchSettings",
    "SketchSettings",
    "Store",
    "StoreVersion",
    "central",
    "check_unrelated",
    "closest",
    "common_alignment",
    "compare_all",
    "distance_table",
    "distances_from",
    "extent",
    "families",
    "family_tree",
    "find_families",
    "investigate",
    "judge",
    "load_models",
    "one_alignment",
    "pair_distances",
    "pruned",
    "itself_told",
    "same_as",
    "screen",
    "unrelated_distances",
    "usual_threshold",
    "verify",
]
