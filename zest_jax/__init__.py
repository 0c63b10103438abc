"""Was this model made from that one? Distances between black-box classifiers (Zest, ICLR 2022) in JAX.

>>> import zest_jax as zest
>>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
>>> probes = zest.image_probes(images, 4, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
>>> victim = zest.sign(zest.from_jax(lambda x: x.mean((1, 2))), probes)
>>> suspect = zest.sign(zest.from_callable(lambda x: x.mean((1, 2)) * 2), probes)
>>> round(zest.distance(victim, suspect), 4)
0.0
"""

import lazy_loader

# The names are listed in `__init__.pyi` and imported when first used: `zest --help` must not wait for JAX.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
