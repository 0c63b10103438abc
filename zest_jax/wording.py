"""Numbers, lists and remarks as text, for terminals and pages."""

import math
from collections.abc import Sequence


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number of things in words.

    >>> counted(1, "model"), counted(1200, "model"), counted(2, "family", "families")
    ('1 model', '1,200 models', '2 families')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def decimals(value: float | None, digits: int = 4) -> str:
    """A number as text, with a real minus, or a dash.

    >>> decimals(0.12345), decimals(-0.5, 2), decimals(None)
    ('0.1235', '−0.50', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}".replace("-", "−")


def ordinal(n: int) -> str:
    """A rank in words.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def listed(names: Sequence[str], most: int) -> str:
    """Names one after the other, the first of them where there are many.

    >>> listed(["a", "b"], 3), listed(["a", "b", "c"], 2)
    ('a, b', 'a, b and 1 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def sentence(remark: str) -> str:
    """A remark as a sentence of its own.

    >>> sentence("no verdict")
    'No verdict.'
    """
    return f"{remark[:1].upper()}{remark[1:]}."


def without_a_distance(n: int, one: str, names: Sequence[str] = ()) -> str:
    """That some models or pairs have no distance, and why.

    >>> without_a_distance(2, "pair")
    '2 pairs have no distance, since the classes that match carry no weights'
    """
    told = f": {listed(names, 5)}" if names else ""
    return f"{counted(n, one)} {'has' if n == 1 else 'have'} no distance, since the classes that match carry no weights{told}"
