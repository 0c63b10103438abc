"""Phase 2: what is asked. `ProbeSet` and everything that makes one."""

from zest_jax.probes.audio import audio_probes
from zest_jax.probes.composition import compose
from zest_jax.probes.image import image_probes
from zest_jax.probes.masks import draw_masks
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.segmentation import segment_images
from zest_jax.probes.spectrum import Stft
from zest_jax.probes.text import text_probes
from zest_jax.probes.waveform import segment_sounds
from zest_jax.probes.words import segment_texts

__all__ = [
    "ProbeSet",
    "Stft",
    "audio_probes",
    "compose",
    "draw_masks",
    "image_probes",
    "segment_images",
    "segment_sounds",
    "segment_texts",
    "text_probes",
]
