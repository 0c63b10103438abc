"""`zest probes`: make the probe set that all models are asked about."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from zest_jax.cli.console import note
from zest_jax.cli.files import check_output
from zest_jax.cli.options import Common, ImageOptions, ProbeOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probes(Common):
    """Make probes from images, once; every model that is ever to be compared is signed with them.

    Reference images are chosen and cut into super-pixels, and random masks are drawn over those.
    """

    images: Positional[Annotated[str, arg(metavar="IMAGES")]]
    """A folder of images (sub-folders are classes), an .npy or .npz array, or a prepared TFDS data set (cifar10,
    cifar10:test)."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE")]
    """Where to write the probe set (.npz)."""

    probe: ProbeOptions = dataclasses.field(default_factory=ProbeOptions)
    image: ImageOptions = dataclasses.field(default_factory=ImageOptions)

    def run(self) -> None:
        check_output(self.output)
        pool = self.image.read(self.images, seed=self.probe.pool_seed, progress=self.progress)
        probes = self.probe.make(pool, progress=self.progress)
        probes.save(self.output)
        note(f"wrote {self.output}: {probes!r}")
