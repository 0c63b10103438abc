"""`zest_jax[cluster]`: two models are signed into a store by processes of a Ray cluster."""

import sys
from pathlib import Path

from zest_jax.cli.main import main

Path("networks.py").write_text("""
def mean(): return lambda x: x.mean((1, 2))
def extremes(): return lambda x: x.max((1, 2)) - x.min((1, 2))
""")
sign = ["sign-all", "networks:mean", "networks:extremes", "--probes", "probes.npz", "--store", "models.store", "--ray"]
sys.exit(main(sign) or main(["screen", "--store", "models.store"]))
