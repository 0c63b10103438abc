"""Phase 2: what is asked. `ProbeSet` and everything that makes one."""

from zest_jax.probes.composition import compose
from zest_jax.probes.image import image_probes
from zest_jax.probes.masks import draw_masks
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.segmentation import segment_images

__all__ = ["ProbeSet", "compose", "draw_masks", "image_probes", "segment_images"]
