"""One model after the other, in this process."""

import dataclasses
from collections.abc import Iterable, Iterator

from zest_jax.many.job import Job, Outcome, Say, attempt
from zest_jax.probes.probe_set import ProbeSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainLoop:
    """Sign one model after the other in this process, each with all cores and devices.

    A model that ends its process (a segmentation fault, no memory) ends the run: `RayTasks` survives that.

    >>> next(PlainLoop().outcomes([Job(name="none", model="none.onnx")], None, print)).error
    'there is no file none.onnx; give a model file, or a Python reference `package.module:function`'
    """

    def outcomes(self, jobs: Iterable[Job], probes: ProbeSet, say: Say) -> Iterator[Outcome | None]:
        """Sign models and tell of each, in their order; see `Signer`."""
        for job in jobs:
            yield attempt(job, probes)
