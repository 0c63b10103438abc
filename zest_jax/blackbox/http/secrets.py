"""Secrets: names that sound like them, environment variables that hold them, and texts without them."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

# In any place of a name. Whole words only: "code" opens Azure Functions, "sig" Azure's storage, and "design" nothing.
_SOUNDS_SECRET = re.compile(r"auth|key|token|secret|passw|passphrase|pwd|cookie|credential|signature|bearer|jwt", re.I)
_WORDS = frozenset(
    ("sig", "sas", "pass", "pw", "pin", "otp", "hmac", "code", "session", "sessionid", "sid", "login", "pat")
)
# Settings of requests that are no secrets: {"max_tokens": 5, "tokenizer": "...", "keywords": [...]}.
_HARMLESS = re.compile(
    r"tokens|tokeni[sz]\w*|key-?_?(words?|points?)|authors?(?!i)|(language|lang|country|status)_?code", re.I
)
# Shorter values would be found everywhere in a message.
_SHORTEST = 4


def sounds_secret(name: str, *, harmless: bool = False) -> bool:
    """Whether what goes by this name is likely to be a secret.

    Args:
        name: of a header, a parameter of a URL, or a key of JSON.
        harmless: let names pass that are common for settings, such as "max_tokens".

    >>> [sounds_secret(name) for name in ("X-Api-Key", "sig", "accountPass", "design", "X-Team")]
    [True, True, True, False, False]
    >>> sounds_secret("max_tokens"), sounds_secret("max_tokens", harmless=True), sounds_secret("token", harmless=True)
    (True, False, True)
    """
    if harmless:
        name = _HARMLESS.sub("", name)
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())
    return _SOUNDS_SECRET.search(name) is not None or not _WORDS.isdisjoint(words)


def value_of(variable: str, user: str) -> str:
    """What an environment variable holds, without the line break in which files of keys end.

    Raises:
        ValueError: it is not set, or empty.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ValueError(f"the environment variable {variable}, which {user} takes, is not set; export it")
    return value


def value_mark(value: str) -> str:
    """What stands for the value of a variable where only its being the same matters.

    >>> value_mark("resnet"), value_mark("resnet") == value_mark("vgg")
    ('$d7ab393d3a3e0a75', False)
    """
    return "$" + hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Secrets:
    """Values that no text may hold.

    >>> secrets = Secrets(["sk-0123456789"])
    >>> secrets.redacted("key sk-0123456789 is not known, sk-01234... neither")
    'key [secret] is not known, [secret]... neither'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = set(values)

    def add(self, value: str) -> None:
        """One more."""
        self._values.add(value)

    def update(self, other: "Secrets") -> None:
        """All of another."""
        self._values |= other._values

    def redacted(self, text: str) -> str:
        """`text` without the secrets, as they are or as JSON, Python or a URL writes them: servers like to repeat them."""
        forms = {
            form
            for value in self._values
            if len(value) >= _SHORTEST
            for form in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
        }
        forms |= {quote(value, safe=safe) for value in self._values if len(value) >= _SHORTEST for safe in ("", "/")}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, "[secret]")
            # A quotation may end in the middle of one.
            for length in range(len(form) - 1, _SHORTEST - 1, -1):
                text = text.replace(f"{form[:length]}...", "[secret]...")
        return text
