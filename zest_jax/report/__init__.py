"""Pictures of signatures and distances."""

from zest_jax.report.figures import distance_figure, pixel_weights, signature_figure

__all__ = ["distance_figure", "pixel_weights", "signature_figure"]
