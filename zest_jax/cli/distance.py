"""`zest distance`: compare signatures, all pairs."""

import csv
import dataclasses
import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from zest_jax.cli.console import UNLIMITED, keep_numbers, note, print_json, result_console
from zest_jax.cli.files import UsageError, read_signature
from zest_jax.cli.options import OFF, Align, Common, Metric

if TYPE_CHECKING:
    import numpy as np

    from zest_jax.signature import Signature


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How signatures are compared."""

    metric: Metric = "cosine"
    """Distance between signatures: cosine, from 0 (same) to 2 (the paper's choice), or a norm of their difference.
    Unrelated models of one task may be as near as 0.1, which is why a distance alone says little."""

    align: Align = "auto"
    """How classes are matched first: auto by name when both models have the same class names, else greedy (the paper's
    code); none takes them in order; rowwise; optimal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distance(Common):
    """Print the distance between each two of the signatures; what is small, unrelated models tell.

    With --unrelated, distances are scaled by those of unrelated models and judged.
    """

    signatures: Positional[
        Annotated[tuple[Path, ...], arg(metavar="A.sig B.sig ...", help_behavior_hint="(two or more are required)")]
    ]
    """Two or more signatures, made with the same probe set."""

    unrelated: Annotated[tuple[Path, ...], arg(metavar="U1.sig U2.sig ...", help_behavior_hint="(default: none)")] = ()
    """Signatures of models known to be trained independently of each other and of all models compared. Their distances,
    among themselves and to the first model of the pair at hand, are the yardstick: relative distance is distance / their mean."""

    json: Annotated[bool, OFF] = False
    """Print JSON: models, pairs and the whole matrix."""

    csv: Annotated[bool, OFF] = False
    """Print CSV, one line per pair."""

    how: Annotated[ComparisonOptions, arg(name="comparison")] = dataclasses.field(default_factory=ComparisonOptions)

    def run(self) -> None:
        if self.json and self.csv:
            raise UsageError("--json and --csv contradict each other; choose one")
        if len(self.signatures) < 2:
            raise UsageError(f"{len(self.signatures)} signature given; a distance needs two or more")
        from zest_jax.distances import distance_matrix

        signatures = [read_signature(path) for path in self.signatures]
        unrelated = [read_signature(path) for path in self.unrelated]
        check_named_once(unrelated, self.unrelated)
        names = distinct_names(signatures, self.signatures)
        # Errors that compare two signatures call them as the table does.
        signatures = [dataclasses.replace(s, label=name) for s, name in zip(signatures, names, strict=True)]
        # One matrix over everything; a file given both ways counts once.
        paths = list(dict.fromkeys(path.resolve() for path in (*self.signatures, *self.unrelated)))
        by_path = {
            path.resolve(): s
            for path, s in zip((*self.signatures, *self.unrelated), (*signatures, *unrelated), strict=True)
        }
        matrix = distance_matrix([by_path[path] for path in paths], metric=self.how.metric, align=self.how.align)
        rows = [paths.index(path.resolve()) for path in self.signatures]
        yardstick = sorted({paths.index(path.resolve()) for path in self.unrelated})
        pairs = [
            _pair(names[i], names[j], rows[i], rows[j], matrix, yardstick)
            for i, j in itertools.combinations(range(len(rows)), 2)
        ]
        if self.json:
            self._print_json(signatures, names, pairs, matrix[rows][:, rows])
        elif self.csv:
            writer = csv.DictWriter(sys.stdout, fieldnames=list(pairs[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: _csv(value) for name, value in pair.items()} for pair in pairs)
        else:
            print_table(names, pairs, matrix[rows][:, rows], self.how.metric)
            for text in dict.fromkeys(pair["verdict"] for pair in pairs if pair.get("related", False) is None):
                note(text)
        warn_of_poor_fits(
            [*names, *(str(path) for path in self.unrelated)],
            [*signatures, *unrelated],
        )
        note_other_inputs([*names, *(str(path) for path in self.unrelated)], [*signatures, *unrelated])
        if not unrelated and not (self.json or self.csv):
            note("nothing tells whether this is near; name unrelated models with --unrelated")
        elif len(unrelated) == 1:
            note("warning: a single unrelated model gives pairs that share it, so the bound is rough; give more")
        for path, row in zip(self.signatures, rows, strict=True):
            if row in yardstick:
                note(
                    f"{path} is judged and named as unrelated: its verdict says how an unrelated model would be judged"
                )

    def _print_json(
        self, signatures: "Sequence[Signature]", names: list[str], pairs: list[dict], matrix: "np.ndarray"
    ) -> None:
        models = [
            {"name": name, "label": s.label, "file": str(path), "classes": s.n_classes, "r2": s.mean_r2()}
            for name, path, s in zip(names, self.signatures, signatures, strict=True)
        ]
        how = dataclasses.asdict(self.how)
        print_json({**how, "probe_hash": signatures[0].probe_hash, "models": models, "pairs": pairs, "matrix": matrix})


def check_named_once(signatures: "Sequence[Signature]", paths: Sequence[Path]) -> None:
    """Refuse models that are given twice as unrelated.

    Raises:
        UsageError: two of them are the same file, or hold the same weights.
    """
    for (a, one), (b, other) in itertools.combinations(zip(paths, signatures, strict=True), 2):
        if a.resolve() == b.resolve() or same_weights(one, other):
            raise UsageError(f"--unrelated names a model twice, as {a} and {b}; give each once")


def same_weights(a: "Signature", b: "Signature") -> bool:
    """Whether two signatures say the same of every reference."""
    return a.weights.shape == b.weights.shape and bool((a.weights == b.weights).all())


def note_other_inputs(names: Sequence[str], signatures: "Sequence[Signature]") -> None:
    """Say which models were given their inputs in another form than others."""
    from zest_jax.fit_quality import other_inputs

    if text := other_inputs(signatures, names):
        note(text)


def warn_of_poor_fits(names: Sequence[str], signatures: "Sequence[Signature]") -> None:
    """Say which models the linear explanations hardly fit."""
    from zest_jax.fit_quality import hardly_fitted

    if text := hardly_fitted(signatures, names):
        note(
            f"warning: {text}; check first that the model gets its inputs as it was trained (--mean, --std, --value-range): "
            "--intercept raises R2 where it does not, too. Else fit with --targets logits or --intercept, or use more masks or "
            "fewer segments"
        )


def _pair(a: str, b: str, i: int, j: int, matrix: "np.ndarray", yardstick: list[int]) -> dict[str, Any]:
    pair: dict[str, Any] = {"a": a, "b": b, "distance": float(matrix[i, j])}
    if not yardstick:
        return pair
    from zest_jax.verdicts import verdict

    # The pair itself must not be among those that it is measured against. Only one of its models is measured too: were both,
    # a model and its copy would count as two.
    base = j if i in yardstick else i
    known = {frozenset((x, y)) for x in (base, *yardstick) for y in yardstick if x != y} - {frozenset((i, j))}
    unrelated = [float(matrix[x, y]) for x, y in sorted(tuple(sorted(each)) for each in known)]
    if not unrelated:
        text = "can't tell: there is no unrelated pair but this one"
        return {**pair, "relative": math.nan, "bound": math.nan, "related": None, "unrelated_pairs": 0, "verdict": text}
    relative, bound, related, text = verdict(pair["distance"], unrelated)
    return {
        **pair,
        "relative": relative,
        "bound": bound,
        "related": related,
        "unrelated_pairs": len(unrelated),
        "verdict": text,
    }


def _csv(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def distinct_names(signatures: "Sequence[Signature]", paths: Sequence[Path]) -> list[str]:
    """Labels; file names, or whole paths, where labels repeat."""
    for names in ([s.label for s in signatures], [path.stem for path in paths], [str(path) for path in paths]):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def print_table(names: list[str], pairs: list[dict[str, Any]], matrix: "np.ndarray", metric: str) -> None:
    """A matrix when it fits the width and there is nothing else to say; otherwise a line per pair, nearest first."""
    console = result_console()
    # What has no limit is no reason for a wide matrix.
    width = 80 if console.width == UNLIMITED else console.width
    label = min(24, max(len(name) for name in names))
    fits = label + 6 + 9 * len(names) <= width
    if len(names) > 2 and fits and "relative" not in pairs[0]:
        console.print(_matrix_table(names, matrix, metric, label))
    else:
        console.print(keep_numbers(_pairs_table(pairs, metric)))


def _matrix_table(names: list[str], matrix: "np.ndarray", metric: str, label: int) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{metric} distance", title_justify="left", pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("model", no_wrap=True, max_width=label)
    for i in range(len(names)):
        table.add_column(str(i + 1), justify="right", no_wrap=True)
    for i, name in enumerate(names):
        cells = ["-" if i == j else number(matrix[i, j]) for j in range(len(names))]
        table.add_row(str(i + 1), name, *cells)
    return table


def _pairs_table(pairs: list[dict[str, Any]], metric: str) -> Any:
    from rich import box
    from rich.table import Table

    judged = "relative" in pairs[0]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column(f"{metric} distance" if not judged else "distance", justify="right", no_wrap=True)
    if judged:
        table.add_column("relative", justify="right", no_wrap=True)
        table.add_column("related\nbelow", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
    for pair in sorted(pairs, key=lambda pair: pair["distance"]):
        cells = [pair["a"], pair["b"], number(pair["distance"])]
        if judged:
            bound = number(pair["bound"] or math.nan)
            cells += [number(pair["relative"]), bound, verdict_word(pair["related"])]
        table.add_row(*cells)
    if judged:
        counts = sorted({pair["unrelated_pairs"] for pair in pairs})
        many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        table.caption = (
            f"{metric} distance; relative: divided by the mean of the unrelated pairs ({many}), those with the first model of a "
            "row among them; related below: a bound that 5% of unrelated pairs stay below, for each row by itself; no sign of a "
            "relation is not no relation"
        )
        table.caption_justify = "left"
    return table


def verdict_word(related: bool | None) -> str:
    """Say a verdict in a word or two."""
    return "can't tell" if related is None else "related" if related else "no sign"


def number(value: float) -> str:
    """Four significant places that line up.

    >>> number(0.00351), number(1234.5), number(float("nan"))
    ('0.0035', '1234.5', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
