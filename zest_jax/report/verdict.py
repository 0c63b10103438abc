"""The verdict on a suspect in plain words, or why there is none."""

from zest_jax.report.page import Headline
from zest_jax.screening import Findings, Near, itself_told, same_as
from zest_jax.wording import counted, decimals, sentence

SAME = {
    "signature": "The very same signature",
    "file": "A model of the same file",
    "weights": "The very same weights",
}


def verdict_of(found: Findings) -> Headline:
    """What a page on a suspect says first."""
    nearest, judged = found.nearest[0], found.judgement
    facts = [
        ("Nearest model", nearest.entry.name),
        ("Its distance", decimals(nearest.distance)),
        ("95% interval of the distance", interval_of(nearest)),
        ("Models compared", compared_of(found)),
    ]
    same = same_as(found)
    itself, first, by_distance = itself_told(found), [], ""
    notes = [*map(sentence, found.remarks)]
    if same is not None and same.decides:
        first, by_distance = [f"{same.text} That needs no statistics."], "By the distance alone: "
    elif same is not None:
        notes.insert(0, same.text)
    told = () if itself is None else (f"{itself}.",)
    if judged is None:
        assert found.no_judgement is not None
        reason = f"There is no verdict: {found.no_judgement}."
        remedy = (
            "Name models that are known to be independent of each other and of the suspect (--unrelated) to get one."
            if found.yardstick is None
            else "Name unrelated models with as many classes as the nearest one, and a suspect of that kind, to get one."
        )
        return Headline(
            tone="related" if first else "none",
            headline=SAME[same.kind] if same is not None and first else "No verdict",
            paragraphs=(*told, *first, reason, remedy),
            facts=tuple(facts),
            notes=tuple(notes),
        )
    pairs = counted(judged.unrelated, "unrelated pair")
    as_near = "None" if not judged.nearer else f"{judged.nearer:,}"
    verb = "is" if judged.nearer <= 1 else "are"
    plain = (
        f"{found.suspect.label} is {judged.relative:.2f} times as far from {nearest.entry.name} as unrelated models are from "
        f"each other on average. {as_near} of {pairs} {verb} as near."
    )
    if judged.related is True:
        headline, tone, meaning = "Related", "related", "That is nearer than chance explains."
    elif judged.related is False:
        headline, tone, meaning = "No sign of a relation", "no-sign", "Unrelated models come as near by chance."
    else:
        headline, tone, meaning = (
            "Can't tell",
            "open",
            "The unrelated pairs are too few to tell that from chance; more unrelated models can.",
        )
    facts += [
        ("Relative distance", f"{judged.relative:.2f} (1: unrelated on average)"),
        ("p-value, at most", f"{judged.p_value:.2g}, corrected for {counted(found.compared, 'model')} compared"),
        (
            "Unrelated pairs as near",
            f"{judged.nearer:,} of {judged.unrelated:,} (95%: {judged.rate_interval.low:.2g} to {judged.rate_interval.high:.2g})",
        ),
        ("Unrelated models", f"{len(found.unrelated):,}, listed under “Settings and hashes”"),
    ]
    if same is not None and first:
        headline, tone = SAME[same.kind], "related"
    return Headline(
        tone=tone,
        headline=headline,
        paragraphs=(*told, *first, f"{by_distance}{plain} {meaning}"),
        facts=tuple(facts),
        notes=(f"In full: {judged.text}", *notes),
    )


def compared_of(found: Findings) -> str:
    """How many models were compared, and how many of them exactly."""
    return f"{found.compared:,}" if found.exact == found.compared else f"{found.compared:,}, {found.exact:,} exactly"


def interval_of(near: Near) -> str:
    """An interval as text."""
    if near.interval is None:
        return "-"
    return f"{decimals(near.interval.low)} to {decimals(near.interval.high)}"
