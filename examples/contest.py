"""What a demo compares: a victim, copies of it, independent models, and the images to ask them about."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import zest_jax as zest

Kind = Literal["victim", "copy", "independent"]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One model.

    Attributes:
        label: what the table calls it.
        kind: what it really is; only the check at the end looks at it.
        how: where it comes from, in a few words.
        make: builds the black box; called when its turn comes.
    """

    label: str
    kind: Kind
    how: str
    make: Callable[[], zest.BlackBox]

    @property
    def slug(self) -> str:
        """The label as a file name."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.label.lower()).split())


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Everything a demo runs on; the victim comes first.

    Attributes:
        image_names: what each reference of `probes` shows.
        drawn: which reference the picture shows.
        versions: of the packages that the models come from.
        unrelated: labels of pairs that are known to be unrelated; a pair is judged against those that are not itself.
        note: what to know about the verdicts.
    """

    title: str
    probes: zest.ProbeSet
    image_names: list[str]
    drawn: int
    contestants: list[Contestant]
    unrelated: list[tuple[str, str]]
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""
