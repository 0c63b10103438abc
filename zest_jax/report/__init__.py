"""Pictures of probe sets, signatures and distances."""

from zest_jax.report.figures import distance_figure, element_weights, signature_figure
from zest_jax.report.probes import probes_figure

__all__ = ["distance_figure", "element_weights", "probes_figure", "signature_figure"]
