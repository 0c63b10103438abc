"""`zest probes`: make the probe set that all models are asked about."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from zest_jax.cli.console import note
from zest_jax.cli.files import check_output
from zest_jax.cli.options import Common
from zest_jax.cli.pools import PoolOptions, ProbeOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probes(Common):
    """Make probes from images, texts or sounds, once; every model that is ever to be compared is signed with them.

    Reference inputs are chosen and cut into super-pixels, words or windows of time, and random masks are drawn over those.
    """

    source: Positional[Annotated[str, arg(metavar="SOURCE")]]
    """A folder of images or of .wav and .flac files (sub-folders are classes), an .npy or .npz array of images, a .txt, .csv,
    .tsv or .jsonl file of texts, or a prepared TFDS data set (cifar10, cifar10:test, ag_news_subset, speech_commands)."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE")]
    """Where to write the probe set (.npz)."""

    probe: ProbeOptions = dataclasses.field(default_factory=ProbeOptions)
    pool: PoolOptions = dataclasses.field(default_factory=PoolOptions)

    def run(self) -> None:
        check_output(self.output)
        pool = self.pool.read(self.source, seed=self.probe.pool_seed, progress=self.progress)
        probes = self.probe.make(pool, progress=self.progress)
        probes.save(self.output)
        note(f"wrote {self.output}: {probes!r}")
