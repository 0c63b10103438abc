"""What a model, a data set or an owner can be called."""

LONGEST = 200
"""Characters that a name, an architecture, a data set or an owner may have."""


def check_text(field: str, value: str) -> None:
    """Refuse what cannot be a name, an architecture, a data set or an owner; `field` says which.

    >>> check_text("name", "")
    Traceback (most recent call last):
    ValueError: `name` is ''; give 1 to 200 printable characters, without blanks at the ends
    """
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable() or value != value.strip():
        shown = value if len(str(value)) <= 60 else f"{str(value)[:60]}..."
        raise ValueError(
            f"`{field}` is {shown!r}; give 1 to {LONGEST} printable characters, without blanks at the ends"
        )
