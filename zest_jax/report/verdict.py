"""The verdict on a suspect in plain words, or why there is none."""

import numpy as np

from zest_jax.distances import EQUAL
from zest_jax.report.page import Headline
from zest_jax.screening import Findings, Near
from zest_jax.wording import counted, decimals, sentence


def verdict_of(found: Findings) -> Headline:
    """What a page on a suspect says first."""
    nearest, judged = found.nearest[0], found.judgement
    facts = [
        ("Nearest model", nearest.entry.name),
        ("Its distance", decimals(nearest.distance)),
        ("95% interval of the distance", interval_of(nearest)),
        ("Models compared", compared_of(found)),
    ]
    notes = [*same_weights(found), *map(sentence, found.remarks)]
    if judged is None:
        assert found.no_judgement is not None
        reason = f"There is no verdict: {found.no_judgement}."
        remedy = (
            "Name models that are known to be independent of each other and of the suspect (--unrelated) to get one."
            if found.yardstick is None
            else "Name unrelated models with as many classes as the nearest one, and a suspect of that kind, to get one."
        )
        return Headline(
            tone="none", headline="No verdict", paragraphs=(reason, remedy), facts=tuple(facts), notes=tuple(notes)
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
    return Headline(
        tone=tone,
        headline=headline,
        paragraphs=(f"{plain} {meaning}",),
        facts=tuple(facts),
        notes=(f"In full: {judged.text}", *notes),
    )


def same_weights(found: Findings) -> list[str]:
    """What a distance of 0 to the nearest model means; a cosine does not see by which factor weights differ."""
    nearest, suspect = found.nearest[0], found.suspect
    name = nearest.entry.name
    if found.entry.digest == nearest.entry.digest:
        return [f"The suspect's signature is the very one of {name}: their SHA-256 are equal."]
    if nearest.distance >= EQUAL:
        return []
    model, matched = found.signatures[0], found.alignments[0]
    k, n, m = len(matched.a_classes), suspect.n_classes, model.n_classes
    if k == n == m and np.array_equal(suspect.weights[:, matched.a_classes], model.weights[:, matched.b_classes]):
        same = f"The suspect has the very same weights as {name} ({counted(n, 'class', 'classes')})"
        return [f"{same}, so it is that model, an exact copy, or one that answers the same."]
    classes = f"{counted(k, 'matched class', 'matched classes')} (of {n:,} and {m:,})"
    return [f"The distance to {name} is 0 but for rounding: both have proportional weights for all {classes}."]


def compared_of(found: Findings) -> str:
    """How many models were compared, and how many of them exactly."""
    return f"{found.compared:,}" if found.exact == found.compared else f"{found.compared:,}, {found.exact:,} exactly"


def interval_of(near: Near) -> str:
    """An interval as text."""
    if near.interval is None:
        return "-"
    return f"{decimals(near.interval.low)} to {decimals(near.interval.high)}"
