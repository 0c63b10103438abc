"""`zest_jax[demo]`: a copy that the demo makes of its victim is signed on a photograph."""

import sys
from pathlib import Path

source = Path(sys.argv[1])
sys.path.insert(0, str(source / "examples"))
from imagenet_models import contest

import zest_jax as zest

made = contest(Path(), 1, 64)
(copy,) = [each for each in made.contestants if each.how == "exported"]
assert zest.sign(copy.make(), made.probes, underdetermined="minimum-norm").weights.any()
