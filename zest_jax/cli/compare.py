"""`zest compare`: two models, one command."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from zest_jax.cli.console import keep_numbers, note, print_json, result_console
from zest_jax.cli.distance import ComparisonOptions, number, warn_of_poor_fits
from zest_jax.cli.files import UsageError, check_model, read_probes
from zest_jax.cli.options import OFF, Common, ModelOptions, SolveOptions, detected
from zest_jax.cli.pools import PoolOptions, ProbeOptions
from zest_jax.cli.remote import RemoteOptions, closed_in_the_end, is_url, tell_costs, tell_sent

if TYPE_CHECKING:
    from zest_jax.probes import ProbeSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare(Common):
    """Sign two models in one pass over the probes and print their distance; nothing is written.

    The model options hold for both models; where they need different ones, use `zest sign` and `zest distance`.
    """

    model_a: Positional[Annotated[str, arg(metavar="MODEL_A")]]
    """First model; see `zest sign --help` for what a model may be."""

    model_b: Positional[Annotated[str, arg(metavar="MODEL_B")]]
    """Second model."""

    probes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(this or --inputs is required)")] = None
    """Probe set, as `zest probes` wrote it."""

    inputs: Annotated[
        str | None, arg(aliases=("--images",), metavar="SOURCE", help_behavior_hint="(this or --probes is required)")
    ] = None
    """Images, texts or sounds to make probes from on the way; see `zest probes --help`."""

    factory_b: Annotated[
        str | None, arg(metavar="MODULE:FUNCTION", help_behavior_hint="(default: that of --factory)")
    ] = None
    """--factory of the second model."""

    json: Annotated[bool, OFF] = False
    """Print JSON."""

    comparison: ComparisonOptions = dataclasses.field(default_factory=ComparisonOptions)
    how: Annotated[ModelOptions, arg(name="model")] = dataclasses.field(default_factory=ModelOptions)
    remote: RemoteOptions = dataclasses.field(default_factory=RemoteOptions)
    solve: SolveOptions = dataclasses.field(default_factory=SolveOptions)
    probe: ProbeOptions = dataclasses.field(default_factory=lambda: ProbeOptions(n_references=16))
    pool: PoolOptions = dataclasses.field(default_factory=PoolOptions)

    def run(self) -> None:
        if (self.probes is None) == (self.inputs is None):
            raise UsageError("give either --probes FILE or --inputs SOURCE" + (", not both" if self.probes else ""))
        for model in (self.model_a, self.model_b):
            check_model(model)
        # Both models are opened before any probes are made, so that a bad one is found at once.
        probes = None if self.probes is None else read_probes(self.probes)
        models = (self.model_a, self.model_b)
        modality = probes.modality if probes is not None else self.pool.modality
        remote = self.remote.settings(modality=None if modality == "auto" else modality)
        # Where none is remote, their options are refused by name.
        local = {} if any(is_url(model) for model in models) else self.remote.settings()
        boxes = [
            self.how.load(model, factory=factory, remote=remote if is_url(model) else local)
            for model, factory in ((self.model_a, None), (self.model_b, self.factory_b))
        ]
        if boxes[0].label == boxes[1].label:
            boxes[0].label, boxes[1].label = self.model_a, self.model_b
        probes = self._probes() if probes is None else probes

        from zest_jax.distances import distance
        from zest_jax.signing import sign_many

        with closed_in_the_end(boxes):
            if not self.progress:
                tell_costs(boxes, probes, self.solve)
            a, b = sign_many(boxes, probes, progress=self.progress, **self.solve.arguments())
            tell_sent(boxes)
        d = distance(a, b, metric=self.comparison.metric, align=self.comparison.align)
        warn_of_poor_fits([a.label, b.label], [a, b])
        if self.json:
            models = [
                {"label": s.label, "classes": s.n_classes, "r2": s.mean_r2(), "settings": s.settings} for s in (a, b)
            ]
            how = dataclasses.asdict(self.comparison)
            print_json({**how, "distance": d, "probe_hash": probes.hash, "queries": probes.n_queries, "models": models})
            return
        from rich import box
        from rich.table import Table

        console = result_console()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("model", "classes", "R2", "outputs", "detected"):
            counts = name in ("classes", "R2")
            table.add_column(name, overflow="fold", no_wrap=counts, justify="right" if counts else "left")
        for blackbox, s in zip(boxes, (a, b), strict=True):
            found = ", ".join(f"{name} {text}" for name, text in detected(blackbox) if name in _SHOWN)
            table.add_row(s.label, str(s.n_classes), f"{s.mean_r2():.2f}", str(s.settings.get("outputs")), found)
        console.print(keep_numbers(table))
        console.print(
            f"{self.comparison.metric} distance {number(d)} ({probes.n_references} references, {probes.n_queries:,} queries)"
        )
        note(
            "nothing tells whether this is near; sign unrelated models too, and give all to `zest distance --unrelated`"
        )

    def _probes(self) -> "ProbeSet":
        assert self.inputs is not None
        pool = self.pool.read(self.inputs, seed=self.probe.pool_seed, progress=self.progress)
        probes = self.probe.make(pool, progress=self.progress)
        note(f"made {probes!r}")
        return probes


# What a table has room for; `zest sign` tells everything.
_SHOWN = ("adapter", "layout", "value_range", "mean", "std")
