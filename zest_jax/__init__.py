"""Was this model made from that one? Distances between black-box classifiers (Zest, ICLR 2022) in JAX.

>>> import zest_jax as zest
>>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
>>> probes = zest.image_probes(images, 4, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
>>> victim = zest.sign(zest.from_jax(lambda x: x.mean((1, 2))), probes)
>>> suspect = zest.sign(zest.from_callable(lambda x: x.mean((1, 2)) * 2), probes)
>>> round(zest.distance(victim, suspect), 4)
0.0
"""

from zest_jax.align import Alignment, align
from zest_jax.blackbox import BlackBox, from_callable, from_flax, from_jax, from_linen, from_onnx, from_torch, load_model
from zest_jax.distance import distance, distance_matrix, relative_distance
from zest_jax.errors import ZestError
from zest_jax.probes import ProbeSet, compose, draw_masks, image_probes, segment_images
from zest_jax.query import query
from zest_jax.references import choose_references
from zest_jax.sign import sign, sign_many
from zest_jax.signature import Signature
from zest_jax.solve import SolveSettings, solve
from zest_jax.verdict import Verdict, verdict
from zest_jax.version import __version__

__all__ = [
    "Alignment",
    "BlackBox",
    "ProbeSet",
    "Signature",
    "SolveSettings",
    "Verdict",
    "ZestError",
    "__version__",
    "align",
    "choose_references",
    "compose",
    "distance",
    "distance_matrix",
    "draw_masks",
    "from_callable",
    "from_flax",
    "from_jax",
    "from_linen",
    "from_onnx",
    "from_torch",
    "image_probes",
    "load_model",
    "query",
    "relative_distance",
    "segment_images",
    "sign",
    "sign_many",
    "solve",
    "verdict",
]
