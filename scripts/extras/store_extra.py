"""`zest_jax[store]`: signatures go into a store, and the nearest to one of them are looked for."""

import sys

from zest_jax.cli.main import main

sys.exit(
    main(["store", "add", "models.store", "first.sig", "second.sig", "third.sig", "--owner", "us"])
    or main(["screen", "first.sig", "--store", "models.store"])
)
