"""Data sets and local files as arrays."""

from zest_jax.data.images import ImageSet, load_images

__all__ = ["ImageSet", "load_images"]
