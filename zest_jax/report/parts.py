"""Parts that reports on a suspect and on a whole store have in common: figures of the family tree, settings, numbers as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zest_jax.report.family_tree import clustered_figure, tree_figure
from zest_jax.report.mapped import Mapped
from zest_jax.report.page import Column, Picture, Section, Table, png_of
from zest_jax.screening import Among, Entry, Findings, Store
from zest_jax.signature import POOR_R2, Signature

TEXT, NUMBER, CODE = "text", "number", "code"
HOW_TO_READ = (
    (
        "A distance of 0 means that two models explain their answers in the same way at every reference. Models trained apart "
        "lie near the mean of the unrelated pairs, a relative distance of 1; how near chance alone may come, the p-value tells."
    ),
    (
        "A small distance says that one model was probably made from the other, or both from a third; not which was first, nor "
        "how. A large one says that no trace was found: reuse that changes a model much may leave none."
    ),
    (
        "This page is not legal evidence by itself. It rests on the references, masks and unrelated models that were chosen, "
        "and on every signature being of the model that it names."
    ),
)


def family_sections(mapped: Mapped) -> tuple[Section, Section]:
    """The heat map and the family tree."""
    distances, labels, style, what, left_out = mapped
    heat = Picture(
        name="heat-map",
        png=png_of(clustered_figure(distances, labels, **style)),
        alt=f"Heat map of the distances among {what}, ordered by the family tree at its side",
        caption="Distances of all pairs; dark is near. Rows and columns have the order of the tree, so that relatives are dark "
        "squares on the diagonal.",
    )
    tree = Picture(
        name="family-tree",
        png=png_of(tree_figure(distances, labels, **style)),
        alt=f"Family tree of {what} by average linkage",
        caption="The further to the right two branches meet, the nearer the models are. Groups join at the mean distance of "
        "their models (average linkage).",
    )
    notes = () if left_out is None else (left_out,)
    return (
        Section(name="heat-map", heading="Heat map", pictures=(heat,), notes=notes),
        Section(name="family-tree", heading="Family tree", pictures=(tree,), notes=notes),
    )


def fit_section(signatures: Sequence[Signature], names: Sequence[str]) -> Section:
    """How well linear models explain each model's answers."""
    rows, poor = [], []
    for name, signature in zip(names, signatures, strict=True):
        r2 = signature.summary()["r2"]
        rows.append((name, *(decimals(r2[part], 2) for part in ("pooled", "p10", "median", "p90"))))
        if signature.mean_r2() < POOR_R2:
            poor.append(f"{name} ({decimals(r2['pooled'], 2)})")
    warnings = ()
    if poor:
        warnings = (
            (
                f"linear explanations hardly fit {', '.join(poor)}: R² below {POOR_R2}, so distances say little. Sign again "
                "with --intercept or --targets logits, more masks or fewer segments, and check that the model gets its inputs "
                "as it was trained."
            ),
        )
    table = Table(
        caption="R² of the linear fits: the share of the answers' variance that they explain",
        columns=(Column(name="Model"), *(Column(name=n, kind=NUMBER) for n in ("Over all", "10%", "Median", "90%"))),
        rows=tuple(rows),
    )
    note = (
        "10%, median and 90%: that share of the references has a lower R² than this. Below 0 a fit is worse than a constant "
        "would be, which fits without an intercept can be."
    )
    return Section(name="fit", heading="Fit quality", warnings=warnings, tables=(table,), notes=(note,))


def comparison_rows(found: "Findings | Among", name: str, probe_hash: str, version: str) -> list[tuple[str, str]]:
    """What was compared, and how."""
    if isinstance(found.models, Store):
        where = [("Store", name), ("Version of the store", str(found.models.version)), ("Filter", str(found.where))]
    else:
        where = [("Models", f"{len(found.models)} signatures given")]
    names = {
        "auto": "by name where both models name them alike, else greedily by weights",
        "greedy": "greedily by weights",
    }
    return [
        *where,
        ("Probe set", probe_hash),
        ("Distance", "cosine, over all references"),
        ("Classes matched", names[found.align]),
        ("This page made by", f"zest_jax {version}"),
    ]


def facts_table(caption: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values."""
    columns = (Column(name="What"), Column(name="Value", kind=CODE))
    return Table(caption=caption, columns=columns, rows=tuple(rows))


def metadata_columns(entries: Sequence[Entry]) -> tuple[list[Column], list[list[str]]]:
    """Columns of what is noted of models: those of which something is known."""
    fields = [
        name
        for name in ("architecture", "data", "owner", "date")
        if any(getattr(entry.metadata, name) is not None for entry in entries)
    ]
    rows = [[str(getattr(entry.metadata, name) or "-") for name in fields] for entry in entries]
    columns = [Column(name=name.capitalize(), kind="date" if name == "date" else "text") for name in fields]
    return columns, rows


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and texts, without what is None.

    >>> flattened({"solve": {"ridge": 0.0, "kernel_width": None}, "mean": [0.5, 0.4]})
    {'solve.ridge': '0', 'mean': '0.5, 0.4'}
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{name}.")
        elif value is not None:
            found[prefix + str(name)] = _text(value)
    return found


def decimals(value: float | None, digits: int = 4) -> str:
    """A number as text, with a real minus, or a dash.

    >>> decimals(0.12345), decimals(-0.5, 2), decimals(None)
    ('0.1235', '−0.50', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}".replace("-", "−")


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number of things in words.

    >>> counted(1, "model"), counted(1200, "model")
    ('1 model', '1,200 models')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join("any" if part is None else _text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
