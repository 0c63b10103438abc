"""`zest_jax[demo-quick]`: a copy that the quick demo makes of its victim is signed."""

import sys
from pathlib import Path

source = Path(sys.argv[1])
sys.path.insert(0, str(source / "examples"))
from golden_models import contest

import zest_jax as zest

made = contest(Path(), 2, 200)
(copy,) = [each for each in made.contestants if each.how == "quantised"]
assert zest.sign(copy.make(), made.probes).weights.any()
