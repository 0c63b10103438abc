"""Pictures of probe sets, signatures, distances and families, and reports as pages."""

from zest_jax.report.about_suspect import suspect_page
from zest_jax.report.about_zoo import zoo_page
from zest_jax.report.contributions import reference_figure
from zest_jax.report.family_tree import KnownTree, clustered_figure, tree_figure
from zest_jax.report.figures import distance_figure, element_weights, signature_figure
from zest_jax.report.page import Page, write_page
from zest_jax.report.probes import probes_figure

__all__ = [
    "KnownTree",
    "Page",
    "clustered_figure",
    "distance_figure",
    "element_weights",
    "probes_figure",
    "reference_figure",
    "signature_figure",
    "suspect_page",
    "tree_figure",
    "write_page",
    "zoo_page",
]
