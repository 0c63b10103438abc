"""What a page rests on: which models were compared and how, the hashes by which anybody can check it, and its limits."""

from collections.abc import Mapping, Sequence
from typing import Any

from zest_jax import intervals
from zest_jax.report.page import Column, Section, Table
from zest_jax.screening import Among, Entry, Findings, Store
from zest_jax.screening.models import entries_among
from zest_jax.signature import Signature
from zest_jax.version import __version__
from zest_jax.wording import counted, decimals

MATCHED = {
    "auto": "by name where both models name them alike, else greedily by weights",
    "greedy": "greedily by weights",
}
WAYS = {
    "none": "by name; both models have the same classes in the same order",
    "names": "by name",
    "greedy": "by their weights: the nearest classes first (greedy)",
}
FILE = "file of the signature (SHA-256)"
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


def suspect_settings(
    found: Findings, name: str, *, suspect_file: str | None = None, files: Mapping[str, str] | None = None
) -> Section:
    """Settings and hashes of a report on a suspect.

    Args:
        found: by `investigate`.
        name: of the models it was compared with.
        suspect_file: SHA-256 of the file of the suspect's signature.
        files: the same of other models that came from files, by `Entry.digest`.
    """
    files, matched = files or {}, found.alignments[0]
    exactly = (
        "all" if found.candidates is None else f"the {found.candidates:,} nearest by their sketches, or all if fewer"
    )
    bootstrap = f"bootstrap over references, {intervals.RESAMPLES:,} resamples, seed {intervals.SEED}"
    rows = [
        *_compared(found, name, found.suspect.probe_hash),
        ("Models compared", f"{found.compared:,}, of which exactly {found.exact:,} ({exactly})"),
        ("Classes of suspect and nearest matched", WAYS.get(matched.method, matched.method)),
        (f"{intervals.LEVEL:.0%} intervals", bootstrap),
    ]
    if (judged := found.judgement) is not None:
        level = f"at a level of {judged.alpha:g}, corrected for {counted(found.compared, 'model')} compared"
        pairs = (
            f"{counted(judged.unrelated, 'pair')} of {counted(len(found.unrelated), 'unrelated model')} and the suspect"
        )
        rows.append(("Verdict", f"{level}; {pairs}"))
    tables = [_facts("What was compared", rows), _side_by_side(found, suspect_file, files)]
    if isinstance(found.models, Store):
        nearest = [near.entry for near in found.nearest]
        tables.append(_signatures("Signatures of the nearest models", nearest, files))
    else:
        tables.append(_signatures("Signatures of all models compared", entries_among(found.models), files))
    if found.unrelated:
        tables.append(_signatures("Models named as unrelated, the yardstick of the verdict", found.unrelated, files))
    return Section(name="settings", heading="Settings and hashes", tables=tuple(tables))


def zoo_settings(found: Among, name: str, cut: str, files: Mapping[str, str] | None = None) -> Section:
    """Settings and hashes of a report on models compared with each other; `cut` tells where families were cut."""
    models = found.models
    probe_hash = models.header.probe_hash if isinstance(models, Store) else models[0].probe_hash
    tables = [_facts("What was compared", [*_compared(found, name, probe_hash), ("Families cut", cut)])]
    if found.unrelated:
        tables.append(_signatures("Models named as unrelated to each other", found.unrelated, files or {}))
    return Section(name="settings", heading="Settings and hashes", tables=tuple(tables))


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


def _compared(found: Findings | Among, name: str, probe_hash: str) -> list[tuple[str, str]]:
    """What was compared, and how."""
    if isinstance(found.models, Store):
        where = [("Store", name), ("Version of the store", str(found.models.version)), ("Filter", str(found.where))]
    else:
        where = [("Models", f"{len(found.models)} signatures given")]
    return [
        *where,
        ("Probe set", probe_hash),
        ("Distance", "cosine, over all references"),
        ("Classes matched", MATCHED[found.align]),
        ("This page made by", f"zest_jax {__version__}"),
    ]


def _side_by_side(found: Findings, suspect_file: str | None, files: Mapping[str, str]) -> Table:
    """How the suspect and the nearest model were asked and fitted."""
    suspect, model = found.suspect, found.signatures[0]
    told = [
        _told(suspect, found.entry, suspect_file),
        _told(model, found.nearest[0].entry, files.get(found.nearest[0].entry.digest)),
    ]
    keys = dict.fromkeys([*told[0], *told[1]])
    return Table(
        caption="How the two models were asked and fitted; ≠ marks what differs",
        columns=(
            Column(name="Setting"),
            Column(name=""),
            Column(name=f"{suspect.label} (suspect)", kind="code"),
            Column(name=f"{model.label} (nearest)", kind="code"),
        ),
        rows=tuple((key, "≠" if _differs(key, told) else "", *(each.get(key, "-") for each in told)) for key in keys),
    )


def _differs(key: str, told: Sequence[Mapping[str, str]]) -> bool:
    """Whether a setting is to be marked; not every signature comes from a file."""
    if key == FILE and not all(key in each for each in told):
        return False
    return told[0].get(key) != told[1].get(key)


def _told(signature: Signature, entry: Entry, file: str | None) -> dict[str, str]:
    return {
        **({} if file is None else {FILE: file}),
        "signature (SHA-256, as in a store)": entry.digest,
        "signed by": f"zest_jax {signature.version}",
        "classes": str(signature.n_classes),
        "references": str(len(signature.segment_counts)),
        "weights per class": str(len(signature.weights)),
        **flattened(signature.settings),
    }


def _facts(caption: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values."""
    columns = (Column(name="What"), Column(name="Value", kind="code"))
    return Table(caption=caption, columns=columns, rows=tuple(rows))


def _signatures(caption: str, entries: Sequence[Entry], files: Mapping[str, str]) -> Table:
    """Models with the hashes of their signatures, and of the files where these came from files."""
    of_files = any(entry.digest in files for entry in entries)
    columns = (
        Column(name="Model"),
        Column(name="Classes", kind="number"),
        Column(name="R²", kind="number"),
        Column(name="Signature (SHA-256, as in a store)", kind="code"),
        *([Column(name="File (SHA-256)", kind="code")] if of_files else []),
    )
    rows = tuple(
        (
            entry.name,
            str(entry.classes),
            decimals(entry.r2, 2),
            entry.digest,
            *([files.get(entry.digest, "-")] if of_files else []),
        )
        for entry in entries
    )
    return Table(caption=caption, columns=columns, rows=rows)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join("any" if part is None else _text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
