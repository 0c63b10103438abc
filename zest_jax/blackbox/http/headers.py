"""Headers of requests, whose secrets come from the environment and go nowhere but to the server."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from zest_jax.blackbox.http.secrets import Secrets, sounds_secret, value_mark, value_of

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<bare>[A-Za-z_]\w*))")


class Headers:
    """Headers with `$NAME` for what an environment variable holds.

    Args:
        headers: name to value, such as {"Authorization": "Bearer $SERVICE_KEY"}.

    Attributes:
        values: what is sent.
        public: what may be written down: the values as they were given, with the names of the variables in them.
        identity: what of the headers may decide the answers. Of a variable in a header that sounds secret that is nothing,
            neither its name nor its value; of one in any other header a hash of its value.
        secrets: the values of all variables.

    Raises:
        ValueError: a variable is not set or cannot be sent, or a header that sounds secret holds its value in the open.

    >>> Headers({"X-Api-Key": "0123"})
    Traceback (most recent call last):
    ValueError: the header X-Api-Key holds its secret in the open; put it into an environment variable and give "$NAME" ...
    """

    def __init__(self, headers: Mapping[str, str] | None) -> None:
        self.public = dict(headers or {})
        self.values: dict[str, str] = {}
        self.identity: dict[str, str] = {}
        self.secrets = Secrets()
        for name, value in self.public.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError(f"{name!r} is no name of a header; write NAME: VALUE")
            secret = sounds_secret(name)
            if secret and not _VARIABLE.search(value):
                raise ValueError(
                    f'the header {name} holds its secret in the open; put it into an environment variable and give "$NAME" in '
                    "its place"
                )
            self.values[name] = _VARIABLE.sub(lambda match, name=name: self._value(match, name), value)
            self.identity[name.lower()] = _VARIABLE.sub(
                lambda match, name=name, secret=secret: "$" if secret else value_mark(self._value(match, name)), value
            )
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"the header {name} holds characters that no header can; only printable ASCII travels")

    def _value(self, match: re.Match[str], header: str) -> str:
        variable = match["braced"] or match["bare"]
        value = value_of(variable, f"the header {header}")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the environment variable {variable} holds characters that no header can; set it again")
        self.secrets.add(value)
        return value


def check_url(url: str) -> str:
    """Refuse a URL that cannot be asked, or that holds a secret: a URL is written into signatures and journals.

    Raises:
        ValueError: says what is wrong with it.

    >>> check_url("https://models.example/predictions/cats")
    'https://models.example/predictions/cats'
    """
    # No message shows the URL, nor what the parser says of it: either may hold a password.
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("what was given as a URL is no URL; write https://HOST/PATH") from None
    if "@" in parts.netloc:
        raise ValueError(
            f"the URL of {parts.hostname} holds a name or password; put it into an environment variable, and give a header "
            '"Authorization: Basic $NAME"'
        )
    try:
        port = parts.port
    except ValueError:
        raise ValueError("what was given as a URL is no URL: its port is none; write https://HOST:PORT/PATH") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("what was given as a URL is no URL of a service; write https://HOST/PATH")
    for name, _ in parse_qsl(f"{parts.query}&{parts.fragment}".replace(";", "&"), keep_blank_values=True):
        if sounds_secret(name):
            raise ValueError(
                f"the URL of {parts.hostname} holds {name!r}, which sounds like a secret and would be written into signatures "
                "and journals; send it as a header whose value comes from an environment variable"
            )
    return url
