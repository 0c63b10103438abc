"""Whether a suspect is one of the models themselves: that needs no statistics."""

from typing import Literal, NamedTuple

import numpy as np

from zest_jax.distances import EQUAL
from zest_jax.screening.findings import Findings
from zest_jax.screening.store import Store
from zest_jax.signature import Signature
from zest_jax.wording import counted, listed


class Same(NamedTuple):
    """In what a suspect and one or more of its nearest models are the same.

    Attributes:
        kind: the signature; the file of the model; the weights, but for the order of classes; or, of the classes that were
            matched, the weights but for a factor, which alone does not tell that the models are the same.
        names: of the models.
        text: the same in words.

    >>> same = Same("file", ("resnet18-v3",), "A model of the same file is in the store as resnet18-v3.")
    >>> same.decides, Same("proportional", ("resnet18-v3",), "Both have proportional weights.").decides
    (True, False)
    """

    kind: Literal["signature", "file", "weights", "proportional"]
    names: tuple[str, ...]
    text: str

    @property
    def decides(self) -> bool:
        """Whether nothing else is needed to tell that the suspect is that model or answers the same."""
        return self.kind != "proportional"


def same_as(found: Findings) -> Same | None:
    """The nearest models that are the suspect itself, or None; what a cosine distance of 0 means, which sees no factor.

    Args:
        found: what `investigate` found.

    Returns:
        in what they are the same, or None where the suspect is none of its nearest models.

    >>> from zest_jax.screening import investigate
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> same = same_as(investigate(model("suspect", b.weights), [a, b]))
    >>> same.kind, same.names, same_as(investigate(model("suspect", b.weights + 0.1), [a, b]))
    ('weights', ('b',), None)
    """
    where = _where(found)
    names = [near.entry.name for near in found.nearest if near.entry.digest == found.entry.digest]
    if names:
        return Same(
            "signature",
            tuple(names),
            f"This very signature is {where} as {listed(names, 5)}: the SHA-256 are equal.",
        )
    file = _file(found.suspect)
    names = [each.label for each in found.signatures if file is not None and _file(each) == file]
    if names:
        return Same(
            "file",
            tuple(names),
            f"A model of the same file is {where} as {listed(names, 5)}: the SHA-256 of the files are equal.",
        )
    suspect, name = found.suspect, found.nearest[0].entry.name
    if found.nearest[0].distance >= EQUAL:
        return None
    model, matched = found.signatures[0], found.alignments[0]
    k, n, m = len(matched.a_classes), suspect.n_classes, model.n_classes
    if k == n == m and np.array_equal(suspect.weights[:, matched.a_classes], model.weights[:, matched.b_classes]):
        same = f"The suspect has the very same weights as {name} ({counted(n, 'class', 'classes')})"
        return Same("weights", (name,), f"{same}, so it is that model, an exact copy, or one that answers the same.")
    classes = f"{counted(k, 'matched class', 'matched classes')} (of {n:,} and {m:,})"
    text = f"The distance to {name} is 0 but for rounding: both have proportional weights for all {classes}."
    return Same("proportional", (name,), text)


def itself_told(found: Findings) -> str | None:
    """That the suspect's very own signature is among the models, where another one is judged; else None.

    Args:
        found: what `investigate` found.

    Returns:
        a sentence that names them, or None.

    >>> from zest_jax.screening import investigate
    >>> rng = np.random.default_rng(0)
    >>> def model(label, weights):
    ...     ones = np.ones((1, 3), np.float32)
    ...     return Signature(weights=weights.astype(np.float32), segment_counts=np.array([60]), r2=ones, variance=ones,
    ...                      probe_hash="0" * 64, label=label)
    >>> a, b = (model(label, rng.normal(size=(60, 3))) for label in "ab")
    >>> itself_told(investigate(b, [a, b]))
    'b among the signatures given is this very signature (the suspect itself, or ...); the next one is judged'
    """
    if not found.itself:
        return None
    one = len(found.itself) == 1
    return (
        f"{listed(found.itself, 5)} {_where(found)} {'is' if one else 'are'} this very signature (the suspect itself, or an "
        "identical file of that name); the next one is judged"
    )


def _where(found: Findings) -> str:
    return "in the store" if isinstance(found.models, Store) else "among the signatures given"


def _file(signature: Signature) -> str | None:
    """SHA-256 of the model's file, or of its weights, where it was signed from one."""
    model = signature.settings.get("model")
    found = model.get("file_sha256") if isinstance(model, dict) else None
    return found if isinstance(found, str) else None
