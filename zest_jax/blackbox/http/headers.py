"""Headers of requests, whose secrets come from the environment and go nowhere but to the server."""

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<bare>[A-Za-z_]\w*))")
_SOUNDS_SECRET = re.compile(r"auth|key|token|secret|passw|cookie|credential|signature", re.I)
# Shorter values would be found everywhere in a message.
_SHORTEST = 4


class Headers:
    """Headers with `$NAME` for what an environment variable holds.

    Args:
        headers: name to value, such as {"Authorization": "Bearer $SERVICE_KEY"}.

    Attributes:
        values: what is sent.
        public: what may be written down: the values as they were given, with the names of the variables in them.

    Raises:
        ValueError: a variable is not set or cannot be sent, or a header that sounds secret holds its value in the open.

    >>> Headers({"X-Api-Key": "0123"})
    Traceback (most recent call last):
    ValueError: the header X-Api-Key holds its secret in the open; put it into an environment variable and give "$NAME" ...
    """

    def __init__(self, headers: Mapping[str, str] | None) -> None:
        self.public = dict(headers or {})
        self.values: dict[str, str] = {}
        self._secrets: set[str] = set()
        for name, value in self.public.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError(f"{name!r} is no name of a header; write NAME: VALUE")
            if _SOUNDS_SECRET.search(name) and not _VARIABLE.search(value):
                raise ValueError(
                    f'the header {name} holds its secret in the open; put it into an environment variable and give "$NAME" in '
                    "its place"
                )
            self.values[name] = _VARIABLE.sub(lambda match, name=name: self._secret(match, name), value)
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"the header {name} holds characters that no header can; only printable ASCII travels")

    def _secret(self, match: re.Match[str], header: str) -> str:
        variable = match["braced"] or match["bare"]
        value = os.environ.get(variable)
        if not value or not value.strip():
            raise ValueError(
                f"the environment variable {variable}, which the header {header} takes, is not set; export it"
            )
        value = value.strip()  # files of keys end in a line break
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the environment variable {variable} holds characters that no header can; set it again")
        self._secrets.add(value)
        return value

    @property
    def identity(self) -> dict[str, str]:
        """What of the headers may decide the answers: not which variable holds a secret, nor its value."""
        return {name.lower(): _VARIABLE.sub("$", value) for name, value in self.public.items()}

    def redacted(self, text: str) -> str:
        """`text` without the secrets: servers like to repeat them in their errors."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, "[secret]")
        return text


def check_url(url: str) -> str:
    """Refuse a URL that cannot be asked, or that holds a secret: a URL is written into signatures and journals.

    Raises:
        ValueError: says what is wrong with it.

    >>> check_url("https://models.example/predictions/cats")
    'https://models.example/predictions/cats'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL ({error}); write https://HOST/PATH") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"the URL of {parts.hostname} holds a name or password; put it into an environment variable, and give a header "
            '"Authorization: Basic $NAME"'
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{url!r} is no URL of a service; write https://HOST/PATH")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SOUNDS_SECRET.search(name):
            raise ValueError(
                f"the URL of {parts.hostname} holds {name!r}, which sounds like a secret and would be written into signatures "
                "and journals; send it as a header whose value comes from an environment variable"
            )
    return url
