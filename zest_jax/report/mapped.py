"""Which models a heat map and a family tree show, of what was found."""

from typing import Any, NamedTuple

import numpy as np

from zest_jax.report.family_tree import MOST_DRAWN
from zest_jax.screening.exact import distances_among
from zest_jax.screening.families import closest, usual_threshold
from zest_jax.screening.findings import Among, Findings, load_models
from zest_jax.signature import Signature

# Beside a suspect: so many rows can be read.
MOST_NEAREST = 40


class Mapped(NamedTuple):
    """What is drawn.

    Attributes:
        distances: [models, models].
        labels: of the models.
        style: further arguments of `clustered_figure` and `tree_figure`.
        what: which models these are, in words.
        left_out: why that is not all, or None.
    """

    distances: np.ndarray
    labels: list[str]
    style: dict[str, Any]
    what: str
    left_out: str | None


def map_nearest(found: Findings, signatures: list[Signature] | None = None) -> Mapped:
    """The suspect and the models nearest to it, up to 40; the mean of unrelated pairs as a line, where it is known.

    Args:
        found: by `investigate`.
        signatures: of the nearest models, where they are loaded already.
    """
    names = [near.entry.name for near in found.nearest[:MOST_NEAREST]]
    near = load_models(found.models, names) if signatures is None else signatures[:MOST_NEAREST]
    distances = distances_among([found.suspect, *near], align=found.align)
    labels = [f"{found.suspect.label} (suspect)", *names]
    line = None if found.yardstick is None else (found.yardstick, "unrelated on average")
    nearest = "the nearest model" if len(near) == 1 else f"the {len(near)} models nearest to it"
    left_out = None
    if len(near) < found.compared:
        left_out = f"Drawn are the suspect and {nearest}, of {found.compared:,} compared."
    what = f"{found.suspect.label} and {nearest}"
    return Mapped(distances, labels, {"marked": 0, "line": line}, what, left_out)


def map_all(found: Among, *, threshold: float | None = None) -> Mapped:
    """All models, or the 500 that have the nearest neighbours; families below `threshold`, by default `usual_threshold`."""
    cut = usual_threshold(found.distances) if threshold is None else threshold
    kept = closest(found.distances, MOST_DRAWN)
    left_out = None
    if len(kept) < len(found.entries):
        left_out = f"Drawn are the {len(kept)} models that have the nearest neighbours, of {len(found.entries):,}."
    labels = [found.entries[i].name for i in kept]
    return Mapped(found.distances[np.ix_(kept, kept)], labels, {"threshold": cut}, f"{len(kept)} models", left_out)
